"""The classifier of branches (dispute.md, D-4, D-12, D-13): pure functions over times, for views and moves.

Times are seconds of block timestamps. A move at its due time is in time; reserves are seconds left to a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.game.view import Turn

MOST_TRACES: Final = 4
"""Traces open against one update beyond this many lengthen the allowance no further (D-4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchTimes:
    """What an open branch that has demanded nothing yet is judged by.

    Attributes:
        posted_at: of the candidate; first_demand: of the position; demanded_at: this dispute's demand of it.
        allowance: of the position; response: R of the job.
        moved_at: last move of the branch, None before the first.
        revealed_at: when the children (or the page) of the cursor were revealed, None if they were not. A
            cursor of height 0 needs no reveal and counts as revealed by its own move.
        challenger_reserve, defender_reserve: left to each side.
    """

    posted_at: int
    first_demand: int
    demanded_at: int
    allowance: int
    response: int
    moved_at: int | None
    revealed_at: int | None
    challenger_reserve: int
    defender_reserve: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the classifier says.

    Attributes:
        due: of the move awaited or missed; limit: due plus that side's reserve, the last moment.
        defender_overrun: how far the last reveal came after its due time, drawn with the next move (D-13).
    """

    turn: Turn
    due: int
    limit: int
    defender_overrun: int


def judge(now: int, times: BranchTimes) -> Judgement:
    """Return whose move it is, or who is late (D-12)."""
    since = times.moved_at
    if since is None:
        since = max(times.posted_at, times.demanded_at)
    # INVARIANT: I-4, whoever posts an honest root early, and selects under it at once, hurries nobody.
    reveal_due = max(since, times.first_demand + times.allowance) + times.response
    limit = reveal_due + times.defender_reserve
    # INVARIANT: I-4, a reveal in time counts, one too late does not, whoever looks when.
    answered_at = now if times.revealed_at is None else times.revealed_at
    if answered_at > limit or times.revealed_at is None:
        turn = Turn.DEFENDER_LATE if answered_at > limit else Turn.DEFENDER
        return Judgement(turn=turn, due=reveal_due, limit=limit, defender_overrun=0)
    due = max(since, times.revealed_at) + times.response
    if times.moved_at is None:
        # INVARIANT: I-5, both sides have the time to build the trace.
        due = max(times.posted_at, times.demanded_at + times.allowance) + times.response
    limit = due + times.challenger_reserve
    return Judgement(
        turn=Turn.CHALLENGER_LATE if now > limit else Turn.CHALLENGER,
        due=due,
        limit=limit,
        defender_overrun=max(0, times.revealed_at - reveal_due),
    )


def posting_allowance(allowance: int, traces: int) -> int:
    """Return the allowance of a STEPS or NODES position (D-4).

    Args:
        allowance: A of the job.
        traces: STEPS and NODES positions demanded so far against the update, this one included.
    """
    return allowance * min(traces, MOST_TRACES)


def reserve_after_posting(
    reserve: int, demanded_at: int, allowance: int, response: int, posted_at: int
) -> int:
    """Return the defence's reserve under a candidate: less the overrun of its posting (D-13)."""
    return reserve - max(0, posted_at - (demanded_at + allowance + response))
