"""Square root, exponential and natural logarithm, correctly rounded (N-1, N-5).

The root is exact integer arithmetic. exp and log compute an interval that holds the exact result, in fixed
point with `bits` fractional bits, and take more bits until both its ends round to the same word. That ends:
except at exp(0) and log(1), which are answered first, the result is transcendental, so it is no boundary
between two words.

Intervals are (value, error) in units of 2**-bits: the exact number lies within value +- error.
"""

from __future__ import annotations

from math import isqrt

from protocol.numerics.words import NAN, NEG_INF, ONE, POS_INF, canonical, decode, is_negative, round_dyadic

_FIRST_BITS = 64


def sqrt_word(word: int) -> int:
    """The square root of a float word."""
    word = canonical(word)
    if word in (0, NAN, POS_INF):
        return word
    if is_negative(word):
        return NAN
    mantissa, exponent = decode(word)
    shift = 64 + (exponent & 1)  # leaves an even exponent
    square = mantissa << shift
    root = isqrt(square)
    return round_dyadic(root << 1 | (root * root != square), (exponent - shift) // 2 - 1)


def exp_word(word: int) -> int:
    """e to the power of a float word."""
    word = canonical(word)
    if word in (NAN, POS_INF):
        return word
    if word == 0:
        return ONE
    if word == NEG_INF:
        return 0
    mantissa, exponent = decode(word)
    whole = mantissa >> -exponent if exponent < 0 else mantissa << exponent  # floor of the argument
    if whole >= 89:  # e**89 > 2**128
        return POS_INF
    if whole < -104:  # e**-104 < 2**-150, half of the least subnormal
        return 0
    bits = _FIRST_BITS
    while True:
        value, error, power = _exp(mantissa, exponent, bits)
        low, high = (round_dyadic(end, power - bits) for end in (value - error, value + error))
        if low == high:
            return low
        bits *= 2


def log_word(word: int) -> int:
    """The natural logarithm of a float word."""
    word = canonical(word)
    if word in (NAN, POS_INF):
        return word
    if word == 0:
        return NEG_INF
    if is_negative(word):
        return NAN
    if word == ONE:
        return 0
    mantissa, exponent = decode(word)
    bits = _FIRST_BITS
    while True:
        value, error = _log(mantissa, exponent, bits)
        low, high = (round_dyadic(end, -bits) for end in (value - error, value + error))
        if low == high:
            return low
        bits *= 2


def _exp(mantissa: int, exponent: int, bits: int) -> tuple[int, int, int]:
    """exp(mantissa * 2**exponent) = (value +- error) * 2**(power - bits), for an argument in [-105, 89)."""
    shift = exponent + bits
    argument = mantissa << shift if shift >= 0 else mantissa >> -shift  # less than one unit off
    ln2, ln2_error = _ln2(bits)
    power, rest = divmod(argument, ln2)
    rest_error = 1 + abs(power) * ln2_error
    # exp(rest) by Taylor, 0 <= rest < 0.7. A term is its predecessor times less than 0.35 from the second on,
    # cut by less than one unit: all in all less than 2 units off. When a term is cut to 0, the exact one is
    # below 2 units, and what follows it, in sum, below 2 more.
    value, terms, term = 0, 0, 1 << bits
    while term:
        value += term
        terms += 1
        term = term * rest // (terms << bits)
    # exp grows by less than 2.1 * rest_error where its argument does by rest_error.
    return value, 2 * terms + 4 + 3 * rest_error, power


def _log(mantissa: int, exponent: int, bits: int) -> tuple[int, int]:
    """log(mantissa * 2**exponent) * 2**bits = value +- error, for mantissa > 0."""
    # The argument is ratio * 2**power with the ratio mantissa / 2**scale in [2/3, 4/3).
    scale = mantissa.bit_length() - 1
    if 3 * mantissa >= 4 << scale:
        scale += 1
    power = exponent + scale
    value, error = _atanh(mantissa - (1 << scale), mantissa + (1 << scale), bits)
    ln2, ln2_error = _ln2(bits)
    return 2 * value + power * ln2, 2 * error + abs(power) * ln2_error


def _ln2(bits: int) -> tuple[int, int]:
    """ln 2 = 18 atanh(1/26) - 2 atanh(1/4801) + 8 atanh(1/8749), a Machin-like formula."""
    parts = [(factor, *_atanh(1, base, bits)) for factor, base in ((18, 26), (-2, 4801), (8, 8749))]
    value = sum(factor * part for factor, part, _ in parts)
    return value, sum(abs(factor) * error for factor, _, error in parts)


def _atanh(numerator: int, denominator: int, bits: int) -> tuple[int, int]:
    """atanh(t) * 2**bits = value +- error for t = numerator / denominator, |t| <= 1/5."""
    # atanh t = t + t**3/3 + t**5/5 + ...; a power of t is cut by less than one unit after its predecessor was
    # multiplied by t*t <= 1/25, so it is less than 1.1 units off, and its quotient less than 2.1. When a
    # power is cut to 0, what follows is, in sum, below 2 units.
    magnitude = abs(numerator)
    power, value, terms = (magnitude << bits) // denominator, 0, 0
    while power:
        value += power // (2 * terms + 1)
        terms += 1
        power = power * magnitude * magnitude // (denominator * denominator)
    return (-value if numerator < 0 else value), 3 * terms + 2
