"""`gavel certify`: what is proven of each piece, and the command."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import gmpy2
import numpy as np
import pytest
from click.testing import CliRunner
from gmpy2 import mpfr

from gavel.certify.functions import FUNCTIONS, PRECISION, distance, number, rounded
from gavel.certify.pieces import Piece, cut, turn_table
from gavel.cli import cli
from protocol.errors import StorageError, UsageError
from prover.engine.scalar_scan import _polynomial, _turned

NAMES = list(FUNCTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_pieces_are_all_finite_words_and_keep_their_bounds(name: str) -> None:
    """Each word but the zeros once, and the second evaluation of random ones within what is proven of it."""
    function, rng = FUNCTIONS[name], random.Random(name)
    place, checked = 1, 0
    with gmpy2.context(gmpy2.get_context(), precision=PRECISION):
        table = turn_table(function)
        for piece in cut(function):
            first, end = (piece, piece + 1) if isinstance(piece, int) else (piece.first, piece.end)
            assert first == place
            place = 0x80000001 if end == 0x7F800000 else end
            if isinstance(piece, int) or rng.random() > 0.02:
                continue
            for word in (first, rng.randrange(first, end), end - 1):
                exact = function.exact(mpfr(number(word)))
                if piece.plateau is not None:
                    assert rounded(exact) == piece.plateau
                    continue
                if piece.turns:
                    upper, lower = np.uint64(piece.upper), np.uint64(piece.lower)
                    value = float(_turned(np.uint32(word), upper, lower, table))
                    value = -value if name == "SIN" and word >> 31 else value
                    bound = 2.0**-50
                else:
                    value = _second(piece, word)
                    bound = 2.0**-52
                assert abs(value - exact) <= bound * abs(exact), hex(word)
                checked += 1
    assert place == 0xFF800000
    assert checked > 100


def _second(piece: Piece, word: int) -> float:
    return float(
        _polynomial(number(word), piece.center, piece.scale, piece.high, piece.low, piece.coefficients)
    )


def test_distance_is_to_the_nearest_point_halfway_between_words() -> None:
    with gmpy2.context(gmpy2.get_context(), precision=PRECISION):
        one, place = mpfr(1), gmpy2.exp2(-23)
        assert distance(one + place / 2) == 0
        assert distance(one) == place / 4  # towards 0 the words are closer
        assert distance(one + place) == place / 2 / (one + place)
        least = gmpy2.exp2(-149)
        assert distance(least / 2) == 0
        assert distance(least) == 0.5
        assert distance(gmpy2.exp2(128) - gmpy2.exp2(103)) == 0
        assert distance(gmpy2.exp2(130)) > 1


def test_certify_prints_what_it_found() -> None:
    result = CliRunner().invoke(cli, ["certify", "tanh", "--sample", "800", "--threads", "1"])
    assert result.exit_code == 0, result.output
    assert "words right; values within" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["tan"], "no scalar function tan"),
        (["exp", "--sample", "2", "--record", "x"], "a sample proves nothing"),
    ],
)
def test_what_cannot_be_certified_is_refused(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(cli, ["certify", *arguments])
    assert isinstance(result.exception, UsageError)
    assert reason in str(result.exception)


def test_a_folder_that_cannot_be_made_is_said_before_the_scan(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(cli, ["certify", "exp", "--record", str(tmp_path / "file" / "below")])
    assert isinstance(result.exception, StorageError)
    assert "cannot be made" in str(result.exception)


def test_without_mpfr_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [module for module in sys.modules if module.startswith("gavel.certify")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gmpy2", None)
    result = CliRunner().invoke(cli, ["certify", "exp"])
    assert isinstance(result.exception, UsageError)
    assert "pip install gmpy2" in str(result.exception)
