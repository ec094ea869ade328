"""The records of `gavel certify`: that they speak of this code, and what they prove of the contract.

The contract evaluates in fixed point with a stated relative error, which is small enough if no exact result
comes nearer to a boundary between two words. The records name the results that come nearest, of all 2^32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gmpy2
import pytest

from gavel.certify import record, run
from gavel.certify.functions import FUNCTIONS, PRECISION, Function, distance
from gavel.certify.pieces import Piece
from gavel.certify.run import ALL, HARDEST, certify
from protocol.errors import MalformedError, MismatchError
from protocol.numerics.opcodes import SCALAR_FUNCTIONS, Op
from protocol.numerics.primitives import apply
from tests.support import mpfr
from tests.support.evm import FastEvm, Handle

FOLDER = Path(__file__).parents[2] / "specs" / "certificates"
NAMES = [op.name for op in SCALAR_FUNCTIONS]

CONTRACT_ERROR = {
    "EXP": -112,
    "EXPM1": -84,
    "TANH": -96,
    "SIGMOID": -110,
    "LOG": -85,
    "LOG1P": -85,
    "ERF": -78,
    "SIN": -83,
    "COS": -83,
}
"""log2 of the relative error stated at each function of scalar.vy, the contract's module; roots are exact."""


@pytest.fixture(scope="module")
def mock() -> Handle:
    return FastEvm().deploy_judge("NumericsMock")


def certificate(name: str) -> dict[str, Any]:
    return record.load(FOLDER / f"{name.lower()}.json")


def hardest(name: str) -> list[int]:
    return [int(near["word"], 16) for near in certificate(name)["nearest"]]


@pytest.mark.parametrize("name", NAMES)
def test_the_record_is_of_all_words_and_of_this_code(name: str) -> None:
    made = certificate(name)
    assert made["function"] == name
    assert made["words"] == ALL
    assert made["source"] == record.source_hash(), (
        f"the kernels have changed since {name} was certified: "
        "run `gavel certify all --record specs/certificates`"
    )
    assert len(made["nearest"]) == HARDEST


@pytest.mark.parametrize("name", CONTRACT_ERROR)
def test_the_contract_errs_far_less_than_any_result_is_near_to_a_boundary(name: str) -> None:
    nearest = min(near["log2_distance"] for near in certificate(name)["nearest"])
    assert CONTRACT_ERROR[name] + 15 < nearest
    stated = (FOLDER.parents[1] / "contracts_vyper" / "numerics" / "scalar.vy").read_text()
    assert f"below 2**{CONTRACT_ERROR[name]}" in stated


@pytest.mark.parametrize("name", NAMES)
def test_recorded_distances_are_what_mpfr_finds(name: str) -> None:
    with gmpy2.context(gmpy2.get_context(), precision=PRECISION):
        for near in certificate(name)["nearest"]:
            exact = FUNCTIONS[name].exact(gmpy2.mpfr(mpfr.to_float(int(near["word"], 16))))
            assert float(gmpy2.log2(distance(exact))) == pytest.approx(near["log2_distance"], abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_hardest_words_are_rounded_as_mpfr_does(mock: Handle, name: str) -> None:
    for nearest in hardest(name):
        for word in (nearest - 1, nearest, nearest + 1):
            want = mpfr.ORACLE[name](word)
            assert mock.call("apply", Op[name], word, 0, 0) == want, hex(word)
            assert apply(Op[name], word) == want, hex(word)


def test_words_where_the_contract_answers_at_once(mock: Handle) -> None:
    """At the ends of every range in which scalar.vy names a result instead of evaluating."""
    ends = (0x32800000, 0x39000000, 0x40800000, 0x41800000, 0x42000000, 0x42B20000, 0x42D00000, 0x3F800000)
    for end in ends:
        for word in (*range(end - 3, end + 4), *range((end | 1 << 31) - 3, (end | 1 << 31) + 4)):
            for name in NAMES:
                want = mpfr.ORACLE[name](word)
                assert mock.call("apply", Op[name], word, 0, 0) == want, (name, hex(word))


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_of_all_words(name: str) -> None:
    result = certify(name, every=401)
    assert 0 < result.words < ALL
    assert result.worst <= 2.0**-49
    assert result.nearest[0][0] >= min(near["log2_distance"] for near in certificate(name)["nearest"]) - 1e-3


def test_a_kernel_that_is_too_far_off_fails() -> None:
    with pytest.raises(MismatchError, match=r"TANH: the fast kernel's binary64 value is .* off"):
        certify("TANH", every=401, limit=2.0**-53)


@pytest.mark.parametrize("word", [0x3F000000, 0x7F800005, 0x00000000, 0x42C80000])
def test_one_wrong_word_fails(word: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a polynomial piece, among NaN, at zero, on a plateau."""
    real_fast, real_cut = run._Scanner.fast, run.cut

    def fast(scan: Any, first: int, end: int) -> Any:
        got, flagged = real_fast(scan, first, end)
        if first <= word < end:
            got[word - first] ^= 1
        return got, flagged

    def pieces(function: Function) -> Any:
        return [p for p in real_cut(function) if isinstance(p, Piece) and p.first <= word < p.end]

    monkeypatch.setattr(run, "cut", pieces)
    certify("EXP", every=64)
    monkeypatch.setattr(run._Scanner, "fast", fast)
    with pytest.raises(MismatchError, match="EXP"):
        certify("EXP", every=64)


def test_a_record_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exp.json"
    for text in ("", "[]", "{}", json.dumps({**certificate("EXP"), "words": ALL - 1})):
        path.write_text(text)
        with pytest.raises(MalformedError, match=r"exp\.json"):
            record.load(path)
