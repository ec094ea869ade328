"""A small, fixed part of `python -m benchmarks.fuzz`, and its record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks import fuzz, fuzz_inputs
from protocol.numerics.opcodes import ARITY, Op
from tests.support import mpfr

RECORD = Path(__file__).parents[2] / "benchmarks" / "records" / "fuzz.json"


def quiet(_: str) -> None:
    """No lines."""


def test_the_fast_engine_agrees_with_mpfr() -> None:
    report = fuzz.fast(60_000, 1, quiet)
    assert report["cases"] >= 60_000
    # Every tier of the certificates passed words on.
    assert report["passed_on"]["two_sum"] > 100
    assert report["passed_on"]["superaccumulator"] > 100


def test_the_contract_agrees_with_the_reference() -> None:
    report = fuzz.contract(2_000, 40, 2, quiet)
    assert report["cases"] > 1_900
    assert report["on_py_evm"] >= 40


def test_the_two_oracles_agree() -> None:
    """That of the fuzzer goes by the array and sums in MPFR, the other by the word and sums rationals."""
    rng = np.random.default_rng(3)
    a, b = fuzz_inputs.pairs(rng, 3_000)
    for name in fuzz.BINARY:
        want = [mpfr.ORACLE[name](x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        assert fuzz_inputs.binary(name, a, b).tolist() == want, name
    for terms in (1, 2, 5, 17):
        left, right = (fuzz_inputs.hard_terms(rng, 300, terms) for _ in range(2))
        found = fuzz_inputs.sums(fuzz_inputs._products(left, right)).tolist()
        for x, y, word in zip(left.tolist(), right.tolist(), found, strict=True):
            assert word == mpfr.exact_sum(mpfr.product(*pair) for pair in zip(x, y, strict=True))


def test_hard_inputs_are_hard() -> None:
    """Of pairs some tie, cancel, overflow and underflow; of folds some have infinities, most have none."""
    rng = np.random.default_rng(4)
    a, b = fuzz_inputs.pairs(rng, 20_000)
    x, y = fuzz_inputs.numbers(a), fuzz_inputs.numbers(b)
    with np.errstate(all="ignore"):
        total = x + y
        as_word = total.astype(np.float32)
        assert ((total == 0) & (x != 0)).sum() > 500  # cancels
        assert (np.isinf(as_word) & np.isfinite(total)).sum() > 20  # overflows
        low = total.view(np.int64) & ((1 << 29) - 1)
        assert ((low == 1 << 28) & np.isfinite(total)).sum() > 500  # halfway between words
        assert ((abs(x * y) < 2.0**-126) & (x * y != 0)).sum() > 500  # a subnormal product
    folds = fuzz_inputs.numbers(fuzz_inputs.hard_terms(rng, 2_000, 5))
    finite = np.isfinite(folds).all(axis=1)
    assert 0.7 < finite.mean() < 1


def test_the_record_is_of_ten_million_cases_and_every_fold() -> None:
    made = json.loads(RECORD.read_text())
    assert made["fast"]["cases"] >= 10_000_000
    assert set(made["fast"]["by_name"]) == {
        *fuzz.BINARY,
        *(f.name for f in fuzz_inputs.FOLDS),
        "matrix product",
    }
    assert made["contract"]["cases"] >= 49_900
    assert made["contract"]["on_py_evm"] > 100
    assert made["machine"]


def test_every_primitive_of_two_operands_is_fuzzed() -> None:
    floats = {op.name for op in Op if ARITY[op] == 2 and op < Op.IADD}
    assert floats == set(fuzz.BINARY)


def test_hard_words_cover_every_exponent() -> None:
    words = fuzz_inputs.words(np.random.default_rng(5), 50_000)
    assert len(set((words >> np.uint32(23)).tolist())) == 512
