"""Intervals that hold e^x, ln x, sine and the error function, in fixed point on exact integers.

An interval is (value, error) in units of 2**-bits: the exact number lies within value +- error. An argument
is mantissa * 2**exponent, exact. Every bound is derived where it stands; rounding to a word is done elsewhere
(scalar.py).
"""

from __future__ import annotations

from functools import cache
from math import isqrt

Interval = tuple[int, int]


def exp(mantissa: int, exponent: int, bits: int) -> tuple[int, int, int]:
    """exp(mantissa * 2**exponent) = (value +- error) * 2**(power - bits), for an argument in [-256, 256].

    value lies between 2**bits and 2.1 * 2**bits.
    """
    argument = shifted(mantissa, exponent + bits)  # less than one unit off
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


def log(mantissa: int, exponent: int, bits: int) -> Interval:
    """log(mantissa * 2**exponent), for mantissa > 0."""
    # The argument is ratio * 2**power with the ratio mantissa / 2**scale in [2/3, 4/3).
    scale = mantissa.bit_length() - 1
    if 3 * mantissa >= 4 << scale:
        scale += 1
    power = exponent + scale
    value, error = _atanh(mantissa - (1 << scale), mantissa + (1 << scale), bits)
    ln2, ln2_error = _ln2(bits)
    return 2 * value + power * ln2, 2 * error + abs(power) * ln2_error


def sine(mantissa: int, exponent: int, quarters: int, bits: int) -> Interval:
    """sin(x + quarters * pi / 2) for x = mantissa * 2**exponent >= 0."""
    # x = quadrant * pi/2 + rest with `wide` bits, so many that the quadrant's copies of pi/2 cost few units.
    wide = bits + max(mantissa.bit_length() + exponent, 0) + 8
    quarter, quarter_error = half_pi(wide)
    quadrant, rest = divmod(shifted(mantissa, exponent + wide), quarter)
    rest_error = (quadrant * quarter_error + 1 >> wide - bits) + 2
    rest >>= wide - bits
    quadrant += quarters
    # sin or cos of the rest by Taylor, 0 <= rest < 1.6. Each term is cut by less than one unit, and what its
    # predecessor was off is multiplied by at most 1.28, 0.43, 0.22 and less: less than 4 units in all. When a
    # term is cut to 0, what follows is, in sum, below 8 units. Sine and cosine move no faster than the rest.
    odd = quadrant & 1  # cosine
    term, value, terms = (1 << bits if odd else rest), 0, 0
    square = rest * rest >> bits
    while term:
        value += term if terms & 1 == 0 else -term
        terms += 1
        term = term * square // ((2 * terms - odd) * (2 * terms + 1 - odd) << bits)
    return (-value if quadrant & 2 else value), 4 * terms + 8 + rest_error


def erf(mantissa: int, exponent: int, bits: int) -> Interval:
    """erf(mantissa * 2**exponent) for an argument in [0, 4]."""
    # 2/sqrt(pi) * sum of (-1)**n x**(2n+1) / (n! (2n+1)), z = x*x <= 16. One unit cut off a term grows to
    # less than e**16 < 2**23.1 units in all later ones, so the terms lose less than terms * 2**24.1. The
    # square is less than 9 units off, which is 9 n / z relative in term n, in sum 9 x e**z < 2**28.3.
    x = shifted(mantissa, exponent + bits)
    square = x * x >> bits
    term, value, terms = x, 0, 0
    while term:
        part = term // (2 * terms + 1)
        value += part if terms & 1 == 0 else -part
        terms += 1
        term = term * square // (terms << bits)
    error = (terms + 4) << 26
    factor, factor_error = two_over_root_pi(bits)
    # |sum| <= 2 and factor < 1.2.
    return value * factor >> bits, 2 * error + 2 * factor_error + 2


def shifted(number: int, places: int) -> int:
    """number * 2**places, rounded down."""
    return number << places if places >= 0 else number >> -places


@cache
def _ln2(bits: int) -> Interval:
    """ln 2 = 18 atanh(1/26) - 2 atanh(1/4801) + 8 atanh(1/8749), a Machin-like formula."""
    parts = [(factor, *_atanh(1, base, bits)) for factor, base in ((18, 26), (-2, 4801), (8, 8749))]
    value = sum(factor * part for factor, part, _ in parts)
    return value, sum(abs(factor) * error for factor, _, error in parts)


def _atanh(numerator: int, denominator: int, bits: int) -> Interval:
    """atanh(t) for t = numerator / denominator, |t| <= 1/5."""
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


@cache
def half_pi(bits: int) -> Interval:
    """pi / 2 = 8 atan(1/5) - 2 atan(1/239), Machin's formula."""
    value = error = 0
    for factor, base in ((8, 5), (-2, 239)):
        # As `_atanh`, with alternating signs.
        power, terms = (1 << bits) // base, 0
        while power:
            value += factor * (power // (2 * terms + 1)) * (1 if terms & 1 == 0 else -1)
            terms += 1
            power //= base * base
        error += abs(factor) * (3 * terms + 2)
    return value, error


@cache
def two_over_root_pi(bits: int) -> Interval:
    """2 / sqrt(pi) = sqrt(2 / (pi / 2))."""
    value, error = half_pi(bits)
    # The root moves by less than 0.4 units where pi / 2 moves by one; it is cut by less than two.
    return isqrt((2 << 3 * bits) // value), error + 2
