"""A value that is not the right one, though it might be taken for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from protocol.job import Job


@dataclass(frozen=True)
class Warp:
    """Where other values come from.

    Attributes:
        ids: of things that exist; parties: addresses; now: seconds.
    """

    random: Random
    ids: Sequence[bytes]
    parties: Sequence[bytes]
    now: int

    def other(self, value: Any) -> Any:
        if isinstance(value, Job):
            return self._other_terms(value)
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return self.random.choice([value + 1, max(0, value - 1), value ^ 1, 63, 64, 1 << 40])
        if isinstance(value, tuple):
            return self._other_list(value)
        if len(value) == 32:
            return self.random.choice(
                [
                    self.random.choice(self.ids),
                    self.random.choice(self.ids),
                    bytes(32),
                    self.random.randbytes(32),
                ]
            )
        return self._other_bytes(value)

    def _other_list(self, value: tuple[bytes, ...]) -> tuple[bytes, ...]:
        more = (*value, self.random.randbytes(32))
        if not value:
            return more
        place = self.random.randrange(len(value))
        changed = (*value[:place], self.random.randbytes(32), *value[place + 1 :])
        return self.random.choice([more, value[1:], changed, value * 2, value[::-1]])

    def _other_bytes(self, value: bytes) -> bytes:
        if len(value) == 20:
            return self.random.choice(self.parties)
        if not value:
            return self.random.randbytes(self.random.choice([1, 97]))
        place = self.random.randrange(len(value))
        flipped = value[:place] + bytes([value[place] ^ 1 << self.random.randrange(8)]) + value[place + 1 :]
        return self.random.choice([flipped, flipped, value[:place], value + b"\0"])

    def _other_terms(self, job: Job) -> Job:
        geometry: dict[str, list[int]] = {
            "n_nodes": [0],
            "batch": [0],
            "steps": [0, (1 << 31) + 1],
            "stride": [0, 8],
            "max_segments": [0, 64],
            "tensor_height": [27],
            "fanout_log2": [0, 9],
            "range_log2": [7],
        }
        clocks: dict[str, list[int]] = {"window": [0], "response": [0], "opening": [0], "lease": [0]}
        amounts: dict[str, list[int]] = {
            "update_bond": [1, 1 << 128],
            "challenge_bond": [1],
            "defence_bond": [1],
            "lease_deposit": [1],
            "reward": [0, 1 << 120],
            "burn_bps": [999, 9001],
        }
        part = self.random.randrange(4)
        if part == 0:
            name = self.random.choice(list(geometry))
            changed = replace(job.geometry, **{name: self.random.choice(geometry[name])})
            return replace(job, geometry=changed)
        if part == 1:
            return replace(job, clocks=replace(job.clocks, **{self.random.choice(list(clocks)): 0}))
        if part == 2:
            name = self.random.choice(list(amounts))
            return replace(job, money=replace(job.money, **{name: self.random.choice(amounts[name])}))
        other: list[Callable[[Job], Job]] = [
            lambda j: replace(j, chain_id=2),
            lambda j: replace(j, board=self.parties[-1]),
            lambda j: replace(j, requester=self.parties[-1]),
            lambda j: replace(j, expiry=self.now),
            lambda j: replace(j, salt=bytes(32)),
        ]
        return self.random.choice(other)(job)
