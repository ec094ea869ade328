"""What the model of the court remembers of disputes, positions, candidates and branches (dispute.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.game.ids import Kind
from protocol.game.view import Cursor, DisputeStatus


@dataclass(slots=True)
class Reservation:
    """D-1. Made by the opening itself where nobody has reserved (D-2)."""

    job: bytes
    time: int
    opened: bool = False


@dataclass(slots=True)
class Dispute:
    """D-2. `demands` holds the time of each demand of this dispute, in order."""

    update: bytes
    segment: int
    challenger: bytes
    reserved_at: int
    status: DisputeStatus = DisputeStatus.OPEN
    demands: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class Position:
    """D-3, D-4. `credit`: the dispute credited with the last fall at it; `covered`: the covered candidate."""

    parent: bytes
    kind: Kind
    a: int
    b: int
    update: bytes
    segment: int
    first: bytes
    last: bytes
    word: int
    fold: int
    ranges: int
    demanded_at: int
    allowance: int
    ends_at: int
    reserve: int
    claimant: bytes
    covered: bytes | None = None
    candidates: list[bytes] = field(default_factory=list)
    credit: bytes | None = None


@dataclass(slots=True)
class Candidate:
    """D-5. `bonded` while a defence bond is held for it."""

    position: bytes
    root: bytes
    height: int
    poster: bytes
    posted_at: int
    bonded: bool
    fallen: bool = False


@dataclass(slots=True)
class Branch:
    """D-7. `moved_at` is None before the first move."""

    cursor: Cursor
    challenger_reserve: int
    defender_reserve: int
    moved_at: int | None = None
    demanded: bytes | None = None
