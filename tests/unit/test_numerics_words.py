"""Reading, rounding and the primitives on inputs whose results are known by definition."""

from __future__ import annotations

import pytest

from protocol.errors import MalformedError
from protocol.numerics.opcodes import ARITY, Op
from protocol.numerics.primitives import apply
from protocol.numerics.words import (
    MAX_FINITE,
    NAN,
    NEG_INF,
    ONE,
    POS_INF,
    canonical,
    decode,
    is_nan,
    round_dyadic,
    round_ratio,
)

MINUS_ZERO, MINUS_ONE, TWO = 0x80000000, 0xBF800000, 0x40000000
LEAST = 0x00000001


def test_table_of_primitives_is_the_specs() -> None:
    rows = {
        0: (0x00, 0x01, 0x02, 0x03),
        1: (0x14, 0x15, *range(0x18, 0x20), *range(0x23, 0x27), 0x29),
        2: (0x10, 0x11, 0x12, 0x13, 0x16, 0x17, *range(0x20, 0x23), *range(0x30, 0x39)),
        3: (0x28,),
    }
    assert dict(ARITY) == {op: arity for arity, ops in rows.items() for op in ops}


@pytest.mark.parametrize("word", [0x7F800001, 0x7FFFFFFF, 0xFF800001, 0xFFC00000, NAN])
def test_every_nan_is_read_as_the_one_nan(word: int) -> None:
    assert is_nan(word)
    assert canonical(word) == NAN


@pytest.mark.parametrize("word", [0, LEAST, ONE, MINUS_ONE, MAX_FINITE, POS_INF, NEG_INF, 0x80000001])
def test_numbers_and_infinities_are_read_as_they_are(word: int) -> None:
    assert not is_nan(word)
    assert canonical(word) == word


def test_minus_zero_is_read_as_zero() -> None:
    assert canonical(MINUS_ZERO) == 0


@pytest.mark.parametrize(
    ("word", "value"),
    [(0, (0, -149)), (LEAST, (1, -149)), (0x80800000, (-(1 << 23), -149)), (ONE, (1 << 23, -23))],
)
def test_decode(word: int, value: tuple[int, int]) -> None:
    assert decode(word) == value


@pytest.mark.parametrize("sign", [1, -1])
def test_overflow_begins_halfway_past_the_largest_number(sign: int) -> None:
    limit = (1 << 128) - (1 << 103)
    bit = 0x80000000 if sign < 0 else 0
    assert round_dyadic(sign * limit, 0) == POS_INF | bit
    assert round_dyadic(sign * (limit - 1), 0) == MAX_FINITE | bit
    assert round_dyadic(sign, 10**6) == POS_INF | bit


@pytest.mark.parametrize("sign", [1, -1])
def test_underflow_begins_at_half_of_the_least_subnormal(sign: int) -> None:
    bit = 0x80000000 if sign < 0 else 0
    assert round_dyadic(sign, -150) == 0  # a tie, to even; the zero is +0 (N-2)
    assert round_dyadic(sign * ((1 << 100) + 1), -250) == LEAST | bit
    assert round_dyadic(sign * 3, -150) == 2 | bit  # a tie between 1 and 2
    assert round_dyadic(sign, -(10**6)) == 0


def test_ties_go_to_even() -> None:
    assert round_dyadic((1 << 24) + 1, -24) == ONE
    assert round_dyadic((1 << 24) + 3, -24) == ONE + 2
    assert round_dyadic((1 << 25) - 1, -25) == ONE  # the significand rounds up to the next power of two
    assert round_dyadic((1 << 24) - 1, -149 - 1) == 0x00800000  # the largest subnormal and a half


def test_a_ratio_is_rounded_once() -> None:
    assert round_ratio(1, 3, 0) == 0x3EAAAAAB
    assert round_ratio(-2, 3, 0) == 0xBF2AAAAB
    assert round_ratio((1 << 24) + 1, 1 << 24, 0) == ONE
    assert round_ratio(((1 << 24) + 1) * 10**40 + 1, (1 << 24) * 10**40, 0) == ONE + 1
    assert round_ratio(0, 5, 0) == 0


