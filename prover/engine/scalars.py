"""Scalar numba helpers: canonical words, and the functions of exp and log in binary64.

A function takes a binary32 as binary64 and gives a binary64 within SCALAR_MARGIN, relative, of the exact
result, or the exact one where that is infinite or no number. That each does so for every one of the 2^32
words is what `gavel certify` checks; the derivations here say why one may expect it to. The sine, the cosine
and the error function are in tabulated.py.

No fastmath anywhere: the bounds hold only for IEEE operations in the order written. There is no branch, so
that blocks run in vector lanes. The helpers are inlined into generated kernels (codegen.py), whose cache key
covers the text of this module.

Notation: u = 2^-53.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

kernel: Final[Any] = njit(cache=True, error_model="numpy", nogil=True, fastmath=False, boundscheck=False)

NAN_WORD: Final = np.uint32(0x7FC00000)
ZERO32: Final = np.float32(0.0)
INFINITY: Final = np.float32(np.inf)


@kernel
def word_of(value: Any) -> Any:
    """Canonical word of a binary32 (N-2, N-3): +0 for both zeros, one NaN."""
    if math.isnan(value):
        return NAN_WORD
    return np.float32(value + ZERO32).view(np.uint32)


@kernel
def float_of(word: Any) -> Any:
    """A word read as binary32."""
    return np.uint32(word).view(np.float32)


@kernel
def subnormals_kept(smallest: Array) -> Any:
    """Whether this thread keeps subnormals, unlike flush-to-zero; ``smallest`` is float32 [2^-149, 1]."""
    return smallest[0] * smallest[1] > ZERO32 and smallest[0] + ZERO32 > ZERO32


SCALAR_MARGIN: Final = 2.0**-49
"""16u: covers every bound below and the roundings of c - e and c + e."""
_LOG2E: Final = 1.4426950408889634
_SHIFT: Final = 6755399441055744.0
"""1.5 * 2^52: adding and subtracting it rounds a binary64 of modest size to an integer."""
_LN2_HIGH: Final = math.floor(math.log(2.0) * 2.0**32) / 2.0**32
"""ln 2 cut to 32 bits, so that k * high is exact for |k| < 2^21."""
_LN2_LOW: Final = 1.9082149292705877e-10
"""ln 2 minus the high part, rounded."""
_EXP = tuple(1.0 / math.factorial(n) for n in range(14))
_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = _EXP[2:]
_LOG = tuple(2.0 / (2 * n + 1) for n in range(1, 11))
_L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9, _L10 = _LOG


@kernel
def exp64(x: Any) -> Any:
    """e^x in binary64 for a binary32 x, relative error below 5u; not for NaN.

    x is first brought to [-110, 90], where both ends already round to 0 and infinity. With k = round(x / ln
    2), r = x - k ln 2: k * high is exact (8 + 32 bits); for k != 0, x is a multiple of 2^-25 and k * high
    one of 2^-32, so x - k * high, below 0.35, is exact too. k * low errs by at most 2^-77 and the last
    subtraction rounds by u/4, so r errs by less than 0.3u and |r| < 0.3467. Taylor to degree 13 leaves
    r^14/14! < 0.05u. Horner: with d_i <= |r| d_(i+1) + u(|r q_(i+1)| + |q_i| + |c_i|), d_2 < 1.3u, d_1 <
    2.9u including rounded coefficients; the last step 1 + r q_1 gives |r| d_1 + |r q_1| u + u < 2.5u for
    values from 0.707 on. Scaling by 2^k is exact. All together below (2.5 + 0.3 + 0.05)u / 0.707 < 4.1u,
    for SCALAR_MARGIN = 16u.
    """
    x = min(max(x, -110.0), 90.0)
    shifted = x * _LOG2E + _SHIFT
    k = shifted - _SHIFT
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    q = _E12 + r * _E13
    q = _E11 + r * q
    q = _E10 + r * q
    q = _E9 + r * q
    q = _E8 + r * q
    q = _E7 + r * q
    q = _E6 + r * q
    q = _E5 + r * q
    q = _E4 + r * q
    q = _E3 + r * q
    q = _E2 + r * q
    q = 1.0 + r * q
    q = 1.0 + r * q
    # The low bits of 1.5 * 2^52 + k are those of k, so no conversion is needed to build 2^k.
    return q * np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)


@kernel
def log64(x: Any) -> Any:
    """ln x in binary64 for a positive finite x, relative error below 8u; of a binary64 x if x - 1 is exact.

    x = m 2^k with m in [0.70, 1.42), f = m - 1 and 2 + f exact (24-bit inputs), s = f / (2 + f) within u,
    |s| < 0.1735. ln m = 2s + s t, t = sum of 2/(2n+1) s^(2n) to n = 10; what is left out is below
    0.1735^22 * 2/23 * 1.04 < 2^-58 relative to s. t < 0.021 with relative error below 8u moves the result
    by 0.09u; adding rounds by u; so ln m is within 2.2u relative. For k = 0 that is all. Otherwise |result|
    > 0.34, k * high is exact, k * low + ln m adds at most (0.36 * 2.2 + 0.36 + tiny)u absolute and the last
    sum u relative: below (0.8 + 0.37)/0.34 u + u < 4.5u.
    """
    bits = np.float64(x).view(np.int64)
    k = (bits >> 52) - 1023
    mantissa = (bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000
    m = np.int64(mantissa).view(np.float64)
    if m > 1.4142135623730951:
        m = m * 0.5
        k = k + 1
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    t = _L9 + z * _L10
    t = _L8 + z * t
    t = _L7 + z * t
    t = _L6 + z * t
    t = _L5 + z * t
    t = _L4 + z * t
    t = _L3 + z * t
    t = _L2 + z * t
    t = _L1 + z * t
    t = z * t
    scale = np.float64(k)
    return scale * _LN2_HIGH + (scale * _LN2_LOW + (2.0 * s + s * t))


@kernel
def log_or_edge(x: Any) -> Any:
    """ln x, -infinity at 0, NaN below (N-5). The bound of `log64`."""
    c = log64(x)
    c = c if x < np.inf else x
    return c if x > 0.0 else (-np.inf if x == 0.0 else np.nan)


@kernel
def log1p64(x: Any) -> Any:
    """ln(1 + x). From 2^-26 on 1 + x is exact to beyond 2^28, and past that off by u, as ln is above 19;
    below, x - x^2/2 leaves out x^2/3 < 0.7u relative."""
    near = x - 0.5 * x * x
    c = log_or_edge(1.0 + x)
    return near if abs(x) < 1.4901161193847656e-08 else c


@kernel
def expm1_64(x: Any) -> Any:
    """e^x - 1, by the reduction and series of `exp64` without their last steps.

    q = e^r - 1 = r + r^2 (...) within 2u relative, and for k = 0 it is the result. Otherwise the result,
    2^k q + (2^k - 1), is at least 0.29 in size, 2^k - 1 at most 1.7 times that; in all below 6u.
    """
    x = min(max(x, -110.0), 90.0)
    shifted = x * _LOG2E + _SHIFT
    k = shifted - _SHIFT
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    q = _E12 + r * _E13
    q = _E11 + r * q
    q = _E10 + r * q
    q = _E9 + r * q
    q = _E8 + r * q
    q = _E7 + r * q
    q = _E6 + r * q
    q = _E5 + r * q
    q = _E4 + r * q
    q = _E3 + r * q
    q = _E2 + r * q
    q = r + r * r * q
    power = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)
    return power * q + (power - 1.0)


@kernel
def tanh64(x: Any) -> Any:
    """tanh |x| = t / (2 - t) with t = 1 - e^(-2|x|); twice the error of `expm1_64` and two roundings."""
    t = -expm1_64(-2.0 * abs(x))
    c = t / (2.0 - t)
    return -c if x < 0.0 else c


@kernel
def sigmoid64(x: Any) -> Any:
    """1 / (1 + e) or e / (1 + e) with e = e^-|x|; the error of `exp64` and two roundings."""
    e = exp64(-abs(x))
    return (e if x < 0.0 else 1.0) / (1.0 + e)


@kernel
def rsqrt64(x: Any) -> Any:
    """1 / sqrt(x), two roundings of IEEE operations."""
    return 1.0 / math.sqrt(x)
