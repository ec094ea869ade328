"""When something in a dispute comes to an end by itself, if nobody moves."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.game.view import CourtView, DisputeStatus, Turn


def next_moment(view: CourtView, *, challengers: Iterable[bytes], opening: int) -> int | None:
    """Return the last second in which whoever is awaited is in time; None if nobody is.

    Args:
        view: the chain now.
        challengers: whose reservations to look at, 20 bytes each.
        opening: V of the job, in seconds.
    """
    limits = [
        reservation.time + opening
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
    limits = [limit for limit in limits if limit >= view.now()]
    # Where nobody is to move, all positions have to end before anything can be settled (D-14).
    awaited = min(limits) if limits else max(ends, default=-1)
    return awaited if awaited >= view.now() else None
