"""Accumulators and codes on cases that the rules name."""

from __future__ import annotations

import pytest

from protocol.errors import MalformedError
from protocol.numerics.accumulator import (
    BYTES,
    EMPTY,
    FLAG_NAN,
    FLAG_NEG_INF,
    FLAG_POS_INF,
    FLAG_SEEN,
    SCALE,
    Accumulator,
)
from protocol.numerics.expression import fold_term, is_well_formed, map_word
from protocol.numerics.opcodes import Fold, Op
from protocol.numerics.words import NAN, NEG_INF, ONE, POS_INF

TWO, MINUS_ONE, MINUS_ZERO = 0x40000000, 0xBF800000, 0x80000000
L0, L1, L2, L3 = Op.LEAF0, Op.LEAF1, Op.LEAF2, Op.LEAF3


def fold(kind: int, code: bytes, terms: list[list[int]], start: Accumulator = EMPTY) -> Accumulator:
    for index, words in enumerate(terms):
        start = fold_term(kind, code, words, start, index)
    return start


def test_the_empty_accumulator_is_97_zero_bytes() -> None:
    assert EMPTY.to_bytes() == bytes(97)
    assert Accumulator.from_bytes(bytes(97)) == EMPTY
    assert [EMPTY.finish(kind) for kind in Fold] == [0, 0, 0, 0]


def test_the_bytes_are_flags_and_a_big_endian_twos_complement_integer() -> None:
    assert Accumulator(5, -2).to_bytes() == b"\x05" + b"\xff" * 95 + b"\xfe"
    assert Accumulator.from_bytes(b"\x05" + b"\xff" * 95 + b"\xfe") == Accumulator(5, -2)


@pytest.mark.parametrize("length", [0, 96, 98])
def test_other_lengths_are_no_accumulator(length: int) -> None:
    with pytest.raises(MalformedError, match=str(BYTES)):
        Accumulator.from_bytes(bytes(length))


def test_one_is_two_to_the_scale() -> None:
    assert fold(Fold.SUM, b"\x00", [[ONE]]) == Accumulator(0, 1 << SCALE)
    assert fold(Fold.SUM, bytes([L0, L1, Op.MUL]), [[1, 1]]) == Accumulator(0, 1)  # the least product of all


@pytest.mark.parametrize(
    ("flags", "result"),
    [
        (FLAG_NAN, NAN),
        (FLAG_NAN | FLAG_POS_INF, NAN),
        (FLAG_POS_INF | FLAG_NEG_INF, NAN),
        (FLAG_POS_INF, POS_INF),
        (FLAG_NEG_INF, NEG_INF),
        (FLAG_SEEN, ONE),
        (0xF0, ONE),
    ],
)
def test_flags_of_a_sum(flags: int, result: int) -> None:
    assert Accumulator(flags, 1 << SCALE).finish(Fold.SUM) == result


def test_a_sum_wraps() -> None:
    largest = Accumulator(0, (1 << 767) - 1)
    assert fold(Fold.SUM, bytes([L0, L1, Op.MUL]), [[1, 1]], largest) == Accumulator(0, -(1 << 767))
    assert fold(Fold.SUM, bytes([L0, L1, Op.MUL]), [[1, 0x80000001]], Accumulator(0, -(1 << 767))) == largest


def test_sums_of_infinities_and_nan() -> None:
    assert fold(Fold.SUM, b"\x00", [[POS_INF], [ONE]]).finish(Fold.SUM) == POS_INF
    assert fold(Fold.SUM, b"\x00", [[POS_INF], [NEG_INF]]).finish(Fold.SUM) == NAN
    assert fold(Fold.SUM, b"\x00", [[0xFF800001]]) == Accumulator(FLAG_NAN, 0)
    assert fold(Fold.SUM, bytes([L0, L1, Op.MUL]), [[NEG_INF, MINUS_ZERO]]) == Accumulator(FLAG_NAN, 0)
    assert fold(Fold.SUM, bytes([L0, L1, Op.MUL, Op.NEG]), [[NEG_INF, TWO]]) == Accumulator(FLAG_POS_INF, 0)


def test_cancellation_gives_plus_zero() -> None:
    assert fold(Fold.SUM, b"\x00", [[MINUS_ONE], [ONE]]).finish(Fold.SUM) == 0
    assert fold(Fold.SUM, b"\x00", [[MINUS_ZERO]]).finish(Fold.SUM) == 0


def test_max_keeps_the_first_of_equals_and_nan_wins() -> None:
    words = [[MINUS_ZERO], [NEG_INF], [0], [ONE], [ONE], [0xFFC00001], [POS_INF], [NAN]]
    expected = [(0, 0), (0, 0), (0, 0), (3, ONE), (3, ONE), (5, NAN), (5, NAN), (5, NAN)]
    for count, (index, word) in enumerate(expected, 1):
        accumulator = fold(Fold.MAX, b"\x00", words[:count])
        assert accumulator == Accumulator(FLAG_SEEN, index << 32 | word)
        assert accumulator == fold(Fold.ARGMAX, b"\x00\x1f", words[:count])
        assert (accumulator.finish(Fold.ARGMAX), accumulator.finish(Fold.MAX)) == (index, word)


def test_max_on_an_accumulator_that_no_fold_gives() -> None:
    strange = Accumulator(0xF8, -(1 << 700) | 7 << 32 | 0xFF800001)  # its word reads NaN
    assert fold(Fold.MAX, b"\x00", [[POS_INF]], strange) == strange
    below = Accumulator(0xF8, -(1 << 700) | 7 << 32 | MINUS_ONE)
    assert fold_term(Fold.MAX, b"\x00", [ONE], below, 9) == Accumulator(0xF8, 9 << 32 | ONE)
    unseen = Accumulator(0x01, 7 << 32 | NAN)
    assert fold_term(Fold.MAX, b"\x00", [ONE], unseen, 2**32 + 9) == Accumulator(0x09, 9 << 32 | ONE)


