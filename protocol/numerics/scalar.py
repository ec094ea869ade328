"""The scalar functions, correctly rounded (N-1, N-5, N-15).

Roots are exact integer arithmetic. The others compute an interval that holds the exact result, in fixed point
with `bits` fractional bits, and take more bits until both its ends round to the same word. That ends: except
at arguments that are answered first, the result is transcendental (N-15), so it is no boundary between two
words.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from types import MappingProxyType
from typing import Final

from protocol.numerics import intervals
from protocol.numerics.intervals import shifted
from protocol.numerics.opcodes import Op
from protocol.numerics.words import (
    NAN,
    NEG_INF,
    ONE,
    POS_INF,
    SIGN,
    canonical,
    decode,
    is_infinite,
    is_negative,
    round_dyadic,
)

_FIRST_BITS = 64
_HALF: Final = 0x3F000000
_MINUS_ONE: Final = ONE | SIGN


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


def rsqrt_word(word: int) -> int:
    """1 over the square root of a float word."""
    word = canonical(word)
    if word in (0, NAN, POS_INF):
        return {0: POS_INF, NAN: NAN, POS_INF: 0}[word]
    if is_negative(word):
        return NAN
    mantissa, exponent = decode(word)
    shift = 128 + (exponent & 1)
    # The integer root of an integer quotient is that of the quotient itself.
    root = isqrt((1 << shift) // mantissa)
    inexact = root * root * mantissa != 1 << shift
    return round_dyadic(root << 1 | inexact, -(exponent + shift) // 2 - 1)


def exp_word(word: int) -> int:
    """e to the power of a float word."""
    word = canonical(word)
    if word in (NAN, POS_INF):
        return word
    if word == 0:
        return ONE
    whole = _whole(word)
    if whole >= 89:  # e**89 > 2**128
        return POS_INF
    if whole < -104:  # e**-104 < 2**-150, half of the least subnormal
        return 0
    mantissa, exponent = decode(word)
    return _decided(lambda bits: _exp(mantissa, exponent, bits))


def expm1_word(word: int) -> int:
    """e to the power of a float word, less 1."""
    word = canonical(word)
    if word in (0, NAN, POS_INF):
        return word
    whole = _whole(word)
    if whole >= 89:
        return POS_INF
    if whole < -104:
        return _MINUS_ONE
    mantissa, exponent = decode(word)

    def interval(bits: int) -> tuple[int, int, int]:
        value, error, _ = _exp(mantissa, exponent, bits, relative=False)
        return value - (1 << bits), error, -bits

    return _decided(interval)


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
    return _decided(lambda bits: (*intervals.log(mantissa, exponent, bits), -bits))


def log1p_word(word: int) -> int:
    """The natural logarithm of 1 plus a float word."""
    word = canonical(word)
    if word in (0, NAN, POS_INF):
        return word
    if word == _MINUS_ONE:
        return NEG_INF
    if is_negative(word) and word > _MINUS_ONE:
        return NAN
    mantissa, exponent = decode(word)
    low = min(exponent, 0)
    total = (1 << -low) + (mantissa << exponent - low)  # exact
    return _decided(lambda bits: (*intervals.log(total, low, bits), -bits))


def tanh_word(word: int) -> int:
    """The hyperbolic tangent of a float word."""
    word = canonical(word)
    if word in (0, NAN):
        return word
    sign = word & SIGN
    if _whole(word ^ sign) >= 16:  # 1 - tanh(16) < 2**-44
        return ONE | sign
    mantissa, exponent = decode(word ^ sign)

    def interval(bits: int) -> tuple[int, int, int]:
        # (1 - f) / (1 + f) with f = exp(-2x): moves at most twice as far as f.
        one = 1 << bits
        value, error, _ = _exp(-mantissa, exponent + 1, bits, relative=False)
        return ((one - value) << bits) // (one + value), 2 * error + 1, -bits

    return _decided(interval) | sign


def sigmoid_word(word: int) -> int:
    """1 / (1 + exp(-x)) of a float word."""
    word = canonical(word)
    if word == NAN:
        return NAN
    if word == 0:
        return _HALF
    whole = _whole(word)
    if whole >= 32:  # 1 - sigmoid(32) < 2**-46
        return ONE
    if whole < -104:
        return 0
    mantissa, exponent = decode(word)

    def interval(bits: int) -> tuple[int, int, int]:
        # f / (1 + f) or 1 / (1 + f) with f = exp(-|x|): moves at most as far as f.
        one = 1 << bits
        value, error, _ = _exp(-abs(mantissa), exponent, bits, relative=False)
        above = value if mantissa < 0 else one
        return (above << bits) // (one + value), error + 1, -bits

    return _decided(interval)


def erf_word(word: int) -> int:
    """The error function of a float word."""
    word = canonical(word)
    if word in (0, NAN):
        return word
    sign = word & SIGN
    if _whole(word ^ sign) >= 4:  # 1 - erf(4) < 2**-25
        return ONE | sign
    mantissa, exponent = decode(word ^ sign)
    return _decided(lambda bits: (*intervals.erf(mantissa, exponent, bits), -bits)) | sign


def sin_word(word: int) -> int:
    """The sine of a float word."""
    word = canonical(word)
    if word == 0:
        return 0
    sine = _sine(word & ~SIGN, 0)
    return sine if sine == NAN else sine ^ (word & SIGN)


def cos_word(word: int) -> int:
    """The cosine of a float word."""
    word = canonical(word) & ~SIGN
    return ONE if word == 0 else _sine(word, 1)


SCALARS: MappingProxyType[int, Callable[[int], int]] = MappingProxyType(
    {
        Op.SQRT: sqrt_word,
        Op.RSQRT: rsqrt_word,
        Op.EXP: exp_word,
        Op.EXPM1: expm1_word,
        Op.LOG: log_word,
        Op.LOG1P: log1p_word,
        Op.TANH: tanh_word,
        Op.SIGMOID: sigmoid_word,
        Op.ERF: erf_word,
        Op.SIN: sin_word,
        Op.COS: cos_word,
    }
)
"""The scalar functions by their codes."""


def _sine(word: int, quarters: int) -> int:
    """sin(x + quarters * pi / 2) of a canonical word x > 0."""
    if word >= POS_INF:
        return NAN
    mantissa, exponent = decode(word)
    return _decided(lambda bits: (*intervals.sine(mantissa, exponent, quarters, bits), -bits))


def _exp(mantissa: int, exponent: int, bits: int, *, relative: bool = True) -> tuple[int, int, int]:
    """e to the power mantissa * 2**exponent, as (value +- error) * 2**last; last is -bits unless relative."""
    value, error, power = intervals.exp(mantissa, exponent, bits)
    if relative:
        return value, error, power - bits
    return shifted(value, power), shifted(error, power) + 2, -bits


def _whole(word: int) -> int:
    """The floor of a canonical number; of an infinity, one beyond all finite ones."""
    if is_infinite(word):
        return -(1 << 128) if is_negative(word) else 1 << 128
    return shifted(*decode(word))


def _decided(evaluate: Callable[[int], tuple[int, int, int]]) -> int:
    """The word that an interval lies in, with as many bits as that takes (Ziv's strategy).

    Args:
        evaluate: from bits to (value, error, last), for (value +- error) * 2**last.
    """
    bits = _FIRST_BITS
    while True:
        value, error, last = evaluate(bits)
        low, high = (round_dyadic(end, last) for end in (value - error, value + error))
        if low == high:
            return low
        bits *= 2
