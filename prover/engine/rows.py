"""The schedule of a job for whole batches (program.md, P-7): the rows of protocol.program.schedule, fast.

The round function of an epoch has few arguments, 2^w for each of 4 rounds, so its values are tabulated once
per epoch and the Feistel network runs over arrays.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.program import schedule
from protocol.program.schedule import MAX_ROWS, MAX_WALKS, ROUNDS

WHOLE_EPOCH: Final = 1 << 20
"""Datasets up to this many rows have whole epochs permuted at once."""

_EPOCHS_KEPT: Final = 2
_SAMPLES_MOST: Final = 1 << 62


class Schedule:
    """Rows of one job's batches.

    Attributes:
        seed, n_rows, batch: as for `protocol.program.schedule.row`.
    """

    def __init__(self, seed: bytes, n_rows: int, batch: int) -> None:
        """Bind the schedule; nothing is computed yet."""
        self.seed, self.n_rows, self.batch = seed, n_rows, batch
        self._rows = min(n_rows, MAX_ROWS)
        self._samples = self._rows - self._rows % batch if 0 < batch <= self._rows else self._rows
        half = 1
        while 1 << 2 * half < self._rows:
            half += 1
        self._half = half
        self._noise: OrderedDict[int, NDArray[np.int64]] = OrderedDict()
        self._epochs: OrderedDict[int, NDArray[np.int64]] = OrderedDict()

    def rows(self, step: int, start: int, count: int) -> NDArray[np.uint32]:
        """Rows at batch positions start to start + count - 1, taken modulo 2^32, of one step."""
        first = step * self.batch + start
        if self._rows == 0 or start + count > 1 << 32 or first + count > _SAMPLES_MOST:
            rows = [self._single(step, start + i) for i in range(count)]
            return np.array(rows, dtype=np.uint64).astype(np.uint32)
        out = np.empty(count, np.uint32)
        done = 0
        while done < count:
            epoch, place = divmod(first + done, self._samples)
            size = min(count - done, self._samples - place)
            out[done : done + size] = self._of_epoch(epoch, place, size)
            done += size
        return out

    def _single(self, step: int, position: int) -> int:
        row = schedule.row(self.seed, self.n_rows, self.batch, step, position % (1 << 32))
        return row % (1 << 32)

    def _of_epoch(self, epoch: int, place: int, size: int) -> NDArray[np.int64]:
        if self._samples > WHOLE_EPOCH:
            return self._permuted(epoch, np.arange(place, place + size, dtype=np.int64))
        if epoch not in self._epochs:
            self._epochs[epoch] = self._permuted(epoch, np.arange(self._samples, dtype=np.int64))
            while len(self._epochs) > _EPOCHS_KEPT:
                self._epochs.popitem(last=False)
        return self._epochs[epoch][place : place + size]

    def _permuted(self, epoch: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        noise = self._noise_of(epoch)
        half, mask = self._half, (1 << self._half) - 1
        walking = np.arange(places.size)
        for _ in range(MAX_WALKS):
            now = places[walking]
            left, right = now >> half, now & mask
            for i in range(ROUNDS):
                left, right = right, left ^ noise[i, right]
            now = left << half | right
            places[walking] = now
            walking = walking[now >= self._rows]
            if not walking.size:
                break
        return places % self._rows

    def _noise_of(self, epoch: int) -> NDArray[np.int64]:
        """F(i, right) mod 2^w of one epoch, int64[4, 2^w]."""
        if epoch not in self._noise:
            key = self.seed + (epoch % (1 << 64)).to_bytes(8, "big")
            table = np.empty((ROUNDS, 1 << self._half), np.int64)
            for i in range(ROUNDS):
                prefix = sha256(key + bytes([i]))
                for right in range(1 << self._half):
                    hasher = prefix.copy()
                    hasher.update(right.to_bytes(4, "big"))
                    table[i, right] = int.from_bytes(hasher.digest()[:4], "big")
            self._noise[epoch] = table & ((1 << self._half) - 1)
            while len(self._noise) > _EPOCHS_KEPT:
                self._noise.popitem(last=False)
        return self._noise[epoch]
