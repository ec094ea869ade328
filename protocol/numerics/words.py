"""Words read as binary32, and the one rounding (N-1 to N-4).

A word is an int with 0 <= word < 2**32. Functions here do not check that.
"""

from __future__ import annotations

NAN = 0x7FC00000
POS_INF = 0x7F800000
NEG_INF = 0xFF800000
ONE = 0x3F800000
MAX_FINITE = 0x7F7FFFFF
SIGN = 0x80000000
MASK = 0xFFFFFFFF

MIN_EXPONENT = -149
"""Every finite binary32 number is a multiple of 2**MIN_EXPONENT."""

PRECISION = 24
"""Bits of a binary32 significand."""


def is_nan(word: int) -> bool:
    return word & ~SIGN > POS_INF


def is_infinite(word: int) -> bool:
    return word & ~SIGN == POS_INF


def is_negative(word: int) -> bool:
    """Whether the sign bit is set; on a canonical word, whether the number is below zero."""
    return word & SIGN != 0


def canonical(word: int) -> int:
    """The word as float primitives and sums read it (N-4): every NaN is NAN, -0 is +0."""
    if is_nan(word):
        return NAN
    return 0 if word == SIGN else word


def negated(word: int) -> int:
    """-word, of a canonical word, canonical (N-2, N-3)."""
    return word if word in (NAN, 0) else word ^ SIGN


def decode(word: int) -> tuple[int, int]:
    """A finite word as (mantissa, exponent): its value is mantissa * 2**exponent, exponent >= -149.

    An infinity or NaN has no such form; check before.
    """
    biased = word >> 23 & 0xFF
    fraction = word & 0x7FFFFF
    magnitude = fraction | 0x800000 if biased else fraction
    return (-magnitude if is_negative(word) else magnitude), max(biased, 1) - 150


def round_dyadic(mantissa: int, exponent: int) -> int:
    """mantissa * 2**exponent, rounded once to binary32: nearest, ties to even (N-1); zero is +0 (N-2)."""
    magnitude = abs(mantissa)
    if magnitude == 0:
        return 0
    # The result's last place: 24 bits below the leading one, but never below the subnormal grid.
    last_place = max(exponent + magnitude.bit_length() - PRECISION, MIN_EXPONENT)
    steps = _shift_to_even(magnitude, last_place - exponent)
    if steps == 0:
        return 0
    # A significand of 2**23 carries into the exponent field by itself, and one rounded up to 2**24 once more.
    word = min(((last_place - MIN_EXPONENT) << 23) + steps, POS_INF)
    return word | SIGN if mantissa < 0 else word


def _shift_to_even(magnitude: int, places: int) -> int:
    """magnitude / 2**places to the nearest integer, ties to even."""
    if places <= 0:
        return magnitude << -places
    quotient, rest = magnitude >> places, magnitude & (1 << places) - 1
    half = 1 << places - 1
    return quotient + (rest > half or (rest == half and quotient & 1))


def round_ratio(numerator: int, denominator: int, exponent: int) -> int:
    """numerator / denominator * 2**exponent, rounded once (N-1). denominator > 0."""
    magnitude = abs(numerator)
    # At least 34 bits of quotient, and a last bit that only says whether a remainder follows.
    shift = max(denominator.bit_length() - magnitude.bit_length() + PRECISION + 10, 0)
    quotient, rest = divmod(magnitude << shift, denominator)
    mantissa = quotient << 1 | (rest != 0)
    return round_dyadic(-mantissa if numerator < 0 else mantissa, exponent - shift - 1)
