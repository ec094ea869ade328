"""How near exp and log of any word come to a point halfway between two words.

The contract evaluates both in fixed point with a stated error, which is small enough if no exact result lies
nearer to such a point. Here every argument is scanned in binary64; whatever comes near is measured by MPFR.
"""

from __future__ import annotations

import math
from typing import Any

import gmpy2
import numba
import numpy as np
import pytest

from tests.support.mpfr import HARDEST_EXP, HARDEST_LOG, to_float

NEAR = 8
"""Last places of binary64 within which MPFR looks; the library's exp and log err by less than one."""


@numba.njit
def _near_halfway(function: int, first: int, end: int, found: Any) -> int:
    count = 0
    word, number = np.empty(1, np.uint32), np.empty(1, np.float64)
    as_float, as_bits = word.view(np.float32), number.view(np.int64)
    for candidate in range(first, end):
        word[0] = np.uint32(candidate)
        argument = np.float64(as_float[0])
        number[0] = math.exp(argument) if function == 0 else abs(math.log(argument))
        exponent = (as_bits[0] >> 52) - 1023
        significand = as_bits[0] & ((1 << 52) - 1) | (1 << 52)
        dropped = 29 + max(-126 - exponent, 0)  # bits of binary64 that binary32 has no room for
        if dropped <= 54 and abs((significand & ((1 << dropped) - 1)) - (1 << (dropped - 1))) <= NEAR:
            found[count] = candidate
            count += 1
    return count


def _scan(function: int, ranges: tuple[tuple[int, int], ...]) -> list[int]:
    words: list[int] = []
    for first, end in ranges:
        found = np.zeros(10_000, np.int64)
        words += found[: _near_halfway(function, first, end, found)].tolist()
    return words


def _distance(result: gmpy2.mpfr) -> float:
    """log2 of a result's distance to the nearest halfway point, in halves of its last place."""
    last_place = max(math.frexp(float(result))[1] - 24, -149)
    scaled = abs(result) / gmpy2.exp2(last_place)
    return float(gmpy2.log2(2 * abs(scaled - gmpy2.floor(scaled) - gmpy2.mpfr("0.5"))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "ranges", "hardest", "nearest"),
    [
        # Beyond these arguments exp is 1, infinite or 0, whatever its exact value (`exp_word` in scalar.vy).
        (0, ((0x32800001, 0x42B20000), (0xB2800001, 0xC2D00000)), HARDEST_EXP, -27.661),
        (1, ((0x00000001, 0x3F800000), (0x3F800001, 0x7F800000)), HARDEST_LOG, -33.044),
    ],
    ids=["exp", "log"],
)
def test_no_result_lies_nearer_to_halfway(
    function: int, ranges: tuple[tuple[int, int], ...], hardest: tuple[int, ...], nearest: float
) -> None:
    exact = (gmpy2.exp, gmpy2.log)[function]
    with gmpy2.context(gmpy2.get_context(), precision=300):
        distances = {word: _distance(exact(gmpy2.mpfr(to_float(word)))) for word in _scan(function, ranges)}
    by_distance = sorted(distances, key=distances.__getitem__)
    assert tuple(by_distance[: len(hardest)]) == hardest
    assert distances[by_distance[0]] == pytest.approx(nearest, abs=1e-3)
