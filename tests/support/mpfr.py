"""Binary32 by MPFR, and inputs that binary32 arithmetic finds hard. Imports nothing of ours.

Words are ints below 2**32. MPFR computes with precision 24 and the exponent range of binary32, subnormals
included, rounding once to nearest even; gmpy2 evaluates beyond that range first, so nothing is rounded twice.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterable

import gmpy2
from gmpy2 import mpfr, mpq, mpz

BINARY32 = gmpy2.context(precision=24, emax=128, emin=-148, subnormalize=True, round=gmpy2.RoundToNearest)
"""MPFR writes numbers as 0.1... * 2**e, hence emax 128 for a largest number below 2**128."""

NAN = 0x7FC00000
MASK = 0xFFFFFFFF


def to_float(word: int) -> float:
    """The number of a float word, exactly; a double holds every binary32 number."""
    return float(struct.unpack(">f", struct.pack(">I", word))[0])


def to_word(number: float | mpfr) -> int:
    """The word of a number that binary32 holds exactly; +0 for zeros, the one NaN for NaN."""
    value = float(number)
    if math.isnan(value):
        return NAN
    word = int(struct.unpack(">I", struct.pack(">f", value))[0])
    return 0 if value == 0 else word


def word_of(number: float) -> int:
    """The word nearest to a double (for writing test inputs)."""
    return int(struct.unpack(">I", struct.pack(">f", number))[0])


def exact(word: int) -> mpfr:
    return mpfr(to_float(word) + 0.0, 53)


def signed(word: int) -> int:
    return int(struct.unpack(">i", struct.pack(">I", word))[0])


def round_rational(value: mpq) -> int:
    """A rational, rounded once."""
    numerator, denominator = mpz(value.numerator), mpz(value.denominator)
    bits = max(numerator.bit_length(), denominator.bit_length(), 2)
    return to_word(BINARY32.div(mpfr(numerator, bits), mpfr(denominator, bits)))


def exact_sum(terms: Iterable[mpq | float]) -> int:
    """Terms that are rationals, or infinite or NaN floats, summed exactly and rounded once."""
    total, special = mpq(0), 0.0
    for term in terms:
        if isinstance(term, float) and not math.isfinite(term):
            special += term  # inf - inf is NaN, and NaN stays
        else:
            total += mpq(term)
    return round_rational(total) if special == 0 else to_word(special)


def term(word: int) -> mpq | float:
    """A float word as a term of `exact_sum`."""
    number = to_float(word)
    return mpq(number) if math.isfinite(number) else number


def integer(word: int) -> mpq:
    """A two's complement word as a term of `exact_sum`."""
    return mpq(signed(word))


def product(a: int, b: int) -> mpq | float:
    """The exact product of two float words as a term of `exact_sum`."""
    x, y = to_float(a), to_float(b)
    if math.isfinite(x) and math.isfinite(y):
        return mpq(x) * mpq(y)
    return x * y


def _zero_positive(a: int) -> mpfr:
    """-0 read as +0, which decides the sign of a / 0 and the logarithm of 0."""
    return exact(a) if to_float(a) != 0 else mpfr(0.0, 53)


def _sigmoid(a: int) -> int:
    """1 / (1 + exp(-x)), which MPFR has not: to 300 bits, far beyond what a word needs, then rounded."""
    x = to_float(a)
    if not math.isfinite(x) or abs(x) > 200:
        return NAN if math.isnan(x) else to_word(float(x > 0))
    with gmpy2.context(gmpy2.get_context(), precision=300):
        value = 1 / (1 + gmpy2.exp(-mpfr(x)))
    return to_word(BINARY32.add(value, 0))


def _extreme(pick: Callable[[float, float], float]) -> Callable[[int, int], int]:
    def of(a: int, b: int) -> int:
        x, y = to_float(a), to_float(b)
        return NAN if math.isnan(x) or math.isnan(y) else to_word(pick(x, y))

    return of


