"""The reference against MPFR, thousands of hard inputs for every primitive."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protocol.numerics.accumulator import EMPTY
from protocol.numerics.expression import fold_term
from protocol.numerics.opcodes import ARITY, Fold, Op
from protocol.numerics.primitives import apply
from tests.support import mpfr

PRIMITIVES = [op for op in Op if ARITY[op] > 0]


def hard_operands(rng: random.Random, arity: int) -> tuple[int, ...]:
    return (*mpfr.hard_pair(rng), mpfr.hard_word(rng))[3 - arity :] if arity != 2 else mpfr.hard_pair(rng)


def test_the_oracle_knows_every_primitive() -> None:
    assert set(mpfr.ORACLE) == {op.name for op in PRIMITIVES}


@pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
def test_primitive_agrees_with_mpfr(op: Op) -> None:
    rng = random.Random(op)
    for _ in range(3000):
        operands = hard_operands(rng, ARITY[op])
        want = mpfr.ORACLE[op.name](*operands)
        got = apply(op, *operands)
        assert got == want, f"{op.name} {[hex(word) for word in operands]}: {got:#x}, MPFR {want:#x}"


@pytest.mark.parametrize("op", [op for op in PRIMITIVES if ARITY[op] == 1], ids=lambda op: op.name)
def test_unary_primitive_agrees_with_mpfr_at_the_edges(op: Op) -> None:
    for edge in mpfr.EDGE_WORDS:
        for word in range(max(edge - 4, 0), min(edge + 5, 2**32)):
            assert apply(op, word) == mpfr.ORACLE[op.name](word), hex(word)


@pytest.mark.parametrize("op", [op for op in PRIMITIVES if ARITY[op] == 2], ids=lambda op: op.name)
def test_binary_primitive_agrees_with_mpfr_at_all_pairs_of_edges(op: Op) -> None:
    for a in mpfr.EDGE_WORDS:
        for b in mpfr.EDGE_WORDS:
            assert apply(op, a, b) == mpfr.ORACLE[op.name](a, b), (hex(a), hex(b))


def test_mpfr_agrees_with_the_processor() -> None:
    """The oracle's setting (range, subnormals, ties) against binary32 in hardware, by numpy."""
    rng = random.Random(7)
    pairs = [mpfr.hard_pair(rng) for _ in range(4000)]
    a, b = (np.array(column, np.uint32).view(np.float32) for column in zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        native = {"ADD": a + b, "SUB": a - b, "MUL": a * b, "SQRT": np.sqrt(a)}
    for name, results in native.items():
        for (x, y), result in zip(pairs, results, strict=True):
            want = mpfr.to_word(float(result))
            assert mpfr.ORACLE[name](*((x,) if name == "SQRT" else (x, y))) == want, (name, hex(x), hex(y))


SUMS: dict[str, tuple[bytes, Callable[[list[int]], list[Any]]]] = {
    "word": (b"\x00", lambda w: [mpfr.term(w[0])]),
    "product": (b"\x00\x01\x12", lambda w: [mpfr.product(w[0], w[1])]),
    "difference of words": (b"\x00\x01\x14", lambda w: [mpfr.term(w[0]), -mpfr.term(w[1])]),
    "two products": (
        b"\x00\x01\x12\x02\x03\x12\x14",
        lambda w: [mpfr.product(*w[:2]), -mpfr.product(*w[2:])],
    ),
    "integer": (b"\x00\x29\x01", lambda w: [mpfr.integer(w[0]), mpfr.term(w[1])]),
    "selected product": (
        b"\x00\x01\x02\x12\x03\x28",
        lambda w: [mpfr.product(w[1], w[2]) if w[0] else mpfr.term(w[3])],
    ),
    "scatter": (b"\x00\x01\x33\x02\x03\x28", lambda w: [mpfr.term(w[2] if w[0] == w[1] else w[3])]),
    "below": (
        b"\x00\x01\x34\x02\x03\x28",
        lambda w: [mpfr.term(w[2 if mpfr.signed(w[0]) < mpfr.signed(w[1]) else 3])],
    ),
}


def cancelling_terms(rng: random.Random, finite: bool) -> list[list[int]]:
    """Terms of four words, many of which meet their opposite, so that what is left is small or halfway."""
    terms: list[list[int]] = []
    while len(terms) < rng.choice((1, 2, 5, 20)):
        words = [mpfr.hard_word(rng) for _ in range(4)]
        if finite:
            words = [
                word if word & mpfr.NAN & 0x7F800000 != 0x7F800000 else word & 0x807FFFFF for word in words
            ]
        terms.append(words)
        if rng.random() < 0.6:
            terms.append([words[0] ^ 0x80000000, words[1], words[2] ^ 0x80000000, words[3]])
        if rng.random() < 0.2:
            terms.append([1, 0x3F800000, 0, 0])  # the least subnormal breaks a tie
    rng.shuffle(terms)
    return terms


@pytest.mark.parametrize("name", SUMS)
def test_sum_agrees_with_rationals_rounded_once(name: str) -> None:
    code, terms_of = SUMS[name]
    rng = random.Random(name)
    for case in range(400):
        terms = cancelling_terms(rng, finite=case % 4 != 0)
        accumulator = EMPTY
        for index, words in enumerate(terms):
            accumulator = fold_term(Fold.SUM, code, words, accumulator, index)
        want = mpfr.exact_sum(term for words in terms for term in terms_of(words))
        assert accumulator.finish(Fold.SUM) == want, [[hex(word) for word in words] for words in terms]


@pytest.mark.parametrize(
    ("big", "half"),
    [(0x3F800000, 0x33800000), (0x4B000001, 0x3F000000), (0x01000000, 0x00000001), (0x7F7FFFFF, 0x73000000)],
    ids=["tie to even", "tie to odd", "near the subnormals", "overflow"],
)
@pytest.mark.parametrize("sign", [0, 0x80000000])
@pytest.mark.parametrize("tiny", [0, 0x00000001, 0x80000001])
def test_sum_halfway_between_words_is_decided_by_the_least_subnormal(
    big: int, half: int, sign: int, tiny: int
) -> None:
    words = [big | sign, half | sign, tiny]
    accumulator = EMPTY
    for index, word in enumerate(words):
        accumulator = fold_term(Fold.SUM, b"\x00", [word], accumulator, index)
    assert accumulator.finish(Fold.SUM) == mpfr.exact_sum(mpfr.term(word) for word in words)


@pytest.mark.parametrize("fold", [Fold.MAX, Fold.ARGMAX])
def test_extreme_folds_agree_with_numpy(fold: Fold) -> None:
    """numpy, too, lets NaN win and the first of equals stay."""
    rng = random.Random(3)
    for _ in range(300):
        words = [mpfr.hard_word(rng) for _ in range(rng.choice((1, 2, 3, 17)))]
        words += rng.choices(words, k=3)
        floats = np.frombuffer(struct.pack(f"={len(words)}I", *words), np.float32)
        accumulator = EMPTY
        for index, word in enumerate(words):
            accumulator = fold_term(fold, b"\x00", [word], accumulator, index)
        winner = int(np.argmax(floats))
        want = winner if fold == Fold.ARGMAX else mpfr.to_word(float(floats[winner]))
        assert accumulator.finish(fold) == want, [hex(word) for word in words]
