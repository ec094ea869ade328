"""The long profile has been run, and shows what it is to show; and its program writes such a report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stateful import counts
from tests.stateful.long import OUT
from tests.stateful.machine import state_changing
from tests.stateful.world import World

CALLS = 500_000


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return dict(json.loads(OUT.read_text(encoding="utf-8")))


def test_half_a_million_calls_were_compared(committed: dict[str, Any]) -> None:
    assert committed["calls"] >= CALLS
    assert committed["calls"] == committed["successes"] + committed["refusals"]
    assert committed["calls"] == sum(known["calls"] for known in committed["functions"].values())
    assert committed["refusals"] == sum(committed["reasons"].values())


def test_every_function_was_called_and_mostly_succeeded(committed: dict[str, Any]) -> None:
    for name in set(state_changing(World())) - counts.FOR_CONTRACTS:
        known = committed["functions"][name]
        assert known["successes"] >= counts.LEAST_SHARE * known["calls"] > 0, name
    assert all(committed["called by another contract, seen by its events"].values())


def test_what_was_never_met_cannot_be_or_is_tested_elsewhere(committed: dict[str, Any]) -> None:
    assert set(committed["reasons never met"]) <= set(counts.ELSEWHERE)


def test_the_program_writes_a_report(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "tests.stateful.long",
        "--calls",
        "150",
        "--seed",
        "7",
        "--out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=OUT.parents[2])
    shown = json.loads(out.read_text(encoding="utf-8"))
    assert shown["calls"] >= 150
    assert shown["seed"] == 7
    assert (done.returncode == 0) == ("never called" not in done.stderr)
    assert "150 of 150 calls" in done.stdout or f"{shown['calls']} of 150 calls" in done.stdout
