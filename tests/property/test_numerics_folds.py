"""Properties of folds and of codes, the malformed included: N-9 to N-14."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.numerics.accumulator import EMPTY, Accumulator
from protocol.numerics.expression import fold_term, is_well_formed, map_word
from protocol.numerics.opcodes import MAX_LEAVES, Fold, Op
from tests.support import mpfr
from tests.support.evm import FastEvm, Handle

PRODUCT = bytes([Op.LEAF0, Op.LEAF1, Op.MUL])
SUM_BYTES = (*range(4), *range(4), Op.MUL, Op.NEG, Op.SELECT, Op.IEQ, Op.ILT, Op.I2F)

words = st.one_of(st.integers(0, mpfr.MASK), st.sampled_from(mpfr.EDGE_WORDS))
leaves = st.lists(words, min_size=MAX_LEAVES, max_size=MAX_LEAVES)
pairs = st.tuples(words, words)
accumulators = st.one_of(
    st.just(EMPTY),
    st.builds(Accumulator, st.integers(0, 255), st.integers(-(1 << 767), (1 << 767) - 1)),
)
codes = st.one_of(
    st.binary(max_size=32),
    st.lists(st.sampled_from(SUM_BYTES), max_size=32).map(bytes),
    st.lists(st.sampled_from(SUM_BYTES), max_size=6).map(bytes),
    st.sampled_from([b"\x00", b"\x00\x1f", PRODUCT]),
    st.builds(
        lambda pushes, op: bytes([*pushes, op]), st.lists(st.integers(0, 3), max_size=3), st.sampled_from(Op)
    ),
)


def fold(kind: int, terms: list[tuple[int, int]], start: Accumulator = EMPTY, first: int = 0) -> Accumulator:
    code = PRODUCT if kind == Fold.SUM else b"\x00"
    for index, term in enumerate(terms, first):
        start = fold_term(kind, code, term, start, index)
    return start


@given(st.lists(pairs, max_size=12))
def test_a_sum_is_the_exact_sum_rounded_once(terms: list[tuple[int, int]]) -> None:
    assert fold(Fold.SUM, terms).finish(Fold.SUM) == mpfr.exact_sum(mpfr.product(a, b) for a, b in terms)


@given(st.lists(pairs, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_a_sum_changes_no_bit(terms: list[tuple[int, int]], rng: object) -> None:
    shuffled = list(terms)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(Fold.SUM, shuffled) == fold(Fold.SUM, terms)


@pytest.mark.parametrize("kind", [Fold.SUM, Fold.MAX, Fold.ARGMAX])
@given(terms=st.lists(pairs, max_size=8), cut=st.integers(0, 8))
def test_a_fold_goes_on_from_the_bytes_of_its_prefix(
    kind: Fold, terms: list[tuple[int, int]], cut: int
) -> None:
    prefix = fold(kind, terms[:cut])
    again = Accumulator.from_bytes(prefix.to_bytes())
    assert again == prefix
    assert fold(kind, terms[cut:], again, len(terms[:cut])) == fold(kind, terms)


@given(st.lists(pairs, min_size=1, max_size=8))
def test_partial_sums_add_up(terms: list[tuple[int, int]]) -> None:
    total = EMPTY
    for term in terms:
        part = fold(Fold.SUM, [term])
        total = total.add(part.flags, part.value)
    assert total == fold(Fold.SUM, terms)


@given(st.lists(words, min_size=1, max_size=12))
def test_argmax_points_at_the_max(terms: list[int]) -> None:
    accumulator = EMPTY
    winners = []
    for index, word in enumerate(terms):
        accumulator = fold_term(Fold.ARGMAX, b"\x00", [word], accumulator, index)
        winners.append(accumulator.finish(Fold.ARGMAX))
    assert all(later >= earlier for earlier, later in pairwise(winners))
    largest = accumulator.finish(Fold.MAX)
    assert mpfr.ORACLE["ADD"](terms[winners[-1]], 0) == largest
    for word in terms:
        assert mpfr.ORACLE["MAX"](word, largest) == largest


@given(st.integers(0, 5), codes, st.integers(0, MAX_LEAVES), accumulators, leaves, leaves)
def test_whether_a_code_is_malformed_depends_on_no_word(
    kind: int, code: bytes, n_leaves: int, start: Accumulator, first: list[int], second: list[int]
) -> None:
    for values in (first[:n_leaves], second[:n_leaves]):
        result = fold_term(kind, code, values, start, 0)
        if not is_well_formed(kind, code, n_leaves) or kind == Fold.NONE:
            assert result == EMPTY
        elif kind == Fold.SUM:
            assert result.flags | start.flags == result.flags
        if not is_well_formed(Fold.NONE, code, n_leaves):
            assert map_word(code, values) == 0


@pytest.fixture(scope="module")
def mock() -> Handle:
    return FastEvm().deploy_judge("NumericsMock")


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from([0, 1, 1, 1, 2, 3, 4, 2**255]),
    code=codes,
    n_leaves=st.integers(0, MAX_LEAVES + 1),
    start=accumulators,
    terms=st.lists(leaves, min_size=1, max_size=3),
    padding=st.integers(0, 255),
)
def test_the_contract_agrees_on_any_code(
    mock: Handle,
    kind: int,
    code: bytes,
    n_leaves: int,
    start: Accumulator,
    terms: list[list[int]],
    padding: int,
) -> None:
    def read(values: list[int]) -> list[int]:
        return values[:n_leaves] if n_leaves <= MAX_LEAVES else [*values, 0]

    padded = code + bytes([padding]) * (32 - len(code))
    expected = start
    for index, values in enumerate(terms):
        expected = fold_term(kind, code, read(values), expected, index)
    *limbs, word, digest = mock.call(
        "fold_terms", kind, padded, len(code), n_leaves, terms, start.to_bytes(), 0
    )
    assert bytes([limbs[0]]) + b"".join(limb.to_bytes(32, "big") for limb in limbs[1:]) == expected.to_bytes()
    assert (word, digest) == (expected.finish(kind), hashlib.sha256(expected.to_bytes()).digest())
    mapped = mock.call("map_word", padded, len(code), n_leaves, terms[0])
    assert mapped == map_word(code, read(terms[0]))


@given(n_code=st.integers(33, 2**256 - 1), n_leaves=st.one_of(st.integers(0, 4), st.integers(5, 2**256 - 1)))
def test_the_contract_takes_any_length_and_count(mock: Handle, n_code: int, n_leaves: int) -> None:
    zeros = bytes(32)
    assert mock.call("map_word", zeros, n_code, n_leaves, [1, 1, 1, 1]) == 0
    for kind in (1, 2, 3):
        result = mock.call("fold_terms", kind, zeros, n_code, n_leaves, [[1, 1, 1, 1]], b"\x08" * 97, 0)
        assert result[:5] == (0, 0, 0, 0, 0)
