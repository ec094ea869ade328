"""Golden state roots of every model of the zoo, and other machines to find them again on (numerics.md, N-1).

    python -m benchmarks.golden                      compute all, write benchmarks/results/golden.json
    python -m benchmarks.golden --check [--device D] compute all, compare; the exit status says it
    python -m benchmarks.golden --save DIR           write the models as job folders, by name
    python -m benchmarks.golden --replay DIR [--threads N] [--forks M]
                                                     replay saved jobs, print their roots as JSON

`--models NAME ...` takes some of them. Initial weights come from integers, not from PyTorch's generators,
whose vectorised versions differ between processors: so the jobs too are the same everywhere. A *program*
root that is not the recorded one says that capture has changed, and the record is stale; a *final* root that
is not, under the same program, says that a bit is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.hashing import state_root
from prover.engine.prepare import executor_of_job

if TYPE_CHECKING:
    from benchmarks.zoo import Entry
    from gavel.setup import TrainingSetup

PATH: Final = Path(__file__).parent / "results" / "golden.json"
TINY_STEPS: Final = 20
FULL_STEPS: Final = {"lenet5": 6, "resnet20": 2, "vgg11": 2, "gpt": 2}
SEED: Final = bytes(range(32))
FULL: Final = "full-"
"""What the names of the sizes begin with that speed is measured at."""

Roots = dict[str, dict[str, str | int]]


def names() -> list[str]:
    """Every model of the record."""
    from benchmarks import zoo

    return [*zoo.TINY, *(FULL + name for name in zoo.FULL)]


def steps_of(name: str) -> int:
    """After how many steps the root of a model is recorded."""
    return FULL_STEPS[name.removeprefix(FULL)] if name.startswith(FULL) else TINY_STEPS


def settle(setup: TrainingSetup) -> None:
    """Give a module weights that are the same on every processor.

    Numbers other than 0 and 1 are drawn anew, from -b to b with b about 1 / sqrt(numbers per output), in
    multiples of b / 2^12: exact in binary32, whatever computes them.
    """
    import torch

    noise = np.random.default_rng(11)
    with torch.no_grad():
        for parameter in setup.module.parameters():
            old = parameter.numpy()
            fan = max(old.size // max(old.shape[0], 1), 1) if old.ndim else 1
            bound = 2.0 ** -np.ceil(np.log2(fan) / 2)
            drawn = noise.integers(-4096, 4097, old.shape) * (bound / 4096)
            old[...] = np.where((old == 0) | (old == 1), old, drawn)


def golden_job(name: str) -> JobFolder:
    """Capture a model of the zoo as a job of one segment; it is compared with eager PyTorch on the way."""
    from benchmarks import zoo
    from gavel.jobs import capture_job
    from protocol.job import load_preset

    tiny = not name.startswith(FULL)
    entry: Entry = zoo.tiny(name) if tiny else zoo.full(name.removeprefix(FULL))
    settle(entry.setup)
    return capture_job(
        entry.setup,
        chain_id=31337,
        board=bytes([1]) * 20,
        requester=bytes([2]) * 20,
        preset=load_preset("full"),
        steps=steps_of(name),
        stride=steps_of(name),
        batch=entry.batch,
        seed=SEED,
        salt=bytes(32),
        expiry=1 << 33,
    )


def final_root(folder: JobFolder, executor: Executor, steps: int | None = None) -> str:
    """Train a job from its start, all of its steps or some; return the root of the state, hexadecimal."""
    geometry = folder.job.geometry
    state = list(folder.genesis)
    for step in range(geometry.steps if steps is None else steps):
        state = executor.run(state, step, keep_outputs=False).next_state
    return state_root(state, geometry.tensor_height, geometry.n_slots).hex()


def roots_of(folder: JobFolder, *, threads: int = 1, device: str | None = None) -> dict[str, str | int]:
    """What is recorded of a job."""
    job = folder.job
    return {
        "steps": job.geometry.steps,
        "program": job.program_root.hex(),
        "inputs": job.inputs_root.hex(),
        "genesis": job.genesis.hex(),
        "final": final_root(folder, executor_of_job(folder, threads=threads, device=device)),
    }


def recorded() -> Roots:
    """The golden roots by model."""
    models: Roots = json.loads(PATH.read_text())["models"]
    return models


def differences(found: Mapping[str, Mapping[str, str | int]]) -> list[str]:
    """Return a line for each model whose roots are not the recorded ones."""
    golden, lines = recorded(), []
    for name, roots in found.items():
        known = golden.get(name, {})
        other = [key for key in roots if roots[key] != known.get(key)]
        if other == ["final"]:
            lines.append(f"{name}: WRONG BITS: the job is the recorded one, its state ends otherwise")
        elif other:
            lines.append(
                f"{name}: another {', '.join(other)}: capture or zoo has changed, the record is stale"
            )
    return lines


def forked(folder: JobFolder, *, forks: int, threads: int, steps: int, together: int = 4) -> list[str]:
    """Return the roots that processes find which are forked from this one after it has used its kernels.

    Each has threads of its own, and begins with a concurrent first call of every kernel.

    Args:
        forks: how many processes; together: how many at a time.
        steps: of the job that each does.
    """
    final_root(folder, executor_of_job(folder), steps)
    found: list[str] = []
    for first in range(0, forks, together):
        pipes = [_forked(folder, threads, steps) for _ in range(first, min(first + together, forks))]
        for child, reading in pipes:
            with os.fdopen(reading) as pipe:
                found.append(pipe.read())
            _, status = os.waitpid(child, 0)
            if status:
                raise ChildProcessError(f"a forked process ended with status {status}; it says why above")
    return found


def _forked(folder: JobFolder, threads: int, steps: int) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.write(writing, final_root(folder, executor_of_job(folder, threads=threads), steps).encode())
        status = 0
    finally:
        os._exit(status)


def versions() -> dict[str, str]:
    """Of what the programs depend on."""
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}


def _folders(base: Path, chosen: Iterable[str] | None) -> Iterator[tuple[str, JobFolder]]:
    for path in sorted(base.iterdir()):
        if chosen is None or path.name in chosen:
            yield path.name, JobFolder.load(path)


def _jobs(chosen: Iterable[str]) -> Iterator[tuple[str, JobFolder]]:
    for name in chosen:
        print(f"golden: {name}", file=sys.stderr)
        yield name, golden_job(name)


def main() -> int:
    """Write, check, save or replay."""
    parser = argparse.ArgumentParser(description="golden state roots of the zoo")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write the models as job folders")
    parser.add_argument("--replay", type=Path, metavar="DIR", help="replay job folders, print their roots")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="some of them; all unless given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default=None, help="of torch, for products: cpu, cuda")
    parser.add_argument("--forks", type=int, default=0, help="replay in so many forked processes")
    parser.add_argument("--steps", type=int, default=None, help="replay so many steps; all unless given")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        print(json.dumps(_replayed(arguments)))
        return 0
    chosen = arguments.models or names()
    if arguments.save is not None:
        for name, folder in _jobs(chosen):
            folder.save(arguments.save / name)
        return 0
    found: Roots = {
        name: roots_of(folder, threads=arguments.threads, device=arguments.device)
        for name, folder in _jobs(chosen)
    }
    if arguments.check:
        lines = differences(found)
        print("\n".join(lines or [f"{len(found)} models, bit for bit"]))
        return int(bool(lines))
    models = {**(recorded() if arguments.models and PATH.exists() else {}), **found}
    PATH.write_text(json.dumps({"versions": versions(), "models": models}, indent=2) + "\n")
    return 0


def _replayed(arguments: argparse.Namespace) -> dict[str, Any]:
    """By model the root, or with forks the number of processes by root."""
    found: dict[str, Any] = {}
    for name, folder in _folders(arguments.replay, arguments.models):
        if not arguments.forks:
            found[name] = final_root(
                folder, executor_of_job(folder, threads=arguments.threads), arguments.steps
            )
            continue
        steps = folder.job.geometry.steps if arguments.steps is None else arguments.steps
        roots = forked(folder, forks=arguments.forks, threads=arguments.threads, steps=steps)
        found[name] = {root: roots.count(root) for root in roots}
    return found


if __name__ == "__main__":
    sys.exit(main())
