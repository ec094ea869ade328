"""Everything a party can send, as values (updates.md, dispute.md).

A move's fields are the arguments of the contract's function of the same name in snake case (`SelectStep` is
``select_step``), in order. Addresses are 20 bytes, hashes and roots 32 bytes, lists are tuples.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.game.demand_moves import DemandMove
from protocol.job import Job

Hashes = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """Open and fund a job (U-1)."""

    terms: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Give notice of the end of a job (U-9)."""

    job: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Pay the requester back what was not earned (U-9)."""

    job: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Take the lease (U-3)."""

    job: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give the lease back in time (U-3)."""

    job: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """End a late lease (U-3)."""

    job: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Post the state roots after each of n further segments on the tip, or on the job itself (U-4)."""

    job: bytes
    parent: bytes
    states: Hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalise:
    """Record updates as final (U-6); changes nothing that a view by time would not say already."""

    job: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Credit a final update's trainer (U-7)."""

    update: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaim:
    """Credit a void update's trainer with its bond (U-8)."""

    update: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Pay the sender's credit (U-10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawBurned:
    """Move what was burned out of the ledger (M-7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """Lock the challenge bond for a dispute named by its digest (D-1)."""

    job: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReservation:
    """Take back a reservation that was not opened (D-2)."""

    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Open a dispute against one segment of an update; reserves it now if that was not done (D-2).

    Attributes:
        segment: absolute number of the segment.
        salt: 32 bytes of the digest.
        first, first_path, last, last_path: leaves segment - first segment, and the next, of the
            history tree (C-9).
    """

    update: bytes
    segment: int
    salt: bytes
    first: bytes
    first_path: Hashes
    last: bytes
    last_path: Hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """Let another address answer for the sender, or stop it (D-5)."""

    who: bytes
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Post a candidate at a position (D-5).

    Attributes:
        children: the first child list.
        first_path, last_path: of the end points, from the leaf to the child above it; empty where there
            is none.
        accumulator: 97 bytes at a FOLD position, otherwise empty.
    """

    position: bytes
    children: Hashes
    first_path: Hashes
    last_path: Hashes
    accumulator: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reveal:
    """Reveal 2^l children of the hash that they hash to (D-6)."""

    children: Hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealPage:
    """Reveal the 256 bytes of a page (D-6)."""

    page: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Move the cursor of a branch down to a revealed child (D-8)."""

    dispute: bytes
    candidate: bytes
    index: int
    leaf: bytes
    path: Hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectStep:
    """Select the first wrong step and open the state before it (D-9)."""

    dispute: bytes
    candidate: bytes
    index: int
    leaf: bytes
    path: Hashes
    before: bytes
    before_path: Hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectWord:
    """Select the first wrong word of a page when its fold is to be bisected (D-10).

    Attributes:
        page: 256 bytes that hash to the cursor.
        opening: descriptor (1024 bytes) and its path (P-16).
    """

    dispute: bytes
    candidate: bytes
    index: int
    page: bytes
    opening: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Prove:
    """Prove a leaf below the cursor wrong (D-11).

    Attributes:
        index: of the leaf below the cursor.
        witness: the stream of P-15.
    """

    dispute: bytes
    candidate: bytes
    index: int
    witness: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Fell a candidate whose defence is late (D-14)."""

    dispute: bytes
    candidate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """End a dispute whose challenger is late (D-15)."""

    dispute: bytes
    candidate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Fell what hangs above an ended, empty position, upward (D-14)."""

    position: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Take back the bond of a dispute whose update is gone (D-16)."""

    dispute: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """Give the defence bond of a surviving candidate back to its poster (D-16)."""

    candidate: bytes


BoardMove = (
    OpenJob
    | Cancel
    | Refund
    | Lease
    | Release
    | Evict
    | Post
    | Finalise
    | Claim
    | Reclaim
    | Withdraw
    | WithdrawBurned
)
CourtMove = (
    Reserve
    | CancelReservation
    | Open
    | Delegate
    | Commit
    | Reveal
    | RevealPage
    | Select
    | SelectStep
    | SelectWord
    | Prove
    | Silence
    | Timeout
    | Settle
    | Close
    | Free
)
Move = BoardMove | CourtMove | DemandMove
