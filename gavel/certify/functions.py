"""What is known of each scalar function: its value by MPFR, its Taylor series, and a bound in the plane.

Nothing here comes from the reference or from the fast kernels. Numbers are gmpy2's, at `PRECISION` bits.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import gmpy2
from gmpy2 import mpfr

PRECISION: Final = 240

NAN: Final = 0x7FC00000
POS_INF: Final = 0x7F800000
NEG_INF: Final = 0xFF800000
ONE: Final = 0x3F800000
MINUS_ONE: Final = 0xBF800000
HALF: Final = 0x3F000000

_BINARY32: Final = gmpy2.context(
    precision=24, emax=128, emin=-148, subnormalize=True, round=gmpy2.RoundToNearest
)

Series = list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One scalar function.

    Attributes:
        name: of its primitive.
        exact: the value at a number, correctly rounded to `PRECISION` or better than 2^-230; NaN outside of
            its domain.
        taylor: coefficients 0 to n at a center inside the domain.
        disc: (R, M) at a center: the function is analytic and at most M in size within R of it in the plane.
        edges: words at 0, +infinity and -infinity (N-5).
        monotone: it is monotone between 0 and this number, on both sides.
    """

    name: str
    exact: Callable[[Any], Any]
    taylor: Callable[[Any, int], Series]
    disc: Callable[[float], tuple[float, float]]
    edges: tuple[int, int, int]
    monotone: float = math.inf


def number(word: int) -> float:
    """The number of a finite word; every binary32 is a double."""
    return float(struct.unpack(">f", struct.pack(">I", word))[0])


def rounded(value: Any) -> int:
    """The word nearest to an MPFR number: MPFR's own rounding to binary32, +0 for zeros."""
    result = float(_BINARY32.add(value, 0))
    if math.isnan(result):
        return NAN
    return 0 if result == 0 else int(struct.unpack(">I", struct.pack(">f", result))[0])


def distance(value: Any) -> Any:
    """How far a number is from the nearest boundary between two words, relative to itself."""
    size = abs(value)
    if size >= gmpy2.exp2(128):
        return size / gmpy2.exp2(128) - 1 + gmpy2.exp2(-25)  # the boundary is 2^128 - 2^103
    last_place = gmpy2.exp2(max(gmpy2.get_exp(size) - 24, -149))
    scaled = size / last_place
    above = abs(scaled - gmpy2.floor(scaled) - mpfr("0.5"))
    if size >= gmpy2.exp2(-125):  # below a power of two, places are half as large
        above = min(above, scaled - gmpy2.exp2(23) + mpfr("0.25"))
    return above * last_place / size


def _factorials(n: int) -> list[Any]:
    return [1 / mpfr(gmpy2.fac(k)) for k in range(n + 1)]


def _exp_series(x: Any, n: int) -> Series:
    return [gmpy2.exp(x) * f for f in _factorials(n)]


def _expm1_series(x: Any, n: int) -> Series:
    return [gmpy2.expm1(x), *_exp_series(x, n)[1:]]


def _log_series(at: Any, value: Any, n: int) -> Series:
    return [value, *(-1 / (k * (-at) ** k) for k in range(1, n + 1))]


def _power_series(x: Any, exponent: Any, value: Any, n: int) -> Series:
    series = [value]
    for k in range(n):
        series.append(series[-1] * (exponent - k) / ((k + 1) * x))
    return series


def _riccati(value: Any, constant: int, linear: int, n: int) -> Series:
    """y' = constant + linear * y - y^2."""
    series = [value]
    for k in range(n):
        square = sum(series[i] * series[k - i] for i in range(k + 1))
        series.append(((constant if k == 0 else 0) + linear * series[k] - square) / (k + 1))
    return series


def _erf_series(x: Any, n: int) -> Series:
    """erf'(x + h) = erf'(x) exp(-2xh - h^2)."""
    slope = 2 / gmpy2.sqrt(gmpy2.const_pi()) * gmpy2.exp(-x * x)
    series, before, now = [gmpy2.erf(x)], mpfr(0), mpfr(1)
    for k in range(n):
        series.append(slope * now / (k + 1))
        before, now = now, (-2 * x * now - 2 * before) / (k + 1)
    return series


def _wave_series(values: tuple[Any, Any], n: int) -> Series:
    """Of a function and its derivative whose second derivative is the function's negative."""
    signed = (values[0], values[1], -values[0], -values[1])
    return [signed[k % 4] * f for k, f in enumerate(_factorials(n))]


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + gmpy2.exp(-x))


def _exp_disc(x: float) -> tuple[float, float]:
    return 1.0, math.exp(x + 1.0)


def _expm1_disc(x: float) -> tuple[float, float]:
    # |e^z - 1| <= e^|z| - 1, and <= e^(Re z) + 1.
    radius = min(abs(x), 1.0)
    return radius, min(math.expm1(abs(x) + radius), math.exp(x + radius) + 1.0)


