"""Attacks on honest agents rather than on the contracts: crowding them, starving them, making one place
undecidable (actors.md, A-8).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from challenger.agent import Watcher
from challenger.solver import Challenger, opening, solve
from protocol.chain.agent import Said
from protocol.chain.court_view import ChainView
from protocol.chain.moves import send_move
from protocol.errors import GavelError, MismatchError, UsageError
from protocol.game import moves as m
from protocol.game.ids import Kind, dispute_id
from protocol.game.model import Model
from protocol.game.openings import Openings
from protocol.game.trace import HONEST
from protocol.game.view import DisputeStatus, UpdateStatus
from prover.agent import DefenderAgent
from prover.defence import Defender, answers, defend
from tests.support.chain import Sides
from tests.support.game import (
    TRAINER,
    WATCHER,
    Player,
    Table,
    defender,
    one_word,
    settled_by,
    silenced,
    table,
)


class Blind:
    """A view that cannot tell one branch, as after a reorganisation that moved it."""

    def __init__(self, view: Any, candidate: bytes) -> None:
        self._view, self._candidate = view, candidate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def branch(self, dispute: bytes, candidate: bytes) -> Any:
        if candidate == self._candidate:
            raise UsageError("no branch")
        return self._view.branch(dispute, candidate)


def _accuse(at: Table, update: bytes, segment: int, salt: bytes) -> bytes:
    """Open a dispute whatever it is worth."""
    digest = dispute_id(update=update, segment=segment, challenger=WATCHER, salt=salt)
    at.send(WATCHER, m.Reserve(job=at.job.job_id, digest=digest))
    at.send(WATCHER, opening(at.model.update(update), segment, salt, at.job.geometry))
    return digest


def test_a_branch_that_cannot_be_told_silences_no_other() -> None:
    at = table()
    lie = at.openings(one_word(2, 2, 65))
    update = at.post(lie, segments=2)
    wrong = at.truth.first_difference(at.model.update(update))
    assert wrong is not None
    for salt in (bytes([1]) * 32, bytes([2]) * 32):
        _accuse(at, update, wrong, salt)
    _accuse(at, update, 1 - wrong, bytes(32))
    me = Defender(address=TRAINER, trainer=TRAINER, job=at.job, openings=lie)
    for move in defend(at.model, me):
        at.send(TRAINER, move)
    steps = [p for p in at.model.positions(update=update) if p.kind == Kind.STEPS]
    blind, seen = (at.model.candidates(p.position)[0].candidate for p in sorted(steps, key=_is(wrong)))
    watcher = _watcher(at)
    with pytest.raises(UsageError):
        solve(Blind(at.model, blind), watcher)
    troubles: list[GavelError] = []
    moves = solve(Blind(at.model, blind), watcher, report=troubles.append)
    assert len(troubles) == 1
    assert [getattr(move, "candidate", None) for move in moves] == [seen, seen]
    for move in moves:
        at.send(WATCHER, move)
    told: list[GavelError] = []
    answered = list(answers(Blind(at.model, blind), me, report=told.append))
    assert len(told) == 1
    assert answered


def test_a_dispute_where_nothing_differs_is_said_loudly_and_stops_no_other() -> None:
    at = table()
    lie = at.openings(one_word(5, 2, 65))
    update = at.post(lie, segments=2)
    wrong = at.truth.first_difference(at.model.update(update))
    assert wrong == 1
    for segment in (0, 1):
        _accuse(at, update, segment, bytes(32))
    for move in defend(at.model, Defender(address=TRAINER, trainer=TRAINER, job=at.job, openings=lie)):
        at.send(TRAINER, move)
    with pytest.raises(MismatchError, match="nothing differs"):
        solve(at.model, _watcher(at))
    troubles: list[GavelError] = []
    assert len(solve(at.model, _watcher(at), report=troubles.append)) == 1
    assert "nothing differs" in str(troubles[0])


def _watcher(at: Table) -> Challenger:
    return Challenger(
        address=WATCHER,
        job=at.job,
        openings=at.truth,
        salt=lambda *_: bytes(32),
        first_difference=at.truth.first_difference,
    )


def _is(segment: int) -> Any:
    return lambda position: position.segment == segment


def test_strangers_reservations_and_disputes_are_not_read() -> None:
    sides = Sides()
    sides.post("trainer", sides.openings(HONEST), 2)
    [update] = sides.view.updates(sides.job.job_id)
    watcher = Challenger(
        address=sides.address["watcher"],
        job=sides.job,
        openings=sides.truth,
        salt=lambda *_: bytes(32),
        first_difference=sides.truth.first_difference,
    )

    def calls(view: ChainView) -> int:
        sides.embedded.rpc("evm_mine", [])  # of the same block nothing is read twice
        view.refresh()
        before = counted[0]
        assert solve(view, watcher) == []
        return counted[0] - before

    counted = [0]
    rpc = sides.embedded.rpc

    def count(method: str, params: list[Any]) -> Any:
        counted[0] += method == "eth_call"
        return rpc(method, params)

    sides.embedded.rpc = count  # type: ignore[method-assign]
    alone = calls(sides.view)
    for number in range(5):
        digest = bytes([number]) * 32
        send_move(sides.contracts["other"], m.Reserve(job=sides.job.job_id, digest=digest))
    salt = bytes([9]) * 32
    digest = dispute_id(update=update.update, segment=0, challenger=sides.address["other"], salt=salt)
    send_move(sides.contracts["other"], m.Reserve(job=sides.job.job_id, digest=digest))
    send_move(sides.contracts["other"], opening(update, 0, salt, watcher.job.geometry))
    assert calls(sides.view) == alone


class PoorDefender(DefenderAgent):
    """The shipped agent over a toy trace instead of a folder."""

    def __init__(self, sides: Sides, who: str) -> None:
        self._contracts, self._log = sides.contracts[who], Said(lambda _, **__: None)
        self._dry_run, self._sent = False, {}
        self._folder: Any = SimpleNamespace(job=sides.job)
        self._store: Any = SimpleNamespace(load=lambda *_: None)
        self._remembered: dict[tuple[int, bytes], bytes] = {}
        self.view = ChainView(self._contracts)
        address = sides.address[who]
        self._me = Defender(address=address, trainer=address, job=sides.job, openings=sides.truth)


def test_a_bond_that_cannot_be_paid_keeps_no_answer_from_being_given() -> None:
    """Defending what one builds on takes a bond; whoever has none left must still defend its own."""
    sides = Sides()
    job = sides.job.job_id
    sides.post("trainer", sides.truth, 1)
    send_move(sides.contracts["trainer"], m.Release(job=job))
    other = sides.contracts["other"]
    send_move(other, m.Lease(job=job))
    sides.view.refresh()
    geometry = sides.job.geometry
    end = geometry.stride + geometry.steps_of(1)
    send_move(
        other,
        m.Post(job=job, parent=sides.view.chain(job)[0].update, states=(sides.truth.trace.state_root(end),)),
    )
    sides.view.refresh()
    first, second = sides.view.updates(job)
    hostile = Challenger(
        address=sides.address["watcher"],
        job=sides.job,
        openings=sides.truth,
        salt=lambda *_: bytes(32),
        first_difference=lambda _: None,
    )
    for update in (first, second):
        digest = dispute_id(
            update=update.update, segment=update.first_segment, challenger=hostile.address, salt=bytes(32)
        )
        send_move(sides.contracts["watcher"], m.Reserve(job=job, digest=digest))
        send_move(
            sides.contracts["watcher"], opening(update, update.first_segment, bytes(32), hostile.job.geometry)
        )
    balance = other.token.view("balanceOf", sides.address["other"])
    other.token.send("transfer", sides.address["requester"], balance)
    # The last segment is posted, so the lease deposit is credited: not a token is left in the wallet.
    agent = PoorDefender(sides, "other")
    sent = agent.step()
    [position] = agent.view.positions(update=second.update)
    assert [move.position for move in sent if isinstance(move, m.Commit)] == [position.position]
    # What the board owes it is fetched all the same: that may pay for the rest.
    assert [type(move) for move in agent.step()] == [m.Withdraw]


def test_a_damaged_checkpoint_costs_a_replay_and_not_the_defence() -> None:
    sides = Sides()
    sides.post("trainer", sides.truth, 1)
    sides.view.refresh()
    [update] = sides.view.updates(sides.job.job_id)
    watcher = Challenger(
        address=sides.address["watcher"],
        job=sides.job,
        openings=sides.truth,
        salt=lambda *_: bytes(32),
        first_difference=lambda _: None,
    )
    digest = dispute_id(update=update.update, segment=0, challenger=watcher.address, salt=bytes(32))
    send_move(sides.contracts["watcher"], m.Reserve(job=sides.job.job_id, digest=digest))
    send_move(sides.contracts["watcher"], opening(update, 0, bytes(32), watcher.job.geometry))

    def damaged(*_: Any) -> None:
        raise MismatchError("the words do not hash to the name")

    agent = PoorDefender(sides, "trainer")
    agent._store = SimpleNamespace(load=damaged)  # type: ignore[assignment]
    assert [type(move) for move in agent.step()] == [m.Commit]


def _restarted(at: Table, openings: Openings) -> Player:
    """A watcher that has just been started: what it knows is its key, its replay and the chain (A-6)."""
    watcher = Watcher.__new__(Watcher)
    watcher._key = bytes([7]) * 32
    me = Challenger(
        address=WATCHER,
        job=at.job,
        openings=openings,
        salt=watcher._salt,
        first_difference=openings.first_difference,
    )
    return lambda model: [(WATCHER, move) for move in solve(model, me)]


def _ends(at: Table) -> list[DisputeStatus]:
    return [d.status for d in at.model.disputes()]


def test_a_watcher_that_was_out_of_reach_until_it_lost_disputes_once_more() -> None:
    at = table()
    lie = at.openings(one_word(2, 2, 65))
    update = at.post(lie, segments=1)
    trainer = defender(at, lie)
    cut_off = silenced(_restarted(at, at.truth), after=2)
    at.play(
        [cut_off, trainer], until=at.model.now() + 590, while_=lambda: DisputeStatus.LOST not in _ends(at)
    )
    assert _ends(at) == [DisputeStatus.LOST]
    at.play(
        [_restarted(at, at.truth), trainer],
        until=settled_by(at, update),
        while_=lambda: at.model.board.is_live(update),
    )
    at.play([_restarted(at, at.truth)], until=at.model.now())
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert _ends(at) == [DisputeStatus.LOST, DisputeStatus.CLOSED]


def test_a_watcher_that_lost_twice_on_a_segment_leaves_it() -> None:
    at = table()
    lie = at.openings(one_word(2, 2, 65))
    update = at.post(lie, segments=1)

    def deaf(model: Model) -> list[tuple[bytes, m.Move]]:
        moves = _restarted(at, at.truth)(model)
        return [sent for sent in moves if isinstance(sent[1], m.Reserve | m.Open)]

    at.play([deaf, defender(at, lie)], until=at.model.now() + 590)
    assert _ends(at) == [DisputeStatus.LOST] * 2
    assert at.model.now() <= at.model.update(update).deadline
    assert list(_restarted(at, at.truth)(at.model)) == []
    assert len(at.moves(m.Reserve)) == 2
