"""`gavel demo --json` in a process of its own: the whole story, and what it must come to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gavel.demo.model import digits_classifier
from gavel.demo.story import BATCH, NO_PLACE, SEGMENTS, STRIDE, Narrator, Story
from gavel.jobs import capture_job
from gavel.scenarios.cheats import CHEATS
from protocol.errors import UsageError
from protocol.job import load_preset

MAX_TRANSACTIONS = 12
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
    assert evidence["range"] == evidence["ranges"] == 8
    assert evidence["terms"] == [56, 63]
    difference = int(evidence["posted_bits"], 16) ^ int(evidence["right_bits"], 16)
    assert difference == 1 << 12


def test_the_proof_and_not_a_timeout_ended_the_dispute(report: dict[str, Any]) -> None:
    moves = [tx["what"] for tx in report["dispute"]["each"]]
    assert moves[0] == "open"
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


# -------------------------------------------------------------------- other cheats


@pytest.mark.parametrize(
    ("name", "step", "level", "leaf"),
    [("weight-bit", 121, "STATE", "link"), ("silent-tensor-reveal", 159, "TENSOR", "silence")],
)
def test_the_story_is_told_with_another_cheat(
    name: str, step: int, level: str, leaf: str, tmp_path: Path
) -> None:
    story = Story(seed=1, folder=tmp_path, narrator=Narrator(), cheat_name=name, step=step)
    told = story.play()
    evidence, verdict = told.evidence, told.verdict
    assert evidence is not None
    assert verdict is not None
    assert (evidence.level, evidence.leaf, evidence.step) == (level, leaf, step)
    assert evidence.segment == step // 20 + 1
    assert (evidence.posted_hash != evidence.right_hash) == (leaf == "link")
    assert (verdict.status, verdict.void, verdict.winner) == ("fallen", 1, "watcher")
    moves = [tx["what"] for tx in told.dispute["each"]]
    assert moves[-2:] == ["prove" if leaf == "link" else "silence", "settle"]
    assert told.balances["cheating trainer"]["after"] < told.balances["cheating trainer"]["before"]
    assert told.conserved
    assert told.accuracy >= 0.9


def test_a_corruption_that_vanishes_costs_nobody_anything(tmp_path: Path) -> None:
    told = Story(seed=0, folder=tmp_path, narrator=Narrator(), cheat_name="vanishing", step=130).play()
    assert (told.evidence, told.verdict) == (None, None)
    assert (told.dispute["transactions"], told.dispute["each"]) == (0, [])
    change = {who: b["after"] - b["before"] for who, b in told.balances.items()}
    assert change["cheating trainer"] > 0  # its five segments are right, and paid
    assert change["watcher"] == change["burned"] == 0
    assert told.conserved


def test_cheats_without_a_place_in_the_demo_are_those_that_it_refuses(tmp_path: Path) -> None:
    """Story refuses by name, before anything runs, what `prepare` would refuse in the end."""
    folder = capture_job(
        digits_classifier(),
        chain_id=0,
        board=bytes(20),
        requester=bytes(20),
        preset=load_preset("full"),
        steps=SEGMENTS * STRIDE,
        stride=STRIDE,
        batch=BATCH,
        seed=bytes(32),
        salt=bytes(32),
        expiry=0,
    )
    refused = set()
    for name, cheat in CHEATS.items():
        try:
            cheat.prepare(folder, step=3, seed=0)
        except UsageError:
            refused.add(name)
            with pytest.raises(UsageError, match="no place for the cheat"):
                Story(seed=0, folder=tmp_path, narrator=Narrator(), cheat_name=name)
    assert refused == NO_PLACE
