"""Whose move it is in a dispute, and by when (D-4, D-12, D-14): for people, metrics and forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from protocol.game.ids import Kind
from protocol.game.view import BranchInfo, CourtView, DisputeInfo, DisputeStatus, PositionInfo, Turn


class Side(StrEnum):
    """Who is to move."""

    DEFENCE = "defence"
    CHALLENGER = "challenger"
    ANYONE = "anyone"
    """Somebody's time is over, and whoever shows it ends the matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """One move that a dispute waits for.

    Attributes:
        dispute: id; side: who is to move; move: name of the move in words.
        position: where; candidate: under which commitment, None where one is owed.
        due, limit: seconds; later than `due` draws on the reserve, later than `limit` loses. Both 0 where
            there is no hurry.
    """

    dispute: bytes
    side: Side
    move: str
    position: bytes
    candidate: bytes | None
    due: int
    limit: int


def awaited(view: CourtView, dispute: DisputeInfo) -> list[Awaited]:
    """Return what an open dispute waits for, the most urgent first; nothing for one that is over."""
    if dispute.status != DisputeStatus.OPEN:
        return []
    found: list[Awaited] = []
    for position in view.demands(dispute.dispute):
        found += _at(view, dispute.dispute, view.position(position))
    return sorted(found, key=lambda move: (move.limit, move.due))


def _at(view: CourtView, dispute: bytes, here: PositionInfo) -> Iterator[Awaited]:
    if here.kind != Kind.STEPS:
        above = view.candidate(here.parent)
        if above.fallen or not above.above_standing:
            return
    standing = [c for c in view.candidates(here.position) if not c.fallen]
    if not standing:
        over = view.now() > here.ends_at
        yield Awaited(
            dispute=dispute,
            side=Side.ANYONE if over else Side.DEFENCE,
            move="settle" if over else f"commit to {COMMITTED[here.kind]}",
            position=here.position,
            candidate=None,
            due=0 if over else here.ends_at - here.reserve,
            limit=0 if over else here.ends_at,
        )
    for candidate in standing:
        branch = view.branch(dispute, candidate.candidate)
        said = _turn(branch)
        if said is not None:
            side, move = said
            yield Awaited(
                dispute=dispute,
                side=side,
                move=move,
                position=here.position,
                candidate=candidate.candidate,
                due=0 if side == Side.ANYONE else branch.due,
                limit=0 if side == Side.ANYONE else branch.limit,
            )


def _turn(branch: BranchInfo) -> tuple[Side, str] | None:
    match branch.turn:
        case Turn.DEFENDER:
            return Side.DEFENCE, f"reveal {REVEALED[branch.cursor.kind]}"
        case Turn.CHALLENGER:
            return Side.CHALLENGER, f"select or prove among {REVEALED[branch.cursor.kind]}"
        case Turn.DEFENDER_LATE:
            return Side.ANYONE, "silence"
        case Turn.CHALLENGER_LATE:
            return Side.ANYONE, "timeout"
        case _:
            return None


COMMITTED = {
    Kind.STEPS: "the states within the segment",
    Kind.NODES: "the outputs of the step's nodes",
    Kind.FOLD: "the partial sums of the word",
}
REVEALED = {
    **COMMITTED,
    Kind.TENSOR: "the pages of the output",
    Kind.PAGE: "the words of the page",
    Kind.STATE: "the slots of the state after the step",
}
"""What stands below a position or a cursor, in words."""
