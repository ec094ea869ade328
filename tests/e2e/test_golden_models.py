"""Every model of the zoo ends in the state that is recorded, whatever computes it (N-1, N-14).

Other machines and forked processes are in test_golden_machines.py, shares of a batch in
tests/unit/test_sharding.py. `GAVEL_PROFILE=long` (`make test-long`) adds the sizes that speed is measured at.
"""

from __future__ import annotations

import json
import math
import os
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from benchmarks import golden
from benchmarks.zoo import TINY
from prover.engine.prepare import executor_of_job

LONG = os.environ.get("GAVEL_PROFILE") == "long"
RECORDED = golden.recorded()


@pytest.mark.parametrize("name", golden.names() if LONG else [*TINY, "full-lenet5"])
def test_the_recorded_state_is_found_again_with_one_thread_and_with_two(name: str) -> None:
    folder = golden.golden_job(name)
    found = golden.roots_of(folder)
    assert golden.differences({name: found}) == []
    assert golden.final_root(folder, executor_of_job(folder, threads=2)) == found["final"]


@pytest.mark.parametrize("name", golden.names() if LONG else ["vgg11", "gpt-exact-gelu"])
def test_the_recorded_state_is_found_again_with_products_by_torch(name: str) -> None:
    """The path of `--device`, on the processor; `benchmarks.golden --check --device cuda` is for others."""
    assert golden.differences({name: golden.roots_of(golden.golden_job(name), device="cpu")}) == []


def test_the_record_holds_every_model_and_was_made_with_these_versions() -> None:
    """Stale? ``python -m benchmarks.golden``; other final roots under the same program are other bits."""
    assert list(RECORDED) == golden.names()
    assert all(RECORDED[name]["steps"] == golden.steps_of(name) for name in RECORDED)
    assert len({roots["final"] for roots in RECORDED.values()}) == len(RECORDED)
    made = json.loads(golden.PATH.read_text())["versions"]
    assert made == {name: version(name) for name in made}


def test_the_trainings_are_trainings() -> None:
    """No NaN, a loss that falls: a record of nothing but NaN would be kept by any machine."""
    folder = golden.golden_job("lenet5-max")
    executor, state, losses = executor_of_job(folder), list(folder.genesis), []
    for step in range(folder.job.geometry.steps):
        done = executor.run(state, step, keep_outputs=False)
        state = done.next_state
        losses.append(done.loss)
    assert all(math.isfinite(loss) for loss in losses)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    for words, spec in zip(state, folder.program.slots, strict=True):
        assert spec.dtype != "f32" or np.isfinite(words.view(np.float32)).all(), spec.name


def test_a_wrong_bit_is_told_from_a_stale_record() -> None:
    right = RECORDED["gru"]
    assert golden.differences({"gru": right}) == []
    (line,) = golden.differences({"gru": {**right, "final": "00" * 32}})
    assert re.match("gru: WRONG BITS", line)
    (line,) = golden.differences({"gru": {**right, "program": "00" * 32, "final": "00" * 32}})
    assert re.match("gru: another program, final: .* stale", line)


def test_a_check_of_the_command_ends_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["golden", "--check", "--models", "lenet5-max"])
    assert golden.main() == 0
    assert capsys.readouterr().out == "1 models, bit for bit\n"
    wrong = {"models": {"lenet5-max": {**RECORDED["lenet5-max"], "final": "00" * 32}}}
    (tmp_path / "golden.json").write_text(json.dumps(wrong))
    monkeypatch.setattr(golden, "PATH", tmp_path / "golden.json")
    assert golden.main() == 1
    assert "WRONG BITS" in capsys.readouterr().out
