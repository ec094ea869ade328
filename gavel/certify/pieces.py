"""All words, cut into pieces on each of which one evaluation is proven.

A *plateau* is a range between whose ends the function is monotone and at both of whose ends MPFR rounds to
the same word, so every word in it has that result. A *polynomial* piece has a Taylor polynomial of which the
error is bounded here. A *turn* piece is a part of a binade of a large sine or cosine. What is left are single
words for MPFR.

The bound of a polynomial piece. With t the scaled distance from the center, |t| <= T, C the scaled
coefficients, S the sum of |C[k]| T^k over k = 1 to n, and u = 2^-53: what the series leaves out is at most
M (H/R)^(n+1) / (1 - H/R) by Cauchy's estimate, H the largest distance; rounding the coefficients and Horner's
2n operations cost at most (2n + 4) u S; the second word of the constant loses 2^-104 of it. A piece is taken
if that is together at most 2^-53 of the least value on it, at least |C[0]| - S; the last addition rounds by u
more. All in all the error is below 2^-52, relative.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import gmpy2
import numpy as np
from gmpy2 import mpfr
from numpy.typing import NDArray

from gavel.certify.functions import Function, number, rounded
from prover.engine.scalar_scan import DEGREE, TURN_PLACES

FINITE: Final = ((0x00000001, 0x7F800000), (0x80000001, 0xFF800000))
"""Words of the positive and of the negative finite numbers but zero."""

LARGE: Final = 0x42800000
"""The word of 64: sines and cosines from here on are turned."""

_MOST: Final = 1 << 18
"""Words of the largest piece, for even work and steady progress."""

_U: Final = 2.0**-53


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Words first to end - 1.

    Attributes:
        plateau: their one result, or None.
        turns: whether `_turned` evaluates.
        center, scale, high, low, coefficients: of the polynomial.
        upper, lower: the two halves of a turn's F.
    """

    first: int
    end: int
    plateau: int | None = None
    turns: bool = False
    center: float = 0.0
    scale: float = 1.0
    high: float = 0.0
    low: float = 0.0
    coefficients: NDArray[np.float64] = field(default_factory=lambda: np.zeros(DEGREE))
    upper: int = 0
    lower: int = 0


def cut(function: Function) -> Iterator[Piece | int]:
    """Pieces and single words that are together all finite words but the two zeros, in order."""

    @lru_cache(maxsize=64)
    def result(word: int) -> int:
        return rounded(function.exact(mpfr(number(word))))

    for first, end in FINITE:
        waiting = [(first, end)]
        while waiting:
            low, high = waiting.pop()
            found = _piece(function, low, high, result)
            if found is not None:
                yield found
            elif high - low == 1:
                yield low
            else:
                middle = _middle(low, high)
                waiting += [(middle, high), (low, middle)]


def _middle(low: int, high: int) -> int:
    """Where to cut: at a boundary of binades while there is one inside."""
    middle = (low + high) // 2
    border = middle >> 23 << 23
    return border if low < border < high else middle


def _piece(function: Function, first: int, end: int, result: Any) -> Piece | None:
    least, most = sorted((abs(number(first)), abs(number(end - 1))))
    if most <= function.monotone and result(first) == result(end - 1):
        # Of NaN this holds too: the domains are intervals that reach to one end of the numbers.
        return Piece(first=first, end=end, plateau=result(first)) if end - first <= _MOST else None
    if end - first > _MOST or most > 2.1 * least:
        return None
    if math.isfinite(function.monotone) and first & 0x7FFFFFFF >= LARGE:
        return _turn(first, end)
    return polynomial(function, first, end)


def polynomial(function: Function, first: int, end: int) -> Piece | None:
    """The polynomial piece of a range, or None if its bound does not hold."""
    center = number((first + end) // 2)
    reach = max(abs(number(first) - center), abs(number(end - 1) - center))
    if not gmpy2.is_finite(function.exact(mpfr(number(first)))):
        return None
    radius, most = function.disc(center)
    if not reach < radius / 2:
        return None
    exponent = math.frexp(center)[1]
    series = function.taylor(mpfr(center), DEGREE)
    scaled = [float(c * gmpy2.exp2(exponent * k)) for k, c in enumerate(series)]
    t = math.ldexp(reach, -exponent)
    spread = math.fsum(abs(c) * t**k for k, c in enumerate(scaled) if k) * (1 + 2.0**-40)
    left_out = most * (reach / radius) ** (DEGREE + 1) / (1 - reach / radius) * (1 + 2.0**-40)
    error = left_out + (2 * DEGREE + 4) * _U * spread + abs(scaled[0]) * 2.0**-104
    if not error <= _U * (abs(scaled[0]) - spread):
        return None
    return Piece(
        first=first,
        end=end,
        center=center,
        scale=math.ldexp(1.0, -exponent),
        high=scaled[0],
        low=float(series[0] - mpfr(scaled[0])),
        coefficients=np.array(scaled[1:]),
    )


def _turn(first: int, end: int) -> Piece | None:
    if first >> 23 != end - 1 >> 23:
        return None
    exponent = (first >> 23 & 255) - 150
    with gmpy2.context(gmpy2.get_context(), precision=640):
        turn = gmpy2.exp2(exponent) / (2 * gmpy2.const_pi())
        whole = int(gmpy2.floor((turn - gmpy2.floor(turn)) * gmpy2.exp2(128)))
    return Piece(first=first, end=end, turns=True, upper=whole >> 64, lower=whole & (1 << 64) - 1)


def turn_table(function: Function) -> NDArray[np.float64]:
    """The function at each place of the circle as two doubles, and its derivative; float64[512, 3]."""
    table = np.zeros((TURN_PLACES, 3))
    if math.isfinite(function.monotone):
        for j in range(TURN_PLACES):
            angle = 2 * gmpy2.const_pi() * j / TURN_PLACES
            value, slope = function.taylor(angle, 1)
            if j % (TURN_PLACES // 4) == 0:  # 0 and +-1 exactly, which an angle of so many bits misses
                value, slope = gmpy2.rint(value), gmpy2.rint(slope)
            table[j] = float(value), float(value - mpfr(float(value))), float(slope)
    return table
