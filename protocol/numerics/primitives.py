"""Every primitive on words (numerics.md, table of primitives)."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from protocol.errors import MalformedError
from protocol.numerics.opcodes import Op
from protocol.numerics.scalar import SCALARS
from protocol.numerics.words import (
    MASK,
    NAN,
    NEG_INF,
    POS_INF,
    SIGN,
    canonical,
    decode,
    is_infinite,
    is_negative,
    negated,
    round_dyadic,
    round_ratio,
)


def apply(op: int, a: int, b: int = 0, c: int = 0) -> int:
    """One primitive on words, operands in the order of the table (SELECT takes the condition first).

    Args:
        op: a code of the table, not a push.
        a, b, c: words; those past the primitive's arity are not looked at.

    Raises:
        MalformedError: there is no such primitive.
    """
    unary = _UNARY.get(op)
    if unary is not None:
        return unary(a)
    binary = _BINARY.get(op)
    if binary is not None:
        return binary(a, b)
    if op == Op.SELECT:
        return b if a != 0 else c
    raise MalformedError(f"0x{op:02x} is no primitive: numerics.md has the table of codes")


def signed(word: int) -> int:
    """The word as a two's complement integer (N-6)."""
    return word - ((word & SIGN) << 1)


def order(word: int) -> int:
    """A number that orders canonical words, NaN aside, as the numbers they stand for (N-7)."""
    return -(word & ~SIGN) if is_negative(word) else word


def _add(a: int, b: int) -> int:
    a, b = canonical(a), canonical(b)
    if NAN in (a, b):
        return NAN
    if is_infinite(a):
        return NAN if b == a ^ SIGN else a
    if is_infinite(b):
        return b
    (mantissa_a, exponent_a), (mantissa_b, exponent_b) = decode(a), decode(b)
    exponent = min(exponent_a, exponent_b)
    total = (mantissa_a << exponent_a - exponent) + (mantissa_b << exponent_b - exponent)
    return round_dyadic(total, exponent)


def _sub(a: int, b: int) -> int:
    return _add(a, negated(canonical(b)))


def _mul(a: int, b: int) -> int:
    a, b = canonical(a), canonical(b)
    if NAN in (a, b):
        return NAN
    if is_infinite(a) or is_infinite(b):
        if 0 in (a, b):
            return NAN
        return NEG_INF if is_negative(a ^ b) else POS_INF
    (mantissa_a, exponent_a), (mantissa_b, exponent_b) = decode(a), decode(b)
    return round_dyadic(mantissa_a * mantissa_b, exponent_a + exponent_b)


def _div(a: int, b: int) -> int:
    a, b = canonical(a), canonical(b)
    if NAN in (a, b):
        return NAN
    if is_infinite(a):
        if is_infinite(b):
            return NAN
        return NEG_INF if is_negative(a ^ b) else POS_INF
    if is_infinite(b):
        return 0
    if b == 0:
        if a == 0:
            return NAN
        return NEG_INF if is_negative(a) else POS_INF
    (mantissa_a, exponent_a), (mantissa_b, exponent_b) = decode(a), decode(b)
    numerator = -mantissa_a if mantissa_b < 0 else mantissa_a
    return round_ratio(numerator, abs(mantissa_b), exponent_a - exponent_b)


def _neg(a: int) -> int:
    return negated(canonical(a))


def _abs(a: int) -> int:
    return canonical(a) & ~SIGN


def _max(a: int, b: int) -> int:
    a, b = canonical(a), canonical(b)
    if NAN in (a, b):
        return NAN
    return max(a, b, key=order)


def _min(a: int, b: int) -> int:
    a, b = canonical(a), canonical(b)
    if NAN in (a, b):
        return NAN
    return min(a, b, key=order)


def _compare(a: int, b: int, holds: Callable[[int, int], bool]) -> int:
    a, b = canonical(a), canonical(b)
    return int(NAN not in (a, b) and holds(order(a), order(b)))


_UNARY: MappingProxyType[int, Callable[[int], int]] = MappingProxyType(
    {
        Op.NEG: _neg,
        Op.ABS: _abs,
        Op.COPY: lambda a: a,
        Op.I2F: lambda a: round_dyadic(signed(a), 0),
        **SCALARS,
    }
)

_BINARY: MappingProxyType[int, Callable[[int, int], int]] = MappingProxyType(
    {
        Op.ADD: _add,
        Op.SUB: _sub,
        Op.MUL: _mul,
        Op.DIV: _div,
        Op.MAX: _max,
        Op.MIN: _min,
        Op.EQ: lambda a, b: _compare(a, b, lambda x, y: x == y),
        Op.LT: lambda a, b: _compare(a, b, lambda x, y: x < y),
        Op.LE: lambda a, b: _compare(a, b, lambda x, y: x <= y),
        Op.IADD: lambda a, b: (a + b) & MASK,
        Op.ISUB: lambda a, b: (a - b) & MASK,
        Op.IMUL: lambda a, b: (a * b) & MASK,
        Op.IEQ: lambda a, b: int(a == b),
        Op.ILT: lambda a, b: int(signed(a) < signed(b)),
        Op.IAND: lambda a, b: a & b,
        Op.IOR: lambda a, b: a | b,
        Op.IXOR: lambda a, b: a ^ b,
        Op.ISHR: lambda a, b: a >> (b % 32),
    }
)
