"""Properties of the primitives over all words."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.numerics.opcodes import ARITY, Op
from protocol.numerics.primitives import apply
from protocol.numerics.words import (
    NAN,
    POS_INF,
    canonical,
    decode,
    is_infinite,
    is_nan,
    round_dyadic,
    round_ratio,
)
from tests.support import mpfr

PRIMITIVES = [op for op in Op if ARITY[op] > 0]
FLOAT_PRIMITIVES = [op for op in PRIMITIVES if op < Op.COPY or Op.EQ <= op <= Op.COS]

words = st.one_of(st.integers(0, mpfr.MASK), st.sampled_from(mpfr.EDGE_WORDS))
finite_words = words.filter(lambda word: word & 0x7F800000 != 0x7F800000)


@pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
@given(operands=st.tuples(words, words, words))
def test_every_primitive_is_what_mpfr_says(op: Op, operands: tuple[int, int, int]) -> None:
    used = operands[: ARITY[op]]
    assert apply(op, *used) == mpfr.ORACLE[op.name](*used)


@pytest.mark.parametrize("op", FLOAT_PRIMITIVES, ids=lambda op: op.name)
@given(operands=st.tuples(words, words))
def test_float_primitives_read_and_write_canonical_words(op: Op, operands: tuple[int, int]) -> None:
    used = operands[: ARITY[op]]
    result = apply(op, *used)
    assert result == canonical(result)
    assert result == apply(op, *(canonical(word) for word in used))


@given(words, words)
def test_addition_and_multiplication_commute(a: int, b: int) -> None:
    assert apply(Op.ADD, a, b) == apply(Op.ADD, b, a)
    assert apply(Op.MUL, a, b) == apply(Op.MUL, b, a)


@given(words, words)
def test_subtraction_is_addition_of_the_negative(a: int, b: int) -> None:
    assert apply(Op.SUB, a, b) == apply(Op.ADD, a, apply(Op.NEG, b))


@given(words, words)
def test_order_is_total_but_for_nan(a: int, b: int) -> None:
    relations = apply(Op.LT, a, b) + apply(Op.EQ, a, b) + apply(Op.LT, b, a)
    assert relations == (0 if is_nan(a) or is_nan(b) else 1)
    assert apply(Op.LE, a, b) == apply(Op.LT, a, b) | apply(Op.EQ, a, b)


@given(finite_words)
def test_a_finite_word_decodes_and_rounds_to_itself(word: int) -> None:
    assert round_dyadic(*decode(word)) == canonical(word)


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**40), st.integers(-300, 300))
def test_a_ratio_rounds_to_a_nearest_word(numerator: int, denominator: int, exponent: int) -> None:
    exact = Fraction(numerator, denominator) * Fraction(2) ** exponent
    word = round_ratio(numerator, denominator, exponent)
    if is_infinite(word):
        assert abs(exact) >= 2**128 - 2**103
        return

    def distance(candidate: int) -> Fraction:
        mantissa, power = decode(candidate)
        return abs(exact - mantissa * Fraction(2) ** power)

    magnitude = word & ~0x80000000
    neighbours = [
        (magnitude + step) | word & 0x80000000 for step in (-1, 1) if 0 <= magnitude + step < POS_INF
    ]
    for neighbour in neighbours:
        assert distance(word) < distance(neighbour) or (
            distance(word) == distance(neighbour) and word & 1 == 0
        )


@given(words)
def test_the_square_root_of_a_square(word: int) -> None:
    square = apply(Op.MUL, word, word)
    root = apply(Op.SQRT, square)
    if canonical(word) == NAN:
        assert root == NAN
    elif 0x00800000 <= square < POS_INF:  # beyond, bits or the magnitude are lost in the square
        assert root == apply(Op.ABS, word)
