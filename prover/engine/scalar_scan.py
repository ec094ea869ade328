"""Kernels that hold a scalar function's fast kernel against a second evaluation, word after word.

The second evaluation shares nothing with the first: a Taylor polynomial of which the caller proves that it is
within 2^-52 of the exact value, relative (gavel/certify/pieces.py), or for the sine and cosine of large
numbers a turn in 128-bit integers and a table. Per word the kernels check that the fast binary64 value is
close, and that the word which was certified is the one that the second evaluation rounds to; words whose
exact value is too near to a boundary between two words for that are listed, for MPFR to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit

from prover.engine import scalars, tabulated
from prover.engine.scalars import Array, kernel, word_of

DEGREE: Final = 11
"""Of the Taylor polynomials."""

NEAR: Final = 2.0**-47
"""Words are listed whose second evaluation lies this near to a boundary, relative; above its own error."""

BLOCK: Final = 1024

TURN_PLACES: Final = 512
"""Places on the circle of the table for large sines."""

FUNCTIONS: Final[dict[str, Any]] = {
    "EXP": scalars.exp64,
    "LOG": scalars.log_or_edge,
    "RSQRT": scalars.rsqrt64,
    "EXPM1": scalars.expm1_64,
    "LOG1P": scalars.log1p64,
    "TANH": scalars.tanh64,
    "SIGMOID": scalars.sigmoid64,
    "ERF": tabulated.erf64,
    "SIN": tabulated.sin64,
    "COS": tabulated.cos64,
}
"""The binary64 kernels by the names of their primitives; SQRT has none, it is an operation of binary32."""


@kernel
def _polynomial(x: Any, center: Any, scale: Any, high: Any, low: Any, coefficients: Array) -> Any:
    """high + low + sum of coefficients[k-1] t^k with t = (x - center) * scale, exact."""
    t = (x - center) * scale
    q = coefficients[10]
    q = coefficients[9] + t * q
    q = coefficients[8] + t * q
    q = coefficients[7] + t * q
    q = coefficients[6] + t * q
    q = coefficients[5] + t * q
    q = coefficients[4] + t * q
    q = coefficients[3] + t * q
    q = coefficients[2] + t * q
    q = coefficients[1] + t * q
    q = coefficients[0] + t * q
    return high + (low + t * q)


@kernel
def _turned(word: Any, high: Any, low: Any, table: Array) -> Any:
    """sin(2 pi m F) with m the word's significand and F = high 2^-64 + low 2^-128; table: float64[512, 3].

    F is off by less than 2^-128, the turn so by 2^-104. The distance h to the nearest place of the table is
    converted within 2u and times 2 pi within 4u; where the table has 0, h is all there is, elsewhere it is
    at most half of what the table has. So the value is within 2^-50.
    """
    m = np.uint64((word & np.uint32(0x7FFFFF)) | np.uint32(0x800000))
    a = m * (low >> np.uint64(32))
    b = m * (low & np.uint64(0xFFFFFFFF))
    middle = a + (b >> np.uint64(32))
    bottom = (middle << np.uint64(32)) | (b & np.uint64(0xFFFFFFFF))
    top = m * high + (middle >> np.uint64(32))
    place = (top + np.uint64(1 << 54)) >> np.uint64(55)
    rest = np.int64(top - (place << np.uint64(55)))
    h = np.float64(rest) * 5.421010862427522e-20 + np.float64(bottom) * 2.938735877055719e-39
    h = h * 6.283185307179586
    j = np.int64(place & np.uint64(511))
    z = h * h
    sine = h + h * (z * (-0.16666666666666666 + z * (0.008333333333333333 + z * -0.0001984126984126984)))
    cosine = z * (-0.5 + z * (0.041666666666666664 + z * -0.001388888888888889))
    return table[j, 0] + (table[j, 1] + (table[j, 2] * sine + table[j, 0] * cosine))


@kernel
def _judge(values: Array, words: Array, near: Array, start: Any, count: Any) -> Any:
    """Compare words with what values round to; list from near[count] on those too near to a boundary.

    Returns: how many were listed, how many of the others differ.
    """
    unsure = np.int64(0)
    wrong = np.int64(0)
    for j in range(words.size):
        e = abs(values[j]) * NEAR
        below = np.float32(values[j] - e)
        above = np.float32(values[j] + e)
        open_ = below != above
        unsure += np.int64(open_)
        wrong += np.int64((not open_) & (word_of(below) != words[j]))
    if unsure > 0:
        for j in range(words.size):
            e = abs(values[j]) * NEAR
            if np.float32(values[j] - e) != np.float32(values[j] + e):
                near[count] = start + j
                count += 1
    return unsure, wrong


@kernel
def _no_function(x: Any) -> Any:
    return x


def scanner(name: str) -> Callable[..., tuple[int, int, int]]:
    """The kernel of one function.

    It is called ``(first, got, turns, center, scale, high, low, coefficients, upper, lower, table, near)``:
    the first word, what the fast kernel wrote for it and its successors (uint32), whether `_turned` or
    `_polynomial` evaluates, then the arguments of either; `near` (int64) receives offsets of listed words. It
    returns how many are listed, how many of the others have a wrong word, and the bits of the largest
    relative difference between the two binary64 values.
    """
    function = FUNCTIONS.get(name, _no_function)
    compare = name in FUNCTIONS
    odd = name == "SIN"

    def scan(
        first: Any, got: Array, turns: Any, center: Any, scale: Any, high: Any, low: Any, coefficients: Array,
        upper: Any, lower: Any, table: Array, near: Array,
    ) -> Any:  # fmt: skip
        count = np.int64(0)
        wrong = np.int64(0)
        worst = np.int64(0)
        block = np.empty(BLOCK, np.float64)
        for start in range(0, got.size, BLOCK):
            words = got[start : start + BLOCK]
            values = block[: words.size]
            if turns:
                for j in range(words.size):
                    word = np.uint32(first + start + j)
                    v = _turned(word, upper, lower, table)
                    values[j] = -v if odd and word >> np.uint32(31) else v
            else:
                for j in range(words.size):
                    x = np.float64(np.uint32(first + start + j).view(np.float32))
                    values[j] = _polynomial(x, center, scale, high, low, coefficients)
            if compare:
                for j in range(words.size):
                    x = np.float64(np.uint32(first + start + j).view(np.float32))
                    difference = abs(function(x) - values[j]) / abs(values[j])
                    # Order of the bits is order of numbers that are not negative, with NaN above all.
                    worst = max(worst, np.float64(difference).view(np.int64))
            listed, differ = _judge(values, words, near, start, count)
            count += listed
            wrong += differ
        return count, wrong, worst

    compiler: Any = njit(error_model="numpy", nogil=True, fastmath=False, boundscheck=False)
    made: Callable[..., tuple[int, int, int]] = compiler(scan)
    return made


def as_number(bits: int) -> float:
    """The binary64 of bits that a scanner returned."""
    return float(np.int64(bits).view(np.float64))
