"""One account of what is locked (A-14, A-30): disputes, standing in and demands for pages spend one purse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from challenger.ledger import Exposure, exposure
from challenger.limits import Limits, Purse
from challenger.sampling import BEACON_DELAY
from protocol.chain.court_view import ChainView
from protocol.chain.moves import send_move
from protocol.game import demand_moves as d
from protocol.game.moves import Commit, Free, Reserve
from protocol.game.view import UpdateStatus
from tests.support.watching import PURSE, Field, Lines
from tests.unit.test_guard_agent import Believer, committed, guard_of, over, play
from tests.unit.test_sampling import ANSWER_TIME, FEE, PAGES, answers, audited, sampler, stored


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def purse(field: Field, **limits: int) -> Purse:
    return Purse(Limits(**limits), field.contracts["watcher"], field.account("watcher"))


def looked(field: Field) -> Exposure:
    """Read anew, as after a restart; nothing that the account was given is missing."""
    view = ChainView(field.contracts["deployer"])
    view.refresh()
    found = exposure(view, field.account("watcher"))
    has = found.balance + found.credit + found.locked + found.forfeited + found.spent
    assert has - found.earned == PURSE
    return found


def test_standing_in_counts_and_one_bond_is_enough_to_end_what_is_begun(field: Field) -> None:
    """With a limit of one defence bond it begins once; what protects that bond is never held back."""
    field.trainer("trainer").train(2)
    watcher, money, lines = field.watcher(), field.folder.job.money, Lines()
    limit = purse(field, exposure=money.defence_bond)
    guard, locked = guard_of(field, watcher, held=limit.held, log=lines), set[int]()
    moves = play(
        field,
        Believer(field),
        watcher,
        guard,
        until=lambda: over(field),
        between=lambda: locked.add(looked(field).locked),
    )
    assert field.updates()[0].status == UpdateStatus.FINAL
    assert lines.at("error") == []
    mine = [move for move in moves if isinstance(move, Commit)]
    assert len(mine) > 1
    assert locked == {count * money.defence_bond for count in range(len(mine) + 1)}
    assert sum(isinstance(move, Free) for move in moves) == len(mine)
    assert looked(field).earned == money.gas_price * money.scheduled_gas + money.bounty


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_guard_beyond_the_limit_begins_nothing_and_says_so_once(field: Field, dry_run: bool) -> None:
    field.trainer("trainer").train(2)
    watcher, bond, lines = field.watcher(), field.folder.job.money.defence_bond, Lines()
    limit = purse(field, exposure=bond - 1)
    guard = guard_of(field, watcher, held=limit.held, log=lines, dry_run=dry_run)
    before = field.nonce()
    play(field, Believer(field), watcher, guard, until=lambda: over(field))
    assert field.nonce() == before
    [said] = lines.at("error")
    assert said.startswith("HELD BACK Commit, so what is right may fall: 0 tokens are locked")
    assert field.updates()[0].status == UpdateStatus.FALLEN


def test_a_trainer_that_takes_over_gives_the_bond_back(field: Field) -> None:
    party = field.trainer("trainer")
    party.train(2)
    watcher, bond = field.watcher(), field.folder.job.money.defence_bond
    guard, other = guard_of(field, watcher), Believer(field)
    while not committed(field):
        for agent in (other, watcher, guard):
            agent.step()
        field.pass_time(30)
    assert looked(field).locked == bond
    party.agent.step()
    found = looked(field)
    assert (found.locked, found.forfeited, found.earned) == (0, 0, 0)


def test_a_candidate_that_falls_is_a_bond_lost(field: Field) -> None:
    """The guard dies after its first commitment: the limit of losses counts what that cost."""
    field.trainer("trainer").train(2)
    watcher, bond = field.watcher(), field.folder.job.money.defence_bond
    guard, other = guard_of(field, watcher), Believer(field)
    while not committed(field):
        for agent in (other, watcher, guard):
            agent.step()
        field.pass_time(30)
    play(field, other, watcher, until=lambda: over(field))
    found = looked(field)
    assert (found.locked, found.forfeited) == (0, bond)
    field.view.refresh()
    reserve = Reserve(job=field.folder.job.job_id, digest=bytes(32))
    assert "--max-loss" in str(purse(field, loss=bond).held(field.view, reserve, 1))
    assert purse(field, loss=bond + 1).held(field.view, reserve, 1) is None


def test_fees_of_demands_count_while_they_are_open(field: Field) -> None:
    """Four pages are to be asked for in one step, and the purse holds two fees: it asks for two at a time."""
    folder = audited(field)
    party = field.trainer("trainer", folder=folder)
    party.train(1)
    field.mine(BEACON_DELAY)
    lines = Lines()

    def asking() -> list[Any]:
        return list(sampler(field, folder, purse=purse(field, exposure=2 * FEE), log=lines).step())

    assert len(asking()) == 2
    assert (looked(field).locked, looked(field).spent) == (2 * FEE, 0)
    assert asking() == []  # started again, it reads what is locked
    assert any("asks for no page" in line and "--max-exposure" in line for line in lines.at("warning"))
    assert lines.at("error") == []
    holder = answers(field, folder, stored(party))
    assert len(holder.step()) == 2
    assert (looked(field).locked, looked(field).spent) == (0, 2 * FEE)
    assert len(asking()) == PAGES - 2
    # A dispute asks the same purse.
    field.view.refresh()
    reserve = Reserve(job=folder.job.job_id, digest=bytes(32))
    bond = folder.job.money.challenge_bond
    assert "--max-exposure" in str(purse(field, exposure=bond).held(field.view, reserve, bond))
    assert purse(field, exposure=bond + 2 * FEE).held(field.view, reserve, bond) is None


def test_fees_that_come_back_are_no_earnings(field: Field) -> None:
    folder = audited(field)
    field.trainer("cheat", folder=folder).train(1)
    field.mine(BEACON_DELAY)
    asking = sampler(field, folder)
    assert len(asking.step()) == PAGES
    field.pass_time(ANSWER_TIME + PAGES)
    assert [type(move) for move in asking.step()] == [d.Expire]
    assert len(asking.step()) == PAGES - 1
    found, money = looked(field), folder.job.money
    assert (found.locked, found.spent) == (0, 0)
    assert found.earned == money.gas_price * money.scheduled_gas + money.bounty + money.tip


def test_what_is_too_young_to_be_looked_at_counts(field: Field) -> None:
    """With confirmations the view shows nothing of a reservation sent just now: the tokens do (A-10)."""
    watcher = field.watcher()
    watcher.approve()
    old = ChainView(field.contracts["watcher"], confirmations=3)
    job, bond = field.folder.job.job_id, field.folder.job.money.challenge_bond
    field.mine(4)
    first, second = (Reserve(job=job, digest=bytes([number]) * 32) for number in (1, 2))
    limit = purse(field, exposure=bond)
    old.refresh()
    assert limit.held(old, first, bond) is None
    send_move(field.contracts["watcher"], first)
    old.refresh()
    assert exposure(old, field.account("watcher")).locked == 0
    assert "are locked" in str(limit.held(old, second, bond))
    field.mine(4)
    old.refresh()
    assert exposure(old, field.account("watcher")).locked == bond
    assert "are locked" in str(limit.held(old, second, bond))
    assert purse(field, exposure=2 * bond).held(old, second, bond) is None