ORACLE: dict[str, Callable[..., int]] = {
    "ADD": lambda a, b: to_word(BINARY32.add(exact(a), exact(b))),
    "SUB": lambda a, b: to_word(BINARY32.sub(exact(a), exact(b))),
    "MUL": lambda a, b: to_word(BINARY32.mul(exact(a), exact(b))),
    "DIV": lambda a, b: to_word(BINARY32.div(_zero_positive(a), _zero_positive(b))),
    "NEG": lambda a: to_word(-to_float(a)),
    "ABS": lambda a: to_word(abs(to_float(a))),
    "MAX": _extreme(max),
    "MIN": _extreme(min),
    "SQRT": lambda a: to_word(BINARY32.sqrt(exact(a))),
    "EXP": lambda a: to_word(BINARY32.exp(exact(a))),
    "LOG": lambda a: to_word(BINARY32.log(_zero_positive(a))),
    "RSQRT": lambda a: to_word(BINARY32.rec_sqrt(_zero_positive(a))),
    "EXPM1": lambda a: to_word(BINARY32.expm1(exact(a))),
    "LOG1P": lambda a: to_word(BINARY32.log1p(exact(a))),
    "TANH": lambda a: to_word(BINARY32.tanh(exact(a))),
    "SIGMOID": _sigmoid,
    "ERF": lambda a: to_word(BINARY32.erf(exact(a))),
    "SIN": lambda a: to_word(BINARY32.sin(exact(a))),
    "COS": lambda a: to_word(BINARY32.cos(exact(a))),
    "COPY": lambda a: a,
    "EQ": lambda a, b: int(to_float(a) == to_float(b)),
    "LT": lambda a, b: int(to_float(a) < to_float(b)),
    "LE": lambda a, b: int(to_float(a) <= to_float(b)),
    "SELECT": lambda c, a, b: a if c else b,
    "I2F": lambda a: round_rational(mpq(signed(a))),
    "IADD": lambda a, b: (a + b) % 2**32,
    "ISUB": lambda a, b: (a - b) % 2**32,
    "IMUL": lambda a, b: a * b % 2**32,
    "IEQ": lambda a, b: int(a == b),
    "ILT": lambda a, b: int(signed(a) < signed(b)),
    "IAND": lambda a, b: a & b,
    "IOR": lambda a, b: a | b,
    "IXOR": lambda a, b: a ^ b,
    "ISHR": lambda a, b: a // 2 ** (b % 32),
}
"""Every primitive by name, on words."""

_POSITIVE_EDGES = (
    0x00000000,  # 0
    0x00000001,  # the least subnormal
    0x00000002,
    0x007FFFFF,  # the largest subnormal
    0x00800000,  # the least normal
    0x00800001,
    0x32800000,  # 2**-26
    0x32800001,
    0x33000000,  # 2**-25: half of the last place below 1
    0x33800000,  # 2**-24: half of the last place of 1
    0x33800001,
    0x34000000,  # 2**-23: the last place of 1
    0x3F000000,  # 1/2
    0x3F7FFFFF,  # the largest below 1
    0x3F800000,  # 1
    0x3F800001,
    0x3FAAAAAA,  # 4/3, where the logarithm changes its reduction
    0x3FAAAAAB,
    0x40000000,  # 2
    0x42B17217,  # the largest argument of a finite exp
    0x42B17218,
    0x42B20000,  # 89
    0x42CE8ED0,
    0x42CFF1B4,  # around 103.97, where exp(-x) becomes 0
    0x42CFF1B5,
    0x42D00000,  # 104
    0x4B7FFFFF,  # 2**24 - 1
    0x4B800000,  # 2**24
    0x4B800001,
    0x4F000000,  # 2**31
    0x5F000000,  # 2**63
    0x7E800000,
    0x7F7FFFFF,  # the largest finite
    0x7F800000,  # infinity
    0x7F800001,  # NaNs
    0x7FC00000,
    0x7FFFFFFF,
)
EDGE_WORDS = tuple(word | sign for word in _POSITIVE_EDGES for sign in (0, 0x80000000))
"""Words around every boundary of the format and of the functions, with both signs."""


def hard_word(rng: random.Random) -> int:
    """A word: an edge, any bits, of middling size (often with few bits set), or close to an edge."""
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(EDGE_WORDS)
    if kind < 0.45:
        return rng.getrandbits(32)
    if kind < 0.85:
        few_bits = rng.choice((MASK, MASK, 0xFFFFF000, 0xFFFF0000, 0xFFF80000))
        return rng.getrandbits(1) << 31 | rng.randint(90 << 23, 140 << 23) & few_bits
    return (rng.choice(EDGE_WORDS) + rng.randint(-3, 3)) & MASK


def hard_pair(rng: random.Random) -> tuple[int, int]:
    """Two words, often related: equal or opposite, nearly so, or with a sum halfway between words."""
    a = hard_word(rng)
    kind = rng.random()
    if kind < 0.15:
        return a, a ^ rng.choice((0, 0x80000000))
    if kind < 0.3:
        return a, (a ^ 0x80000000) + rng.randint(-2, 2) & MASK
    if kind < 0.5:
        half_place = max((a >> 23 & 0xFF) - 24, 0) << 23  # half of the last place of a normal word
        return a, half_place + rng.choice((0, 0, 1, -1)) & MASK | rng.getrandbits(1) << 31
    return a, hard_word(rng)