@pytest.mark.parametrize(
    ("code", "words", "result"),
    [
        ([L0, L1, Op.SUB], [TWO, ONE], ONE),
        ([L1, L0, Op.SUB], [TWO, ONE], MINUS_ONE),
        ([L2, L0, L1, Op.SELECT], [ONE, TWO, 0], TWO),
        ([L0, L0, Op.ADD], [ONE], TWO),
        ([L3, Op.COPY], [0, 0, 0, 0xFFFFFFFF], 0xFFFFFFFF),
    ],
)
def test_map(code: list[int], words: list[int], result: int) -> None:
    assert is_well_formed(Fold.NONE, bytes(code), len(words))
    assert map_word(bytes(code), words) == result


@pytest.mark.parametrize(
    "code",
    [
        [],
        [L0],
        [Op.ADD],
        [L0, Op.ADD],
        [L0, L1, L0, Op.ADD],
        [L0, L1, Op.ADD, L0],
        [L0, Op.NEG, Op.NEG],
        [L2, Op.NEG],
        [L0, 0x7F],
        [L0, 0xFF],
        [L0, L1, 0x04],
        [L0, L1],
    ],
)
def test_malformed_map(code: list[int]) -> None:
    assert not is_well_formed(Fold.NONE, bytes(code), 2)
    assert map_word(bytes(code), [ONE, ONE]) == 0


@pytest.mark.parametrize(
    "code",
    [
        [L2],
        [Op.MUL],
        [L0, Op.MUL],
        [L0, Op.COPY],
        [L0, L1, Op.ADD],
        [L0, Op.SQRT],
        [L0, L1, Op.MUL, L0, Op.MUL],
        [L0, Op.I2F, Op.I2F],
        [L0, Op.NEG, Op.I2F],
        [L0, Op.NEG, L0, L1, Op.SELECT],
        [L0, Op.I2F, L0, Op.IEQ],
        [L0, L0, Op.NEG, Op.ILT],
        [L0] * 9,
        [L0] * 9 + [Op.MUL] * 3,
        [L0, L0, L1, Op.NEG, Op.SELECT, L0, Op.MUL],
        [0x04],
        [0xFF],
        [L0] * 8 + [Op.MUL] * 25,
    ],
)
def test_malformed_sum(code: list[int]) -> None:
    assert not is_well_formed(Fold.SUM, bytes(code), 2)
    for words in ([0, 0], [ONE, TWO], [NAN, POS_INF]):
        assert fold_term(Fold.SUM, bytes(code), words, Accumulator(9, 77), 0) == EMPTY


@pytest.mark.parametrize(
    ("code", "words", "total"),
    [
        ([], [ONE], 0),
        ([L0] * 8, [ONE], 8),
        ([L0, L1, Op.NEG], [TWO, ONE], 1),
        ([L0, Op.I2F, Op.NEG], [0xFFFFFFFF], 1),
        ([L0, L1, L2, Op.SELECT], [MINUS_ZERO, TWO, ONE], 2),
        ([L0, L1, L1, Op.MUL, L2, Op.SELECT], [0, TWO, ONE], 1),
        ([L0, L1, L1, Op.MUL, L2, Op.SELECT], [1, TWO, ONE], 4),
        ([L0, L1, Op.IEQ, Op.I2F], [7, 7], 1),
        ([L0, L1, Op.ILT, L2, L3, Op.SELECT], [0xFFFFFFFF, 0, TWO, ONE], 2),
    ],
)
def test_sum_terms(code: list[int], words: list[int], total: int) -> None:
    assert is_well_formed(Fold.SUM, bytes(code), len(words))
    assert fold_term(Fold.SUM, bytes(code), words, EMPTY, 0) == Accumulator(0, total << SCALE)


def test_a_selected_word_beside_an_exact_value_is_read_as_a_float() -> None:
    code = bytes([L0, L1, L1, Op.MUL, L2, Op.SELECT, Op.I2F])
    assert not is_well_formed(Fold.SUM, code, 3)  # though the condition could choose the word leaf2
    assert fold_term(Fold.SUM, code, [0, ONE, 5], EMPTY, 0) == EMPTY


@pytest.mark.parametrize("kind", [Fold.MAX, Fold.ARGMAX])
def test_codes_of_max_and_argmax(kind: Fold) -> None:
    assert is_well_formed(kind, b"\x00", 1)
    assert is_well_formed(kind, b"\x00\x1f", 4)
    for code, n_leaves in (
        (b"", 1),
        (b"\x01", 2),
        (b"\x00\x14", 1),
        (b"\x00\x00\x12", 1),
        (b"\x00", 0),
        (b"\x00", 5),
    ):
        assert not is_well_formed(kind, code, n_leaves)
        assert fold_term(kind, code, [ONE] * n_leaves, Accumulator(8, 1), 0) == EMPTY


@pytest.mark.parametrize("kind", [Fold.NONE, 4, 255])
def test_other_folds_have_no_terms(kind: int) -> None:
    assert fold_term(kind, b"\x00", [ONE], Accumulator(8, 1), 0) == EMPTY


def test_too_many_bytes_or_leaves() -> None:
    assert not is_well_formed(Fold.SUM, b"\x00" + b"\x14" * 32, 1)
    assert not is_well_formed(Fold.SUM, b"\x00", 5)
    assert not is_well_formed(Fold.NONE, b"\x00\x14", 5)
    assert map_word(b"\x00\x14", [ONE] * 5) == 0
