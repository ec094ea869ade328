"""Refused moves: each named reason is reached by a fixture, or it is said why none can be."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gavel.fixtures.format import Fixture
from gavel.fixtures.refusals import SCRIPTS
from gavel.fixtures.script import OTHER, Script, setting
from gavel.fixtures.steps import Call
from protocol.errors import MismatchError, RefusedError
from protocol.game import moves as m
from protocol.game.reasons import REASONS

FOLDER = Path(__file__).resolve().parents[2] / "specs" / "fixtures"

_DEPLOYING = "refuses a deployment, and a dispute begins with one that was accepted"
_COURT_ALONE = "asked by the court alone, which checks the same before"
_MODULE = "a module's own check, behind a check of each contract that uses it"

UNREACHED = {
    "board: no token": _DEPLOYING,
    "board: no court": _DEPLOYING,
    "court: no board or no verifier": _DEPLOYING,
    "functions: no contract": _DEPLOYING,
    "board: update exists": "ids hash the parent and the number of falls, so none comes twice",
    "board: update is not live": _COURT_ALONE,
    "board: final": _COURT_ALONE,
    "board: token transfer failed": "the bond token of the fixtures reverts with a reason of its own",
    "board: token moved another amount": "the bond token of the fixtures moves what it says (M-10)",
    "court: too many disputes": "takes 67 million disputes",
    "court: no place left": "takes 1,023 candidates; test_court_commit posts them",
    "verifier: cursor kind": "the court hands out proofs at the last levels alone; program/verdicts has it",
    "erc20: transfer from the zero address": "nobody holds the key of the zero address",
    "erc20: approve from the zero address": "nobody holds the key of the zero address",
    "merkle: height above 64": _MODULE,
    "merkle: children not a power of two": _MODULE,
    "merkle: more than 1024 children": _MODULE,
    "accumulator: length": _MODULE,
}
"""Why no move in a fixture is refused for these reasons."""


def refused() -> Counter[str]:
    """Every reason in the dispute fixtures, and how often it is given."""
    found: Counter[str] = Counter()
    for path in [*FOLDER.glob("disputes/*.json"), *FOLDER.glob("refusals/*.json")]:
        steps: list[dict[str, Any]] = Fixture.parse(path.read_bytes(), where=path.name).body["steps"]
        found.update(step["refused"] for step in steps if "refused" in step)
    return found


def test_every_reason_is_in_a_fixture_or_out_of_reach() -> None:
    reached = refused()
    assert set(REASONS) - set(reached) == set(UNREACHED)
    assert set(reached) - {""} <= set(REASONS)


def test_the_verdicts_have_what_no_court_asks() -> None:
    """`verifier: cursor kind` is out of a court's reach, but not out of a vector's."""
    cases = json.loads((FOLDER / "program" / "verdicts.json").read_text())["cases"]
    outcomes = Counter(str(case.get("gives", case.get("refused"))) for case in cases)
    assert outcomes["verifier: cursor kind"] > 0
    assert min(outcomes["True"], outcomes["False"]) > 2


def test_scripts_and_fixtures_have_the_same_names() -> None:
    assert {path.stem for path in FOLDER.glob("refusals/*.json")} == set(SCRIPTS)
    assert all(script.about.endswith(".") and script.rules for script in SCRIPTS.values())


def test_a_script_is_held_to_what_it_says() -> None:
    script = Script()
    with pytest.raises(RefusedError):
        script.send(OTHER, m.Evict(job=script.id))
    with pytest.raises(MismatchError, match="is accepted"):
        script.refused(OTHER, m.Lease(job=script.id), "board: leased")
    with pytest.raises(MismatchError, match="not board: leased"):
        script.refused(OTHER, m.Cancel(job=script.id), "board: leased")


def test_addresses_are_those_that_a_deployment_gives() -> None:
    """Contracts of the first account of the development phrase, as every tool knows them."""
    where = setting()
    assert where.accounts["deployer"][1].hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert where.contracts["token"].hex() == "5fbdb2315678afecb367f032d93f642f64180aa3"
    assert len(set(where.contracts.values())) == len(where.contracts)


def test_a_script_makes_each_move_in_a_block_of_its_own_at_the_time_it_names() -> None:
    script = Script()
    now = script.model.now()
    script.wait(now + 50)
    script.send(OTHER, m.Lease(job=script.id))
    script.tick(now + 60)
    script.send(OTHER, m.Release(job=script.id))
    assert [step.time - now for step in script.steps[-3:]] == [50, 60, 61]
    last = script.steps[-1]
    assert isinstance(last, Call)
    assert (last.sender, last.to, last.name) == ("other", "board", "release")