INFINITE_AND_NAN = [
    (Op.ADD, (POS_INF, NEG_INF), NAN),
    (Op.ADD, (NEG_INF, ONE), NEG_INF),
    (Op.SUB, (POS_INF, POS_INF), NAN),
    (Op.SUB, (ONE, POS_INF), NEG_INF),
    (Op.SUB, (ONE, ONE), 0),
    (Op.MUL, (0, POS_INF), NAN),
    (Op.MUL, (NEG_INF, MINUS_ZERO), NAN),
    (Op.MUL, (NEG_INF, MINUS_ONE), POS_INF),
    (Op.MUL, (MINUS_ONE, 0), 0),
    (Op.MUL, (0x80000001, LEAST), 0),
    (Op.DIV, (POS_INF, NEG_INF), NAN),
    (Op.DIV, (0, MINUS_ZERO), NAN),
    (Op.DIV, (ONE, MINUS_ZERO), POS_INF),
    (Op.DIV, (MINUS_ONE, 0), NEG_INF),
    (Op.DIV, (NEG_INF, 0), NEG_INF),
    (Op.DIV, (MINUS_ONE, POS_INF), 0),
    (Op.NEG, (0,), 0),
    (Op.NEG, (0xFFC00000,), NAN),
    (Op.ABS, (NEG_INF,), POS_INF),
    (Op.ABS, (MINUS_ZERO,), 0),
    (Op.SQRT, (MINUS_ZERO,), 0),
    (Op.SQRT, (0x80000001,), NAN),
    (Op.SQRT, (POS_INF,), POS_INF),
    (Op.EXP, (NEG_INF,), 0),
    (Op.EXP, (POS_INF,), POS_INF),
    (Op.EXP, (MINUS_ZERO,), ONE),
    (Op.LOG, (MINUS_ZERO,), NEG_INF),
    (Op.LOG, (MINUS_ONE,), NAN),
    (Op.LOG, (ONE,), 0),
    (Op.LOG, (POS_INF,), POS_INF),
    (Op.RSQRT, (MINUS_ZERO,), POS_INF),
    (Op.RSQRT, (POS_INF,), 0),
    (Op.RSQRT, (MINUS_ONE,), NAN),
    (Op.RSQRT, (0x40800000,), 0x3F000000),
    (Op.EXPM1, (NEG_INF,), MINUS_ONE),
    (Op.EXPM1, (POS_INF,), POS_INF),
    (Op.EXPM1, (MINUS_ZERO,), 0),
    (Op.LOG1P, (MINUS_ONE,), NEG_INF),
    (Op.LOG1P, (0xBF800001,), NAN),
    (Op.LOG1P, (NEG_INF,), NAN),
    (Op.LOG1P, (POS_INF,), POS_INF),
    (Op.TANH, (NEG_INF,), MINUS_ONE),
    (Op.TANH, (MINUS_ZERO,), 0),
    (Op.SIGMOID, (NEG_INF,), 0),
    (Op.SIGMOID, (POS_INF,), ONE),
    (Op.SIGMOID, (MINUS_ZERO,), 0x3F000000),
    (Op.ERF, (NEG_INF,), MINUS_ONE),
    (Op.ERF, (MINUS_ZERO,), 0),
    (Op.SIN, (NEG_INF,), NAN),
    (Op.SIN, (MINUS_ZERO,), 0),
    (Op.COS, (POS_INF,), NAN),
    (Op.COS, (MINUS_ZERO,), ONE),
    (Op.MAX, (NAN, POS_INF), NAN),
    (Op.MIN, (NEG_INF, 0x7F800001), NAN),
    (Op.MAX, (MINUS_ZERO, NEG_INF), 0),
    (Op.MIN, (MINUS_ONE, LEAST), MINUS_ONE),
    (Op.EQ, (MINUS_ZERO, 0), 1),
    (Op.EQ, (NAN, NAN), 0),
    (Op.LT, (NEG_INF, POS_INF), 1),
    (Op.LT, (NAN, ONE), 0),
    (Op.LE, (MINUS_ZERO, 0), 1),
    (Op.LE, (ONE, NAN), 0),
    (Op.COPY, (0xFFFFFFFF,), 0xFFFFFFFF),
    (Op.SELECT, (MINUS_ZERO, ONE, TWO), ONE),  # the word is not 0, whatever number it is
    (Op.SELECT, (0, ONE, 0x80000000), 0x80000000),
    (Op.I2F, (0x80000000,), 0xCF000000),
    (Op.I2F, (0x01000001,), 0x4B800000),
    (Op.IADD, (0xFFFFFFFF, 2), 1),
    (Op.ISUB, (0, 1), 0xFFFFFFFF),
    (Op.IMUL, (0x10001, 0x10001), 0x00020001),
    (Op.IEQ, (MINUS_ZERO, 0), 0),
    (Op.ILT, (0xFFFFFFFF, 0), 1),
    (Op.ILT, (0x7FFFFFFF, 0x80000000), 0),
    (Op.IAND, (0xF0F0, 0x00FF), 0x00F0),
    (Op.IOR, (0xF000, 0x000F), 0xF00F),
    (Op.IXOR, (0xFF0F, 0x000F), 0xFF00),
    (Op.ISHR, (0x80000001, 1), 0x40000000),
    (Op.ISHR, (0xF0000000, 0xFFFFFFFC), 0xF),
]


@pytest.mark.parametrize(("op", "operands", "result"), INFINITE_AND_NAN)
def test_primitive_by_definition(op: Op, operands: tuple[int, ...], result: int) -> None:
    assert apply(op, *operands) == result


@pytest.mark.parametrize("op", [Op.LEAF0, Op.LEAF3, 0x04, 0x27, 0xFF])
def test_what_is_no_primitive_cannot_be_applied(op: int) -> None:
    with pytest.raises(MalformedError, match="no primitive"):
        apply(op, 0, 0, 0)
