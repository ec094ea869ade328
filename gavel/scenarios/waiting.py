"""When something in a dispute comes to an end by itself, if nobody moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from protocol.game.view import CourtView, DisputeStatus, Turn
from protocol.job import Clocks


def next_moment(view: CourtView, *, challengers: Iterable[bytes], clocks: Clocks) -> int | None:
    """Return the last second in which whoever is awaited is in time, or before somebody stands in for it
    (A-40); None if nobody is.

    Args:
        view: the chain now.
        challengers: whose reservations to look at, 20 bytes each.
        clocks: of the job.
    """
    halves = [half - 1 for half in _halves(view, clocks.response) if half > view.now()]
    limits = [
        reservation.time + clocks.opening
        for challenger in challengers
        for reservation in view.reservations(challenger)
        if not reservation.opened
    ]
    ends = []
    for dispute in view.disputes():
        if dispute.status != DisputeStatus.OPEN:
            continue
        for position in view.demands(dispute.dispute):
            ends.append(view.position(position).ends_at)
            for candidate in view.candidates(position):
                branch = view.branch(dispute.dispute, candidate.candidate)
                if branch.turn in (Turn.DEFENDER, Turn.CHALLENGER):
                    limits.append(branch.limit)
    limits = [limit for limit in limits if limit >= view.now()] + halves
    # Where nobody is to move, all positions have to end before anything can be settled (D-14).
    awaited = min(limits) if limits else max(ends, default=-1)
    return awaited if awaited >= view.now() else None


def _halves(view: CourtView, response: int) -> Iterator[int]:
    """When those begin to answer who have left half of the time to a trainer."""
    for dispute in view.disputes():
        if dispute.status != DisputeStatus.OPEN:
            continue
        for position in view.demands(dispute.dispute):
            here, standing = view.position(position), view.candidates(position)
            if not standing:
                yield here.demanded_at + (here.allowance + response) // 2
            for candidate in standing:
                branch = view.branch(dispute.dispute, candidate.candidate)
                if branch.turn == Turn.DEFENDER:
                    yield branch.due - response // 2
