"""Content hashes that name updates and the things of a dispute (updates.md, U-4; dispute.md, D-1, D-3, D-5).

Every id is 32 bytes; integers enter as 32 big-endian bytes, addresses as 20 bytes left-padded to 32. A move
that names an id can mean nothing else after a reorganisation (I-9).
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256
from typing import Final

MOST_CANDIDATES: Final = 1023
"""At one position, fallen ones included (D-5)."""

PAGE_LEVELS: Final = 255
"""The number of levels under which a revealed page is stored (D-6)."""


class Kind(IntEnum):
    """Kinds of cursors; STEPS, NODES and FOLD are also the kinds of positions (D-3, D-7)."""

    STEPS = 1
    NODES = 2
    TENSOR = 3
    PAGE = 4
    STATE = 5
    FOLD = 6


def _hash(*words: bytes | int) -> bytes:
    parts = [w.to_bytes(32, "big") if isinstance(w, int) else w.rjust(32, b"\0") for w in words]
    return sha256(b"".join(parts)).digest()


def update_id(
    *,
    job: bytes,
    parent: bytes,
    first_segment: int,
    segments: int,
    history_root: bytes,
    last_state: bytes,
    trainer: bytes,
    falls: int,
) -> bytes:
    """Return the id of an update (U-4); ``parent`` is the id of the tip, or the job id."""
    return _hash(job, parent, first_segment, segments, history_root, last_state, trainer, falls)


def dispute_id(*, update: bytes, segment: int, challenger: bytes, salt: bytes) -> bytes:
    """Return the digest that is reserved, and the id of the dispute opened with it (D-1, D-2)."""
    return _hash(update, segment, challenger, salt)


def demand_id(*, update: bytes, slot: int, page: int, asker: bytes, number: int) -> bytes:
    """Return the id of a demand for a page (Y-2); ``number`` counts those made before against the update."""
    return _hash(update, slot, page, asker, number)


def position_id(parent: bytes, kind: Kind, a: int, b: int = 0) -> bytes:
    """Return the id of a position (D-3).

    Args:
        parent: update id for STEPS, candidate id for NODES and FOLD.
        a: absolute segment (STEPS), step within the segment, from 1 (NODES), node (FOLD).
        b: word index (FOLD), otherwise 0.
    """
    return _hash(parent, int(kind), a, b)


def candidate_id(position: bytes, root: bytes) -> bytes:
    """Return the id of a root at a position (D-5)."""
    return _hash(position, root)
