"""The golden states again on what counts as other machines: vector widths, threads, forked processes.

Each runs in a process of its own, as another party's would. `GAVEL_PROFILE=long` takes all models and more
lesser processors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from llvmlite import binding

from benchmarks import golden
from protocol.job_folder import JobFolder
from prover.engine.prepare import executor_of_job

LONG = os.environ.get("GAVEL_PROFILE") == "long"
RECORDED = golden.recorded()
CAPTURED = golden.names() if LONG else ["lenet5-average", "gru"]
REPLAYED = "full-lenet5"
STEPS = golden.steps_of(REPLAYED) if LONG else 1
FORKS, THREADS = 200, 8


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("jobs")
    golden.golden_job(REPLAYED).save(base / REPLAYED)
    return base


@pytest.fixture(scope="module")
def right(jobs: Path) -> str:
    folder = JobFolder.load(jobs / REPLAYED)
    root = golden.final_root(folder, executor_of_job(folder), STEPS)
    assert STEPS == 1 or root == RECORDED[REPLAYED]["final"]
    return root


def _ran(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.golden", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd=golden.PATH.parents[2],
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _replayed(base: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        _ran("--replay", str(base), "--steps", str(STEPS), *arguments, **environment)
    )
    return found


def _without(*names: str) -> str:
    """The processor's features but for some, as LLVM writes them."""
    features = binding.get_host_cpu_features().items()
    return ",".join(("+" if has and not name.startswith(names) else "-") + name for name, has in features)


def _instruction_sets() -> list[str]:
    has = binding.get_host_cpu_features()
    wanted = {"default": True, "avx2": has.get("avx2"), "avx512": has.get("avx512f")}
    return [name for name, there in wanted.items() if there]


@pytest.mark.parametrize("capability", _instruction_sets())
def test_with_each_instruction_set_of_pytorch(capability: str) -> None:
    """Capture runs in it too; what PyTorch calls it shows that the variable was understood."""
    env = {"ATEN_CPU_CAPABILITY": capability}
    script = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | env, check=True
    )
    assert shown.stdout.strip().lower() == capability
    told = _ran("--check", "--models", *CAPTURED, "--threads", "2", **env)
    assert told == f"{len(CAPTURED)} models, bit for bit\n"


NARROW = ("generic", "")
NEVER_FUSED = ("haswell", _without("avx512", "amx", "avx10", "fma"))


@pytest.mark.parametrize(("processor", "features"), [NEVER_FUSED, NARROW] if LONG else [NEVER_FUSED])
def test_with_kernels_for_a_lesser_processor(
    jobs: Path, right: str, processor: str, features: str, tmp_path: Path
) -> None:
    """Narrower vectors, and products and sums that are never fused: all kernels are compiled anew for it."""
    if not binding.get_host_cpu_features().get("avx2"):
        processor, features = NARROW
    found = _replayed(
        jobs,
        NUMBA_CPU_NAME=processor,
        NUMBA_CPU_FEATURES=features,
        NUMBA_CACHE_DIR=str(tmp_path),
        GAVEL_KERNEL_CACHE=str(tmp_path / "kernels"),
    )
    assert found == {REPLAYED: right}


def test_in_two_hundred_forked_processes_of_eight_threads(jobs: Path, right: str) -> None:
    found = _replayed(jobs, "--forks", str(FORKS), "--threads", str(THREADS))
    assert found == {REPLAYED: {right: FORKS}}
