"""How updates and disputes must end, from an own replay: pure functions of the chain and of trees (A-32)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gavel.awaited import Awaited, Side, awaited
from protocol.game.demands import DemandInfo
from protocol.game.ids import Kind
from protocol.game.openings import Openings
from protocol.game.proofs import position_tree, site
from protocol.game.view import CandidateInfo, CourtView, DisputeInfo, DisputeStatus, UpdateInfo, UpdateStatus
from protocol.job import Job

Differences = Mapping[bytes, int | None]
HURRY = 4
"""What is due within this part of its time, and has not been done, may go wrong."""


class Winner(StrEnum):
    """Who must win a dispute, if both sides do what is best for them."""

    CHALLENGER = "challenger"
    DEFENCE = "defence"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something at odds with the forecast, or about to be.

    Attributes:
        level: ``warning`` or ``error``; text: for people.
        about: id of the update, dispute, candidate or demand.
        left: seconds in which something can still be done, None where that is no matter.
    """

    level: str
    text: str
    about: bytes
    left: int | None = None


def winner(differences: Differences, dispute: DisputeInfo) -> Winner:
    """Return who must win a dispute.

    Args:
        differences: by update the first wrong segment (absolute), None for a right one; none where it is not
            known, such as for what is built on a wrong update.
    """
    if dispute.update not in differences:
        return Winner.UNKNOWN
    first = differences[dispute.update]
    if first is None or dispute.segment < first:
        return Winner.DEFENCE
    return Winner.CHALLENGER if dispute.segment == first else Winner.UNKNOWN


def honest(view: CourtView, job: Job, openings: Openings, candidate: CandidateInfo) -> bool | None:
    """Return whether a commitment is what the own replay gives; None where it builds on other states.

    Args:
        openings: over a replay that has come to the segment.
    """
    place = site(view, job, candidate)
    here, stride = place.position, job.geometry.stride
    if here.kind == Kind.STEPS:
        if here.first != openings.trace.state_root(here.segment * stride):
            return None
        return candidate.root == openings.steps_tree(here.segment).root
    if place.pre_state != openings.trace.state_root(place.step):
        return None
    if here.kind == Kind.NODES:
        ends = here.last == openings.trace.state_root(place.step + 1)
    else:
        ends = here.word == int(openings.trace.node_words(place.step, here.a)[here.b])
    return ends and candidate.root == position_tree(openings, here, place.step).root


def about_update(
    view: CourtView, update: UpdateInfo, differences: Differences, *, window: int
) -> Iterator[Finding]:
    """What is wrong, or about to be, with how an update stands; `window` is W, in seconds."""
    if update.update not in differences:
        return
    first, name = differences[update.update], f"update {update.update.hex()[:12]}"
    if first is None:
        if update.status == UpdateStatus.FALLEN:
            yield _error(update.update, f"{name} fell, and every state of it is right")
        return
    wrong = f"{name} is wrong from segment {first + 1}"
    if update.status == UpdateStatus.FINAL:
        yield _error(update.update, f"{wrong}, and is final")
    elif update.status == UpdateStatus.PENDING:
        open_ = [d for d in view.disputes(update=update.update) if d.status == DisputeStatus.OPEN]
        if any(dispute.segment == first for dispute in open_):
            return
        left = update.deadline - view.now()
        if left < 0:
            yield _error(update.update, f"{wrong}, nobody disputes that segment, and nobody can any more")
        else:
            kind = _error if HURRY * left < window else _warning
            yield kind(update.update, f"{wrong}, and nobody disputes that segment", left)


def about_demands(
    update: UpdateInfo,
    demands: Sequence[DemandInfo],
    differences: Differences,
    *,
    now: int,
    answer_time: int,
) -> Iterator[Finding]:
    """What is wrong, or about to be, with how the pages of a right update are shown (Y-4, Y-5).

    Args:
        demands: the open ones, what is due first before the others; now: seconds.
        answer_time: of the job, in seconds.
    """
    right = update.update in differences and differences[update.update] is None
    if not right or update.status != UpdateStatus.PENDING or not demands:
        return
    first = demands[0]
    page = f"page {first.page} of slot {first.slot}"
    name, left = f"update {update.update.hex()[:12]} is right, and {page}", first.due - now
    if left < 0:
        yield _error(first.demand, f"{name} was not shown in time: it falls by that")
    elif left * HURRY < answer_time:
        yield _warning(first.demand, f"{name} is demanded and not shown yet", left)


def about_dispute(
    view: CourtView, job: Job, openings: Openings | None, dispute: DisputeInfo, who: Winner
) -> Iterator[Finding]:
    """What is wrong, or about to be, with how a dispute stands.

    Args:
        openings: over a replay that has come to its segment; None if it has not.
    """
    name = f"dispute {dispute.dispute.hex()[:12]} of segment {dispute.segment + 1}"
    if who == Winner.CHALLENGER and dispute.status == DisputeStatus.LOST:
        yield _error(dispute.dispute, f"{name} is lost, and its challenger was right")
    live = view.update(dispute.update).status in (UpdateStatus.PENDING, UpdateStatus.FINAL)
    if openings is None or who == Winner.UNKNOWN or not live:
        return
    if who == Winner.DEFENCE:
        yield from _fallen(view, job, openings, dispute, name)
    for move in awaited(view, dispute):
        right = who == Winner.CHALLENGER
        found = _challengers(move) if right else _defences(view, job, openings, move)
        if found is None:
            continue
        left = move.limit - view.now()
        if move.side == Side.ANYONE:
            yield _error(dispute.dispute, f"{name}: {found}, and its time is over")
        elif left * HURRY < move.limit - move.due + job.clocks.response:
            yield _warning(dispute.dispute, f"{name}: {found}: {move.move}", max(left, 0))


def _fallen(
    view: CourtView, job: Job, openings: Openings, dispute: DisputeInfo, name: str
) -> Iterator[Finding]:
    for position in view.demands(dispute.dispute):
        for candidate in view.candidates(position):
            if candidate.fallen and honest(view, job, openings, candidate):
                text = f"{name}: commitment {candidate.candidate.hex()[:12]} is right, and fell"
                yield _error(candidate.candidate, text)


def _challengers(move: Awaited) -> str | None:
    """What a right challenger is about to miss, or has missed."""
    if move.side == Side.CHALLENGER:
        return "its challenger is right, and has to move"
    return "its challenger is right, and did not move" if move.move == "timeout" else None


def _defences(view: CourtView, job: Job, openings: Openings, move: Awaited) -> str | None:
    """What a right defence is about to miss, or has missed: only under commitments that are right."""
    if move.candidate is not None:
        if not honest(view, job, openings, view.candidate(move.candidate)):
            return None
    else:
        here = view.position(move.position)
        if here.kind != Kind.STEPS and not honest(view, job, openings, view.candidate(here.parent)):
            return None
    if move.side == Side.DEFENCE:
        return "the update is right there, and its side has to answer"
    return "the update is right there, and nobody answered" if move.move in ("silence", "settle") else None


def _error(about: bytes, text: str, left: int | None = None) -> Finding:
    return Finding(level="error", text=f"THE CHAIN DISAGREES: {text}", about=about, left=left)


def _warning(about: bytes, text: str, left: int) -> Finding:
    return Finding(level="warning", text=f"MAY GO WRONG: {text}", about=about, left=left)