def _log_disc(x: float) -> tuple[float, float]:
    # |ln z| <= |ln |z|| + |arg z|, with |z| in [x/2, 3x/2] and |arg z| <= pi/6.
    return x / 2, abs(math.log(x)) + 1.3


def _log1p_disc(x: float) -> tuple[float, float]:
    if abs(x) <= 0.5:  # |ln(1 + z)| <= -ln(1 - |z|) <= 2|z| for |z| <= 3/4
        return abs(x) / 2, 3 * abs(x)
    return _log_disc(1.0 + x)


def _tanh_disc(x: float) -> tuple[float, float]:
    # |tanh z| <= tan |z| <= 1.56 |z| for |z| <= 1; and with |Im z| <= 1 it is at most 1.57.
    return min(abs(x) / 2, 1.0), (2.4 * abs(x) if abs(x) <= 0.5 else 1.57)


def _sigmoid_disc(x: float) -> tuple[float, float]:
    # With |Im z| <= 1 the real part of e^-z is positive, so |1 + e^-z| is at least 1 and at least |e^-z|.
    return 1.0, min(1.0, math.exp(min(x, 0.0) + 1.0))


def _erf_disc(x: float) -> tuple[float, float]:
    # |erf z| <= 2/sqrt(pi) |z| e^(|z|^2), term by term.
    radius = min(abs(x) / 2, 0.5)
    size = abs(x) + radius
    return radius, 1.13 * size * math.exp(size * size)


def _sin_disc(x: float) -> tuple[float, float]:
    # |sin z| <= sinh |z| <= 1.2 |z| for |z| <= 0.9; and cosh of the imaginary part at most.
    return min(abs(x) / 2, 1.0), (1.8 * abs(x) if abs(x) <= 0.6 else 1.55)


FUNCTIONS: MappingProxyType[str, Function] = MappingProxyType(
    {
        function.name: function
        for function in (
            Function(
                name="SQRT",
                exact=gmpy2.sqrt,
                taylor=lambda x, n: _power_series(x, mpfr("0.5"), gmpy2.sqrt(x), n),
                disc=lambda x: (x / 2, math.sqrt(1.5 * x)),
                edges=(0, POS_INF, NAN),
            ),
            Function(
                name="RSQRT",
                exact=gmpy2.rec_sqrt,
                taylor=lambda x, n: _power_series(x, mpfr("-0.5"), gmpy2.rec_sqrt(x), n),
                disc=lambda x: (x / 2, 1 / math.sqrt(x / 2)),
                edges=(POS_INF, 0, NAN),
            ),
            Function(
                name="EXP",
                exact=gmpy2.exp,
                taylor=_exp_series,
                disc=_exp_disc,
                edges=(ONE, POS_INF, 0),
            ),
            Function(
                name="EXPM1",
                exact=gmpy2.expm1,
                taylor=_expm1_series,
                disc=_expm1_disc,
                edges=(0, POS_INF, MINUS_ONE),
            ),
            Function(
                name="LOG",
                exact=gmpy2.log,
                taylor=lambda x, n: _log_series(x, gmpy2.log(x), n),
                disc=_log_disc,
                edges=(NEG_INF, POS_INF, NAN),
            ),
            Function(
                name="LOG1P",
                exact=gmpy2.log1p,
                taylor=lambda x, n: _log_series(1 + x, gmpy2.log1p(x), n),
                disc=_log1p_disc,
                edges=(0, POS_INF, NAN),
            ),
            Function(
                name="TANH",
                exact=gmpy2.tanh,
                taylor=lambda x, n: _riccati(gmpy2.tanh(x), 1, 0, n),
                disc=_tanh_disc,
                edges=(0, ONE, MINUS_ONE),
            ),
            Function(
                name="SIGMOID",
                exact=_sigmoid,
                taylor=lambda x, n: _riccati(_sigmoid(x), 0, 1, n),
                disc=_sigmoid_disc,
                edges=(HALF, ONE, 0),
            ),
            Function(
                name="ERF",
                exact=gmpy2.erf,
                taylor=_erf_series,
                disc=_erf_disc,
                edges=(0, ONE, MINUS_ONE),
            ),
            Function(
                name="SIN",
                exact=gmpy2.sin,
                taylor=lambda x, n: _wave_series((gmpy2.sin(x), gmpy2.cos(x)), n),
                disc=_sin_disc,
                edges=(0, NAN, NAN),
                monotone=1.5,
            ),
            Function(
                name="COS",
                exact=gmpy2.cos,
                taylor=lambda x, n: _wave_series((gmpy2.cos(x), -gmpy2.sin(x)), n),
                disc=lambda _: (1.0, 1.55),
                edges=(ONE, NAN, NAN),
                monotone=1.5,
            ),
        )
    }
)
"""The scalar functions by name."""
