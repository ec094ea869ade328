"""`gavel demo --json` in a process of its own: the whole story, and what it must come to."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

MAX_TRANSACTIONS = 18
MAX_GAS = 5_000_000
ROLES = ("requester", "first trainer", "cheating trainer", "second trainer", "watcher")


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "gavel", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def test_a_fold_range_of_the_corrupted_matmul_decided(report: dict[str, Any]) -> None:
    evidence = report["evidence"]
    assert evidence["leaf"] == "range"
    assert (evidence["segment"], evidence["step"], evidence["word"]) == (8, 147, 321)
    assert evidence["label"].startswith("addmm model.py:")
    assert evidence["range"] == evidence["ranges"] == 2
    assert evidence["terms"] == [32, 63]
    difference = int(evidence["posted_bits"], 16) ^ int(evidence["right_bits"], 16)
    assert difference == 1 << 12


def test_the_proof_and_not_a_timeout_ended_the_dispute(report: dict[str, Any]) -> None:
    moves = [tx["what"] for tx in report["dispute"]["each"]]
    assert moves[0] == "reserve"
    assert moves[-2:] == ["prove", "settle"]
    assert not {"silence", "timeout"} & set(moves)
    assert moves.count("commit") == 3  # STEPS, NODES, FOLD


def test_the_dispute_is_short_and_cheap(report: dict[str, Any]) -> None:
    dispute = report["dispute"]
    assert dispute["transactions"] == len(dispute["each"]) <= MAX_TRANSACTIONS
    assert dispute["gas"] == sum(tx["gas"] for tx in dispute["each"]) <= MAX_GAS


def test_the_watcher_is_paid_and_the_cheat_pays(report: dict[str, Any]) -> None:
    verdict = report["verdict"]
    parts = ("to_winner", "burned", "to_requester", "tip")
    assert (verdict["status"], verdict["void"], verdict["winner"]) == ("fallen", 1, "watcher")
    assert sum(int(verdict[part]) for part in parts) == int(verdict["bond"])
    change = {who: int(b["after"]) - int(b["before"]) for who, b in report["balances"].items()}
    assert change["cheating trainer"] == -int(verdict["bond"])
    assert change["watcher"] == int(verdict["to_winner"]) + int(verdict["tip"])
    assert change["first trainer"] > 0
    assert change["second trainer"] > change["first trainer"]
    rewards = change["first trainer"] + change["second trainer"]
    assert change["requester"] == int(verdict["to_requester"]) - rewards


def test_tokens_are_conserved(report: dict[str, Any]) -> None:
    assert set(report["balances"]) == {*ROLES, "burned"}
    assert sum(int(b["after"]) - int(b["before"]) for b in report["balances"].values()) == 0
    assert report["conserved"] is True


def test_the_finished_model_is_good(report: dict[str, Any]) -> None:
    assert report["segments"] == 40
    assert report["accuracy"] >= 0.95


def test_it_fits_the_time_that_the_issue_gives(report: dict[str, Any]) -> None:
    assert sum(report["seconds"].values()) < 120
