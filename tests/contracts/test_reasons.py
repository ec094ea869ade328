"""The list of reasons (errors.md, E-3): all that contracts and model give, each reached, each with a rule."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from protocol.chain.artifacts import CONTRACTS
from protocol.errors import RefusedError
from protocol.game.reasons import REASONS, explained, table

ROOT = CONTRACTS.parent
REASON = re.compile(
    r'"((?:board|court|verifier|availability|merkle|accumulator|functions|scalar|erc20): [^"]+)"'
)
LISTS = {"reasons_availability.py", "reasons_board.py", "reasons_court.py", "reasons_proofs.py"}
TOKENS = "erc20: "
NEVER_MET = {"board: update exists"}
"""The number of falls is part of an update's id, so none is ever posted twice (U-4)."""


def given_in(paths: Iterable[Path]) -> set[str]:
    """Every reason that stands in some files."""
    return {reason for path in paths for reason in REASON.findall(path.read_text())}


def sources() -> set[str]:
    """Every reason of the contracts that are deployed, but for the token's."""
    return given_in(path for path in CONTRACTS.rglob("*.vy") if path.parent.name != "mocks")


def test_the_list_holds_exactly_the_reasons_of_the_contracts() -> None:
    assert {reason for reason in REASONS if not reason.startswith(TOKENS)} == sources()


def test_the_list_holds_reasons_of_the_token_that_comes_with_gavel() -> None:
    package = importlib.util.find_spec("snekmate")
    assert package is not None
    (place,) = package.submodule_search_locations or ()
    there = given_in([Path(place) / "tokens" / "erc20.vy"])
    listed = {reason for reason in REASONS if reason.startswith(TOKENS)}
    assert listed
    assert listed <= there


def test_python_gives_no_other_reasons() -> None:
    packages = [ROOT / name for name in ("protocol", "challenger", "prover", "gavel")]
    modules = [path for place in packages for path in place.rglob("*.py") if path.name not in LISTS]
    given = given_in(modules)
    assert given <= set(REASONS), given - set(REASONS)
    assert len(given) > 100


def test_the_model_gives_every_reason_of_court_and_board_that_a_move_can_meet() -> None:
    """But for those of deployment and of the court's own calls, which are no moves of a party."""
    model = given_in(
        [*(ROOT / "protocol" / "game").glob("model*.py"), ROOT / "protocol" / "program" / "leaf.py"]
    )
    listed = {reason for reason in REASONS if reason.startswith(("availability: ", "court: ", "board: "))}
    assert listed - model == {
        "board: no token",
        "board: not the deployer",
        "board: is bound",
        "board: no court",
        "board: not the court",
        "board: not availability",
        "board: update is not live",
        "board: final",
        "board: token moved another amount",
        "court: too many disputes",
        "court: not the verifier",
        "court: no board or no verifier",
    }


def test_each_reason_is_reached_by_a_test() -> None:
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__).resolve()]
    text = "\n".join(path.read_text() for path in tests)
    missing = {reason for reason in REASONS if reason not in text and not reason.startswith(TOKENS)}
    assert missing <= NEVER_MET


def test_each_rule_that_a_reason_upholds_is_in_the_specification() -> None:
    rules = set(
        re.findall(r"\*\*([A-Z]-\d+)\b", "\n".join(p.read_text() for p in (ROOT / "specs").glob("*.md")))
    )
    rules |= set(
        re.findall(r"INVARIANT (I-\d+)", "\n".join(p.read_text() for p in (ROOT / "specs").glob("*.md")))
    )
    for reason, known in REASONS.items():
        assert set(known.rule.split(", ")) <= rules, reason


def test_the_specification_shows_the_list() -> None:
    """`make snapshots` writes it."""
    assert table() in (ROOT / "specs" / "errors.md").read_text()


def test_the_courts_reasons_fit_its_guard() -> None:
    assert max(len(reason) for reason in REASONS if reason.startswith("court: ")) <= 33


@pytest.mark.parametrize("reason", ["board: leased", "court: fallen above", "verifier: page"])
def test_a_refusal_explains_itself(reason: str) -> None:
    error = RefusedError(reason)
    known = REASONS[reason]
    assert error.reason == reason
    assert str(error) == f"refused: {reason} ({known.rule}: {known.meaning}); {known.advice}"
    assert str(RefusedError(reason, "wait")) == f"refused: {reason} ({known.rule}: {known.meaning}); wait"


def test_another_contracts_reason_is_told_as_it_is() -> None:
    assert explained("token: closed on Sundays").startswith(
        "token: closed on Sundays; it is none of gavel's own"
    )
    assert explained("", "look at it").endswith("; look at it")
