"""Refusals that random walks seldom meet, on model and contracts side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from protocol.commitments.tree import ZERO, Tree
from protocol.errors import MismatchError, RefusedError
from protocol.game import moves as m
from protocol.game.ids import Kind, dispute_id
from protocol.game.openings import path_in_list
from protocol.game.view import Turn
from tests.support.game import (
    NEW_MODEL,
    OTHER,
    PURSE,
    REQUESTER,
    TRAINER,
    WATCHER,
    Table,
    challenger,
    defender,
    holding_back,
    one_word,
    reshaped,
    table,
)
from tests.support.lockstep import Lockstep

SALT = bytes([9]) * 32


@pytest.fixture(autouse=True)
def _contracts_follow() -> Iterator[None]:
    token = NEW_MODEL.set(Lockstep)
    yield
    NEW_MODEL.reset(token)


def refused(at: Table, sender: bytes, move: m.Move) -> str:
    with pytest.raises(RefusedError) as caught:
        at.send(sender, move)
    return caught.value.reason


def opening(at: Table, update: bytes, segment: int) -> m.Open:
    """An opening with the right paths, whatever the segment."""
    known = at.model.update(update)
    history = Tree([known.first_state, *known.states], at.job.geometry.history_height)
    place = segment - known.first_segment
    return m.Open(
        update=update,
        segment=segment,
        salt=SALT,
        first=history.node(0, place),
        first_path=tuple(history.path(place)),
        last=history.node(0, place + 1),
        last_path=tuple(history.path(place + 1)),
    )


def digest(update: bytes, segment: int) -> bytes:
    return dispute_id(update=update, segment=segment, challenger=WATCHER, salt=SALT)


def test_a_reservation_for_another_job_opens_nothing() -> None:
    at = table()
    update = at.post(at.truth, segments=1)
    other = at.send(REQUESTER, m.OpenJob(terms=replace(at.job, salt=SALT)))
    assert isinstance(other, bytes)
    at.send(WATCHER, m.Reserve(job=other, digest=digest(update, 0)))
    assert refused(at, WATCHER, opening(at, update, 0)) == "court: reserved for another job"


def test_a_dispute_is_about_a_segment_of_its_update() -> None:
    at = table()
    at.post(at.truth, segments=1)
    second = at.post(at.truth, segments=1)
    for segment in (1, 2):
        at.send(WATCHER, m.Reserve(job=at.job.job_id, digest=digest(second, segment)))
    # Leaves 1 and 2 of the history would pass, but the update has one segment only.
    assert refused(at, WATCHER, opening(at, second, 2)) == "court: not a segment of it"
    at.send(WATCHER, opening(at, second, 1))


def test_a_copied_reservation_can_be_taken_back_though_its_digest_was_opened() -> None:
    """D-2: whoever reserved a digest that is not its own cannot open it, but has its bond back."""
    at = table()
    update = at.post(at.truth, segments=1)
    for party in (WATCHER, OTHER):
        at.send(party, m.Reserve(job=at.job.job_id, digest=digest(update, 0)))
    at.send(WATCHER, opening(at, update, 0))
    at.model.advance(at.job.clocks.opening + 1)
    cancel = m.CancelReservation(digest=digest(update, 0))
    assert refused(at, WATCHER, cancel) == "court: reservation was opened"
    before = at.model.tokens_of(OTHER)
    at.send(OTHER, cancel)
    assert at.model.tokens_of(OTHER) == before + at.job.money.challenge_bond
    assert refused(at, OTHER, cancel) == "court: nothing reserved"


def test_an_update_that_became_final_does_not_fall_though_nobody_recorded_it() -> None:
    """U-6, D-14: its position is empty and ended, and its one dispute is lost elsewhere."""
    at = table()
    update = at.post(at.truth, segments=1)
    assert at.model.update(update).status.value == "pending"
    at.model.advance(at.model.update(update).deadline + at.job.clocks.opening - at.model.now())
    at.model.compare()  # type: ignore[attr-defined]
    at.model.advance(1)
    assert at.model.update(update).status.value == "final"
    at.model.compare()  # type: ignore[attr-defined]
    at.send(OTHER, m.Finalise(job=at.job.job_id))


def test_a_root_under_a_bond_is_taken_over_by_the_trainers_side_alone_and_once() -> None:
    """D-5: the bond comes back, and no clock moves."""
    at = table()
    at.post(at.truth, segments=1)
    at.play([challenger(at, at.openings(one_word(3, 2, 65)))], until=at.model.now())
    [(_, move)] = defender(at, at.truth)(at.model)
    assert isinstance(move, m.Commit)
    at.send(OTHER, move)
    at.model.advance(30)
    assert refused(at, WATCHER, move) == refused(at, OTHER, move) == "court: candidate exists"
    before = at.model.candidate(at.model.candidates(move.position)[0].candidate)
    at.send(TRAINER, m.Delegate(who=WATCHER, allowed=True))
    at.send(WATCHER, move)
    [after] = at.model.candidates(move.position)
    assert after == replace(before, poster=WATCHER, bonded=False)
    assert at.model.tokens_of(OTHER) == PURSE
    assert refused(at, TRAINER, move) == "court: candidate exists"
    assert refused(at, OTHER, m.Free(candidate=after.candidate)) == "court: no defence bond held"


def test_a_step_is_selected_at_the_last_level_only() -> None:
    at = table()
    at.post(at.truth, segments=1)
    believer = challenger(at, at.openings(one_word(3, 2, 65)))
    held: list[tuple[bytes, m.Move]] = []
    at.play([holding_back(believer, m.Select, held), defender(at, at.truth)], until=at.model.now())
    [(_, move)] = held
    assert isinstance(move, m.Select)
    step = m.SelectStep(
        dispute=move.dispute,
        candidate=move.candidate,
        index=move.index,
        leaf=move.leaf,
        path=move.path,
        before=move.leaf,
        before_path=move.path,
    )
    assert refused(at, WATCHER, step) == "court: not a step yet"


def test_below_an_absent_page_there_is_nothing_to_select_or_reveal() -> None:
    """D-8: the cursor stays where it is, and the proof is the only move left."""
    at = table()
    lie = at.openings(reshaped(3, 2, lambda words: words[:64]))
    at.post(lie, segments=1)
    watch, held = challenger(at, at.truth), list[tuple[bytes, m.Move]]()
    at.play([holding_back(watch, m.Prove, held), defender(at, lie)], until=at.model.now())
    [(_, proof)] = held
    assert isinstance(proof, m.Prove)
    dispute, candidate = proof.dispute, proof.candidate
    cursor = at.model.branch(dispute, candidate).cursor
    children = at.model.children(cursor.hash, cursor.height)
    assert children is not None
    index = children.index(ZERO)
    down = m.Select(
        dispute=dispute, candidate=candidate, index=index, leaf=ZERO, path=path_in_list(children, index)
    )
    at.send(WATCHER, down)
    branch = at.model.branch(dispute, candidate)
    assert (branch.cursor.kind, branch.cursor.height, branch.turn) == (Kind.TENSOR, 0, Turn.CHALLENGER)
    further = m.Select(dispute=dispute, candidate=candidate, index=0, leaf=ZERO, path=())
    assert refused(at, WATCHER, further) == "court: nothing below the cursor"
    [(_, proof)] = watch(at.model)
    assert isinstance(proof, m.Prove)
    at.send(WATCHER, proof)
    assert at.model.candidate(candidate).fallen
    assert at.decided() == {"absent page": 1}


def test_a_challenger_with_another_replay_than_the_disputes_says_so() -> None:
    """A-2: leaf 0 of STEPS is agreed; who sees a difference there must not move."""
    at = table()
    at.post(at.openings(one_word(5, 2, 3)), segments=2)
    at.play([challenger(at, at.truth)], until=at.model.now())
    [dispute] = at.model.disputes()
    assert dispute.segment == 1
    another = at.openings(one_word(3, 2, 65))
    with pytest.raises(MismatchError, match="segment 1 starts from another state"):
        at.play([challenger(at, another), defender(at, at.openings(one_word(5, 2, 3)))], until=at.model.now())
