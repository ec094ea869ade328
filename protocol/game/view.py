"""What the chain says, as a solver reads it.

`CourtView` is implemented by the pure model (protocol.game.model) and by the chain client (protocol.chain).
All of it is read afresh before every decision (A-6). Addresses are 20 bytes, ids and roots 32, times seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from protocol.game.ids import Kind


class UpdateStatus(Enum):
    """U-11. FINAL is judged by time and open disputes (U-6), recorded or not."""

    PENDING = "pending"
    FINAL = "final"
    FALLEN = "fallen"
    VOID = "void"


class DisputeStatus(Enum):
    """OPEN until it is LOST (D-15) or CLOSED: credited with its update's fall, or closed since that is
    gone.
    """

    OPEN = "open"
    LOST = "lost"
    CLOSED = "closed"


class Turn(Enum):
    """What the classifier says of a branch (D-12)."""

    CLOSED = "closed"
    WAITING = "waiting"
    DEFENDER = "defender"
    DEFENDER_LATE = "defender_late"
    CHALLENGER = "challenger"
    CHALLENGER_LATE = "challenger_late"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateInfo:
    """An update as posted (U-4).

    Attributes:
        parent: update id, or the job id for index 0.
        first_segment, segments: absolute number of its first segment, and how many.
        first_state: the state root it starts from; states: the posted roots, one per segment.
        deadline: last moment of a reservation against it (U-5).
    """

    update: bytes
    job: bytes
    parent: bytes
    trainer: bytes
    index: int
    first_segment: int
    segments: int
    first_state: bytes
    states: tuple[bytes, ...]
    deadline: int
    status: UpdateStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationInfo:
    """A reservation (D-1); `opened` once the dispute of that id exists. A cancelled one is gone."""

    challenger: bytes
    digest: bytes
    job: bytes
    time: int
    opened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeInfo:
    """A dispute (D-2). `reserved_at` is the time of its reservation, `segment` absolute."""

    dispute: bytes
    update: bytes
    segment: int
    challenger: bytes
    reserved_at: int
    status: DisputeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionInfo:
    """A demanded position (D-3, D-4).

    Attributes:
        parent, kind, a, b: what its id hashes.
        update: the update under attack; segment: absolute.
        first, last: D-3: state roots (STEPS, NODES); for FOLD both empty.
        word: for FOLD the committed word; fold, ranges: its fold (P-2) and R; otherwise 0.
        demanded_at, allowance, ends_at: D-4; reserve: g, the defence's.
        claimant: id of the dispute with the earliest reservation.
        own_posted: whether the trainer's own side has used its free candidate (D-5).
    """

    position: bytes
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
    own_posted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateInfo:
    """A candidate (D-5).

    Attributes:
        height: of its tree.
        bonded: whether a defence bond is held for it (neither covered, lost nor taken back).
        above_standing: whether nothing that it hangs under has fallen and the update is live.
    """

    candidate: bytes
    position: bytes
    root: bytes
    height: int
    poster: bytes
    posted_at: int
    bonded: bool
    fallen: bool
    above_standing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a branch has come to (D-7): a subtree of this height and index among those of its height.

    Attributes:
        node: under NODES, the node selected; otherwise 0.
    """

    kind: Kind
    hash: bytes
    height: int
    index: int
    node: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchInfo:
    """A branch (D-7) as the classifier judges it now (D-12).

    Attributes:
        turn: whose move it is.
        due: when that move is due; limit: the due time plus that side's reserve, the last moment. Both 0 when
            CLOSED or WAITING.
        challenger_reserve, defender_reserve: seconds left, before the move under way draws on them (D-13).
        demanded: the position demanded from here, or None.
    """

    dispute: bytes
    candidate: bytes
    cursor: Cursor
    turn: Turn
    due: int
    limit: int
    challenger_reserve: int
    defender_reserve: int
    demanded: bytes | None


class CourtView(Protocol):
    """The chain at one moment. Unknown ids raise UsageError, except where None is said."""

    def now(self) -> int:
        """Time at which a move sent now would be judged."""
        ...

    def chain(self, job: bytes) -> Sequence[UpdateInfo]:
        """The live updates of a job in order (U-2)."""
        ...

    def update(self, update: bytes) -> UpdateInfo:
        """Any update ever posted."""
        ...

    def reservations(self, challenger: bytes) -> Sequence[ReservationInfo]:
        """Reservations of one challenger, opened ones included, oldest first."""
        ...

    def dispute(self, dispute: bytes) -> DisputeInfo:
        """One dispute."""
        ...

    def disputes(
        self, *, update: bytes | None = None, challenger: bytes | None = None
    ) -> Sequence[DisputeInfo]:
        """Disputes ever opened, of an update and/or of a challenger, oldest first."""
        ...

    def positions(self, *, update: bytes) -> Sequence[PositionInfo]:
        """Positions ever demanded against an update, oldest first."""
        ...

    def position(self, position: bytes) -> PositionInfo:
        """One demanded position."""
        ...

    def demands(self, dispute: bytes) -> Sequence[bytes]:
        """Ids of the positions that a dispute has demanded, oldest first; the first is its STEPS."""
        ...

    def candidates(self, position: bytes) -> Sequence[CandidateInfo]:
        """Candidates at a position, fallen ones included, oldest first; empty for a position not demanded."""
        ...

    def candidate(self, candidate: bytes) -> CandidateInfo:
        """One candidate."""
        ...

    def branch(self, dispute: bytes, candidate: bytes) -> BranchInfo:
        """The branch of a dispute under a candidate at a position that it has demanded (D-7, D-12)."""
        ...

    def children(self, node: bytes, levels: int) -> Sequence[bytes] | None:
        """The 2^levels nodes that many levels below a hash, if revealed or committed by anyone (D-6)."""
        ...

    def page(self, page_hash: bytes) -> bytes | None:
        """The 256 bytes of a revealed page, or None (D-6)."""
        ...
