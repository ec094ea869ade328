"""Sine, cosine and error function in binary64, by tables; see scalars.py for what a function promises.

The tables are made at import from the reference's integers, so they are the same everywhere.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Final

import numpy as np

from protocol.numerics import intervals
from prover.engine.scalars import Array, kernel

_BITS: Final = 512
_CHUNK: Final = 29
"""Bits of a chunk: times a 24-bit mantissa it is exact."""


def _quadrant_table() -> Array:
    """For each exponent field, 2^(field - 150) * 2 / pi modulo 4 in chunks of 29 bits; float64[256, 4]."""
    value, _ = intervals.half_pi(_BITS)
    inverse = (1 << 2 * _BITS) // value
    table = np.full((256, 4), np.nan)  # no number for infinities and NaN
    for field in range(255):
        exponent = max(field, 1) - 150
        # 2 / pi moved up, modulo 4; or down, with all its bits kept.
        scale = _BITS if exponent >= 0 else _BITS - exponent
        rest = (inverse << max(exponent, 0)) % (4 << _BITS)
        top = min(rest.bit_length(), (4 << _BITS).bit_length() - 1)
        for n in range(4):
            cut = top - _CHUNK * (n + 1)
            table[field, n] = math.ldexp(rest >> cut, cut - scale)
            rest &= (1 << cut) - 1
    return table


_PER_UNIT: Final = 16
_DEGREE: Final = 11


def _erf_table() -> Array:
    """Taylor coefficients of erf at 0, 1/16, ..., 4; float64[65, 12].

    erf'(c + h) = erf'(c) exp(-2ch - h^2), whose coefficients a satisfy (n + 1) a[n+1] = -2c a[n] - 2 a[n-1].
    """
    table = np.zeros((4 * _PER_UNIT + 1, _DEGREE + 1))
    one = 1 << _BITS
    factor = intervals.two_over_root_pi(_BITS)[0]
    for i in range(4 * _PER_UNIT + 1):
        center = Fraction(i, _PER_UNIT)
        value, _, power = intervals.exp(-(i * i), -8, _BITS)
        slope = Fraction(factor, one) * Fraction(value, one) * Fraction(2) ** power
        table[i, 0] = float(Fraction(intervals.erf(i, -4, _BITS)[0], one))
        before, now = Fraction(0), Fraction(1)
        for n in range(_DEGREE):
            table[i, n + 1] = float(slope * now / (n + 1))
            before, now = now, (-2 * center * now - 2 * before) / (n + 1)
    return table


QUADRANTS: Final = _quadrant_table()
ERF: Final = _erf_table()
_SHIFT: Final = 6755399441055744.0
_HALF_PI: Final = math.pi / 2
_S3, _S5, _S7, _S9, _S11, _S13, _S15, _S17 = ((-1.0) ** (n // 2) / math.factorial(n) for n in range(3, 18, 2))
_C2, _C4, _C6, _C8, _C10, _C12, _C14, _C16, _C18 = (
    (-1.0) ** (n // 2) / math.factorial(n) for n in range(2, 19, 2)
)


@kernel
def _sine64(x: Any, quarters: Any) -> Any:
    """sin(|x| + quarters * pi / 2), relative error below 8u.

    m * chunk is exact, as are the difference from the nearest integer and, where it matters, the next sum;
    what the chunks leave out is below 2^-91, and no binary32 is nearer than 2^-31 to a multiple of pi / 2
    (`gavel certify` has seen them all). So the fraction is within 2u, times pi / 2 within 4u. Taylor to
    degree 17 and 18 on [-0.79, 0.79] leaves 2^-62 and adds 2u.
    """
    bits = np.float32(x).view(np.uint32)
    field = np.int64((bits >> np.uint32(23)) & np.uint32(255))
    hidden = np.int64(8388608) if field > 0 else np.int64(0)
    m = np.float64(np.int64(bits & np.uint32(8388607)) + hidden)
    first = m * QUADRANTS[field, 0]
    second = m * QUADRANTS[field, 1]
    shifted = (first + second) + _SHIFT
    f = (first - (shifted - _SHIFT)) + second
    f = f + m * QUADRANTS[field, 2]
    f = f + m * QUADRANTS[field, 3]
    t = f * _HALF_PI
    z = t * t
    s = _S15 + z * _S17
    s = _S13 + z * s
    s = _S11 + z * s
    s = _S9 + z * s
    s = _S7 + z * s
    s = _S5 + z * s
    s = _S3 + z * s
    s = t + t * (z * s)
    c = _C16 + z * _C18
    c = _C14 + z * c
    c = _C12 + z * c
    c = _C10 + z * c
    c = _C8 + z * c
    c = _C6 + z * c
    c = _C4 + z * c
    c = _C2 + z * c
    c = 1.0 + z * c
    # The low bits of 1.5 * 2^52 + k are those of k.
    quadrant = np.float64(shifted).view(np.int64) + quarters
    value = c if quadrant & 1 else s
    return -value if quadrant & 2 else value


@kernel
def sin64(x: Any) -> Any:
    """sin x; NaN for infinities."""
    value = _sine64(x, 0)
    return -value if x < 0.0 else value


@kernel
def cos64(x: Any) -> Any:
    """cos x; NaN for infinities."""
    return _sine64(x, 1)


@kernel
def erf64(x: Any) -> Any:
    """erf x by its Taylor series at the nearest sixteenth, relative error below 4u; past 4, erf 4."""
    a = min(abs(x), 4.0)
    i = np.int64(a * 16.0 + 0.5)
    h = a - np.float64(i) * 0.0625
    q = ERF[i, 10] + h * ERF[i, 11]
    q = ERF[i, 9] + h * q
    q = ERF[i, 8] + h * q
    q = ERF[i, 7] + h * q
    q = ERF[i, 6] + h * q
    q = ERF[i, 5] + h * q
    q = ERF[i, 4] + h * q
    q = ERF[i, 3] + h * q
    q = ERF[i, 2] + h * q
    q = ERF[i, 1] + h * q
    q = ERF[i, 0] + h * q
    return -q if x < 0.0 else q
