"""`gavel watch --defend`: an honest watcher answers for a trainer who is silent (actors.md, A-40)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from challenger.agent import Watcher
from gavel.guarding import guards_of
from gavel.scenarios.cheats import CHEATS
from protocol.chain.agent import Agent
from protocol.chain.moves import ensure_allowance, send_move
from protocol.commitments.tree import Tree
from protocol.errors import UsageError
from protocol.game.moves import Commit, Free, Move, Reveal, Timeout
from protocol.game.proofs import commitment
from protocol.game.view import DisputeStatus, UpdateStatus
from prover.guard import Guard
from tests.support.watching import PURSE, Field, Lines

TICK = 30
"""Seconds; half of R, in which a guard answers."""


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def field(lent: Field, tmp_path: Path) -> Iterator[Field]:
    yield from lent.lent(tmp_path)


class Believer:
    """A challenger whose replay is wrong: it accuses whoever is honest, once."""

    def __init__(self, field: Field) -> None:
        lie = CHEATS["partial-sum"].prepare(field.folder, step=4, seed=0)
        self._field, self._watcher = field, field.watcher(who="other", hooks=lie.hooks)

    def step(self) -> list[Move]:
        """Play, unless a dispute is lost."""
        self._field.view.refresh()
        disputes = self._field.view.disputes(challenger=self._field.account("other"))
        return [] if any(d.status == DisputeStatus.LOST for d in disputes) else self._watcher.step()


def guard_of(field: Field, watcher: Watcher, **options: Any) -> Guard:
    account = field.account("watcher")
    options = {"log": Lines()} | options
    [guard] = guards_of(watcher, field.contracts["watcher"], field.folder, account=account, **options)
    return guard


def play(
    field: Field,
    *agents: Agent | Believer,
    until: Callable[[], bool],
    between: Callable[[], object] = lambda: None,
) -> list[Move]:
    """Let everybody move, and time pass when nobody does; returns all moves."""
    moves: list[Move] = []
    for _ in range(400):
        made = [move for agent in agents for move in agent.step()]
        moves += made
        between()
        if made:
            continue
        if until():
            return moves
        field.pass_time(TICK)
    raise AssertionError("the play does not come to an end")


def over(field: Field) -> bool:
    """Whether nothing is open and the last update is final or gone."""
    field.view.refresh()
    disputes = field.view.disputes()
    done = all(dispute.status != DisputeStatus.OPEN for dispute in disputes)
    return bool(disputes) and done and field.updates()[-1].status != UpdateStatus.PENDING


def tokens(field: Field, who: str) -> int:
    field.view.refresh()
    account = field.account(who)
    return field.view.balance(account) + field.view.credit(account)


def test_an_honest_update_whose_trainer_has_vanished_is_saved_by_one_watcher(field: Field) -> None:
    field.trainer("trainer").train(2)
    watcher = field.watcher()
    guard = guard_of(field, watcher)
    moves = play(field, Believer(field), watcher, guard, until=lambda: over(field))
    assert field.updates()[0].status == UpdateStatus.FINAL
    assert {type(move) for move in moves} >= {Commit, Reveal, Free}
    money = field.folder.job.money
    won = money.gas_price * money.scheduled_gas + money.bounty
    assert tokens(field, "watcher") == PURSE + won
    assert tokens(field, "other") == PURSE - money.challenge_bond


def test_a_trainer_who_answers_costs_the_guard_nothing(field: Field) -> None:
    party = field.trainer("trainer")
    party.train(2)
    watcher = field.watcher()
    guard = guard_of(field, watcher)
    play(field, Believer(field), watcher, guard, party.agent, until=lambda: over(field))
    assert field.updates()[0].status == UpdateStatus.FINAL
    assert field.nonce() == 0


def test_a_trainer_who_comes_back_takes_over_and_the_bond_with_it_comes_back(field: Field) -> None:
    """D-5: what stands under the guard's bond is the trainer's as soon as it says so."""
    party = field.trainer("trainer")
    party.train(2)
    watcher = field.watcher()
    guard, other = guard_of(field, watcher), Believer(field)
    while not committed(field):
        for agent in (other, watcher, guard):
            agent.step()
        field.pass_time(TICK)
    assert [c.bonded for c in committed(field)] == [True]
    party.agent.step()
    taken = committed(field)[0]
    assert (taken.poster, taken.bonded) == (field.account("trainer"), False)
    play(field, other, watcher, guard, party.agent, until=lambda: over(field))
    assert tokens(field, "watcher") == PURSE
    assert field.updates()[0].status == UpdateStatus.FINAL


def committed(field: Field) -> list[Any]:
    field.view.refresh()
    [update] = field.updates()
    return [c for p in field.view.positions(update=update.update) for c in field.view.candidates(p.position)]


def test_bogus_candidates_beside_it_change_nothing(field: Field) -> None:
    """Somebody fills places in the last seconds of the posting period; each bond pays who fells it."""
    field.trainer("trainer").train(2)
    watcher = field.watcher()
    guard, other = guard_of(field, watcher), Believer(field)
    ensure_allowance(field.contracts["cheat"], field.folder.job.money.defence_bond)
    posted: list[Move] = []

    def post() -> None:
        """Beside the honest root, other states in the middle."""
        field.view.refresh()
        [update] = field.updates()
        positions = field.view.positions(update=update.update)
        if posted or not positions or field.view.now() < positions[0].ends_at - 2 * TICK:
            return
        geometry, here = field.folder.job.geometry, positions[0]
        own = watcher.openings.steps_tree(here.segment)
        for number in range(2):
            leaves = [own.node(0, i) for i in range(1 << own.height)]
            leaves[1] = bytes([number + 1]) * 32
            move = commitment(here, Tree(leaves, own.height), geometry)
            send_move(field.contracts["cheat"], move)
            posted.append(move)

    play(field, other, watcher, guard, until=lambda: over(field), between=post)
    money = field.folder.job.money
    assert len(posted) == 2
    assert field.updates()[0].status == UpdateStatus.FINAL
    assert tokens(field, "watcher") >= PURSE
    assert tokens(field, "other") < PURSE
    # Both stand or fell: what fell was lost, what stands is free to be taken back.
    fallen = sum(c.fallen for c in committed(field))
    standing = sum(c.bonded for c in committed(field))
    assert tokens(field, "cheat") == PURSE - (fallen + standing) * money.defence_bond


def test_what_the_replay_does_not_confirm_is_not_defended(field: Field) -> None:
    field.cheat().train(2)
    watcher = field.watcher()
    guard = guard_of(field, watcher)
    moves = play(field, watcher, guard, until=lambda: over(field))
    assert not {type(move) for move in moves} & {Commit, Reveal, Timeout}
    assert field.updates()[0].status == UpdateStatus.FALLEN


def test_no_more_is_held_in_bonds_than_is_allowed(field: Field) -> None:
    field.trainer("trainer").train(2)
    bond = field.folder.job.money.defence_bond
    watcher = field.watcher()
    with pytest.raises(UsageError, match="less than one defence bond"):
        guard_of(field, watcher, limit=bond - 1)
    guard, other = guard_of(field, watcher, limit=bond), Believer(field)
    held: list[int] = []

    def count() -> None:
        held.append(sum(c.bonded and c.poster == field.account("watcher") for c in committed(field)))

    play(field, other, watcher, guard, until=lambda: over(field), between=count)
    assert max(held) == 1
    # With one bond it answers for the states, and not for the outputs of the step: the update falls.
    assert field.updates()[0].status == UpdateStatus.FALLEN


def test_a_limit_without_a_defence_is_refused(field: Field) -> None:
    watcher, account = field.watcher(), field.account("watcher")
    contracts = field.contracts["watcher"]
    with pytest.raises(UsageError, match="give both, or neither"):
        guards_of(watcher, contracts, field.folder, log=Lines(), account=account, defend=False, limit=1)
    assert guards_of(watcher, contracts, field.folder, log=Lines(), account=account, defend=False) == []


def test_run_dry_it_says_what_it_would_commit(field: Field) -> None:
    field.trainer("trainer").train(2)
    log = Lines()
    watcher = field.watcher(dry_run=True)
    guard, other = guard_of(field, watcher, dry_run=True, log=log), Believer(field)
    play(field, other, watcher, guard, until=lambda: bool(log.saying("would send Commit")))
    [said] = log.saying("would send Commit")
    assert "would lock" in said
    assert field.nonce() == 0
