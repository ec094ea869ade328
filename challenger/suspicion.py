"""Which claims to replay first (actors.md, A-18): pure functions of what is at hand without a replay.

The order decides nothing but when something is found. A cheat who knows these rules can look usual: they are
for faults and for the careless, and what they leave is replayed all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Final

import numpy as np

from protocol.commitments.canonical import Words

TINY: Final = 2.0**-149
"""Stands for no change at all, whose logarithm is suspect by itself."""

LEAST_DEVIATION: Final = 0.05
"""Of a logarithm: where all claims are alike, a change by a twentieth is one deviation."""

BROKEN: Final = 1e6
"""Score of a state that lost its numbers, or of a loss that is none."""

RECORD: Final = 10.0
"""Score per update of the trainer that fell, or candidate of its that was lost."""

FEWEST: Final = 4
"""Claims from which one can say what is usual."""

AROUND: Final = 4
"""Neighbours on each side that say so."""

MOST: Final = 100.0
"""Deviations that one slot or loss counts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a state differs from the one before it.

    Attributes:
        relative: by slot ||b - a|| / ||a|| over the words that are finite in both as binary32.
        broken: words that are NaN or infinite after and were not before.
    """

    relative: tuple[float, ...]
    broken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one claim without a replay of it.

    Attributes:
        segment: absolute.
        change: None while the states have not been compared.
        loss: mean of those recorded for the segment, by whoever wrote the manifest; None if there are none.
        record: updates fallen and candidates lost of the trainer.
    """

    segment: int
    change: Change | None = None
    loss: float | None = None
    record: int = 0


def change_of(before: Sequence[Words], after: Sequence[Words]) -> Change:
    """Compare two states slot by slot.

    Args:
        before, after: flat uint32 words of every slot, read as binary32: for integers the number says
            nothing, but says it of every claim alike.
    """
    relative, broken = [], 0
    for old, new in zip(before, after, strict=True):
        a, b = old.view(np.float32), new.view(np.float32)
        finite_a, finite_b = np.isfinite(a), np.isfinite(b)
        broken += int(np.count_nonzero(finite_a & ~finite_b))
        both = finite_a & finite_b
        base = np.where(both, a, 0).astype(np.float64)
        moved = np.where(both, b, 0).astype(np.float64) - base
        size = math.sqrt(float(base @ base))
        relative.append(math.sqrt(float(moved @ moved)) / (size or 1.0))
    return Change(relative=tuple(relative), broken=broken)


def scores(claims: Sequence[Evidence]) -> list[float]:
    """Return a score for each claim, in their order: the higher, the sooner it is to be replayed."""
    found = [RECORD * claim.record for claim in claims]
    looked = [(at, claim.change) for at, claim in enumerate(claims) if claim.change is not None]
    if looked:
        columns = zip(*(change.relative for _, change in looked), strict=True)
        unusual = [_unusual([math.log(value + TINY) for value in column]) for column in columns]
        for number, (at, change) in enumerate(looked):
            slots = [slot[number] for slot in unusual]
            found[at] += max(slots, default=0.0) + fmean(slots or [0.0]) + BROKEN * (change.broken > 0)
    for at, score in _losses(claims):
        found[at] += score
    return found


def _losses(claims: Sequence[Evidence]) -> list[tuple[int, float]]:
    """Each recorded loss against the trend: its difference to the claim before it."""
    told = [(at, claim.loss) for at, claim in enumerate(claims) if claim.loss is not None]
    finite = [(at, loss) for at, loss in told if math.isfinite(loss)]
    steps = [later - earlier for (_, earlier), (_, later) in pairwise(finite)]
    found = [(at, BROKEN) for at, loss in told if not math.isfinite(loss)]
    return found + [(at, score) for (at, _), score in zip(finite[1:], _unusual(steps), strict=True)]


def _unusual(values: Sequence[float]) -> list[float]:
    """Distance of each value from those around it, in multiples of the median distance; 0 for a few values.

    Training slows down as it goes on, so what is usual is asked of the neighbours alone.
    """
    if len(values) < FEWEST:
        return [0.0] * len(values)
    distances = []
    for at, value in enumerate(values):
        around = [*values[max(at - AROUND, 0) : at], *values[at + 1 : at + 1 + AROUND]]
        distances.append(abs(value - median(around)))
    deviation = max(median(distances), LEAST_DEVIATION)
    return [min(distance / deviation, MOST) for distance in distances]
