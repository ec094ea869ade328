"""Which dataset row stands where in which batch (program.md, P-7).

An epoch is a permutation of the rows, made by a keyed Feistel network, so that the contract can compute any
single row and nobody stores a shuffled order.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_ROWS: Final = 1 << 32
ROUNDS: Final = 4
MAX_WALKS: Final = 64


def row(seed: bytes, n_rows: int, batch: int, step: int, position: int) -> int:
    """Return the dataset row at one batch position of one step.

    Total: an empty dataset gives row 0, and any position is accepted.

    Args:
        seed: 32 bytes of the job.
        n_rows: rows of the dataset; more than 2**32 count as 2**32.
        batch: rows per step.
        step: counted from the start of the job.
        position: in the batch.
    """
    n_rows = min(n_rows, MAX_ROWS)
    if n_rows == 0:
        return 0
    samples = n_rows - n_rows % batch if 0 < batch <= n_rows else n_rows
    epoch, place = divmod(step * batch + position, samples)
    return _permuted(seed, epoch, place, n_rows)


def rows(seed: bytes, n_rows: int, batch: int, step: int) -> NDArray[np.int64]:
    """Return the rows of a whole batch, int64[batch]; arguments as for `row`."""
    return np.array([row(seed, n_rows, batch, step, position) for position in range(batch)], dtype=np.int64)


def _permuted(seed: bytes, epoch: int, place: int, n_rows: int) -> int:
    half = 1
    while 1 << 2 * half < n_rows:
        half += 1
    mask = (1 << half) - 1
    key = seed + (epoch % (1 << 64)).to_bytes(8, "big")
    for _ in range(MAX_WALKS):
        left, right = place >> half, place & mask
        for i in range(ROUNDS):
            noise = sha256(key + bytes([i]) + right.to_bytes(4, "big")).digest()
            left, right = right, left ^ (int.from_bytes(noise[:4], "big") & mask)
        place = left << half | right
        if place < n_rows:
            break
    return place % n_rows
