"""What certified training costs against plain PyTorch, for four models of the zoo (benchmarks/zoo).

    python -m benchmarks.overhead [--json] [--models NAME ...] [--threads 2] [--rounds 7] [--tries 60]

One run measures, per model, seconds of: a plain fp32 step, the same under
`use_deterministic_algorithms(True)`, the plain step in binary64 (what the products' arithmetic costs torch
itself, with no proof of a rounding), a certified step as a trainer runs it, the commitment to the state at a
checkpoint. The kinds of step take turns, so that a busy machine slows all of them. `ratio` is
certified over plain. A hypervisor that lends a processor to others now and then (`steal` in proc(5)) makes
two threads wait for the slower one at each node. So rounds go on until each kind was timed `--rounds` times
with next to nothing stolen, or `--tries` times; a figure is the median of the `--rounds` timings with the
least stolen, and `stolen` is the most of those, as a share of the processors' time.

Peak memory is that of a process of its own which does only one of the kinds, less what it held before it made
the model; capturing is not counted. Shares are of the certified step: `products` with their certificates,
`later tiers` (what those leave open), `sums`, `element-wise`, `reads` (padding, gathers) with max folds, and
the rest, which is Python.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import numpy as np
import torch

from benchmarks.hashing import cpu_model
from benchmarks.zoo import FULL, Entry, full
from protocol.program.interpreter import tensor_height
from prover.capture import Captured, capture
from prover.engine import folds, products
from prover.engine.chains import ChainStep
from prover.engine.executor import Executor
from prover.engine.hashing import available_cores, state_root
from prover.engine.steps import MapStep, Step

TARGETS: Final = {"lenet5": 4.0, "resnet20": 4.0, "vgg11": 2.5, "gpt": 2.5}
COLUMNS: Final = (
    *("model", "plain", "deterministic", "certified", "binary64", "ratio", "target", "stolen", "commit"),
    *("memory", "shares"),
)
MEMORY_STEPS: Final = 3
SPAN: Final = 0.3
"""Seconds that one timing takes at least: stolen time is counted in hundredths of a second."""
LITTLE: Final = 0.02
"""Share of the processors' time that may be stolen in a timing that counts."""


def batches(entry: Entry, dtype: torch.dtype) -> Iterator[list[torch.Tensor]]:
    """Batches of the dataset, one after the other, for ever; floating point as dtype."""
    columns = [torch.as_tensor(np.asarray(column)) for column in entry.setup.columns.values()]
    columns = [column.to(dtype) if column.is_floating_point() else column for column in columns]
    while True:
        for at in range(0, columns[0].shape[0] - entry.batch + 1, entry.batch):
            yield [column[at : at + entry.batch] for column in columns]


def plain(entry: Entry, dtype: torch.dtype = torch.float32) -> Callable[[], object]:
    """A plain training step: forward, loss, backward, optimizer, schedule."""
    setup: Any = entry.setup
    setup.module.to(dtype)
    optimizer = setup.optimizer
    if not isinstance(optimizer, torch.optim.Optimizer):
        optimizer = optimizer(setup.module.parameters())
    scheduler = setup.scheduler(optimizer) if setup.scheduler is not None else None
    rows = batches(entry, dtype)
    setup.module.train()

    def step() -> None:
        *inputs, target = next(rows)
        optimizer.zero_grad()
        loss = setup.loss(setup.module(*inputs), target)
        loss.backward()
        if setup.after_backward is not None:
            setup.after_backward(setup.module.parameters())
        optimizer.step()
        if scheduler is not None:
            scheduler.step()

    return step


def captured(entry: Entry) -> Captured:
    """The training as a program."""
    setup = entry.setup
    return capture(
        module=setup.module,
        loss=setup.loss,
        optimizer=setup.optimizer,
        columns=setup.columns,
        batch=entry.batch,
        steps=100,
        scheduler=setup.scheduler,
        accumulate=setup.accumulate,
        after_backward=setup.after_backward,
        noise_seed=setup.noise_seed,
    )


class Certified:
    """A certified training that goes on from step to step."""

    def __init__(self, entry: Entry, threads: int) -> None:
        made = captured(entry)
        self.program, self.height = made.program, tensor_height(made.program)
        self.executor = Executor(
            made.program,
            inputs=made.inputs,
            seed=bytes(32),
            n_rows=int(next(iter(entry.setup.columns.values())).shape[0]),
            batch=entry.batch,
            tensor_height=self.height,
            threads=threads,
        )
        self.state = list(made.state)
        self._step = 0

    def step(self) -> None:
        """One step, as a trainer runs it: only the next state is kept."""
        self.state = self.executor.run(self.state, self._step, keep_outputs=False).next_state
        self._step += 1

    def commit(self) -> bytes:
        """The state root that a checkpoint needs."""
        return state_root(self.state, self.height, len(self.state))

    def shares(self) -> dict[str, float]:
        """Parts of one step's time by what it goes to."""
        spent: Counter[str] = Counter()

        def timed(work: Callable[..., Any], name: str, inside: str | None = None) -> Callable[..., Any]:
            def run(*arguments: Any) -> Any:
                began = time.perf_counter()
                result = work(*arguments)
                took = time.perf_counter() - began
                spent[name] += took
                if inside is not None:
                    spent[inside] -= took
                return result

            return run

        steps = self.executor._chained
        resolve = folds.TwoSum.resolve
        folds.TwoSum.resolve = timed(resolve, "later tiers", "products")  # type: ignore[method-assign]
        for step in steps:
            step.run = timed(step.run, _kind(step))  # type: ignore[method-assign]
        began = time.perf_counter()
        self.step()
        whole = time.perf_counter() - began
        folds.TwoSum.resolve = resolve  # type: ignore[method-assign]
        for step in steps:
            del step.run
        spent["python"] = whole - sum(spent.values())
        return {name: round(seconds / whole, 3) for name, seconds in spent.items()}


def _kind(step: Step) -> str:
    if isinstance(step, products.ProductStep):
        return "products"
    if isinstance(step, folds.SumStep):
        return "sums"
    return "element-wise" if isinstance(step, MapStep | ChainStep) else "reads"


def _stolen() -> float:
    """Seconds, over all processors, that a hypervisor has given to others; 0 where that is not told."""
    if sys.platform != "linux":
        return 0.0
    with open("/proc/stat", encoding="ascii") as stat:
        return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


class Timings:
    """Timings of one kind of work, each of as many repetitions as take `SPAN` seconds."""

    def __init__(self, work: Callable[[], object], threads: int) -> None:
        """Run the work a few times, to know how long it takes. Args: threads: that it uses."""
        self._work, self._threads = work, threads
        self._timed: list[tuple[float, float]] = []
        work()
        began = time.perf_counter()
        work()
        self._repetitions = max(1, round(SPAN / (time.perf_counter() - began)))

    def take(self) -> None:
        """Time the work once more."""
        stolen, began = _stolen(), time.perf_counter()
        for _ in range(self._repetitions):
            self._work()
        took = time.perf_counter() - began
        self._timed.append(((_stolen() - stolen) / (took * self._threads), took / self._repetitions))

    @property
    def steps(self) -> int:
        """How often the work was done in all timings."""
        return len(self._timed) * self._repetitions

    def enough(self, rounds: int) -> bool:
        """Whether there are as many timings with next to nothing stolen."""
        return sum(stolen <= LITTLE for stolen, _ in self._timed) >= rounds

    def median(self, rounds: int) -> tuple[float, float]:
        """Return the median of those with the least stolen, in seconds, and the most stolen among them."""
        least = sorted(self._timed)[:rounds]
        return statistics.median(took for _, took in least), least[-1][0]


def measure(name: str, threads: int, rounds: int, tries: int) -> dict[str, Any]:
    """Return the figures of one model; seconds, and bytes a second."""
    torch.set_num_threads(threads)
    native, strict = plain(full(name)), plain(full(name))
    certified = Certified(full(name), threads)

    def deterministic() -> None:
        torch.use_deterministic_algorithms(True)
        try:
            strict()
        finally:
            torch.use_deterministic_algorithms(False)

    works = {"plain": native, "deterministic": deterministic, "certified": certified.step}
    works["binary64"] = plain(full(name), torch.float64)
    timed = {what: Timings(work, threads) for what, work in works.items()}
    summary = certified.executor.summary
    before = summary()
    _take(timed.values(), rounds, tries)
    flags = {tier: (n - before[tier]) / timed["certified"].steps for tier, n in summary().items()}
    commits = Timings(certified.commit, available_cores())
    _take([commits], rounds, tries)
    commit, _ = commits.median(rounds)
    medians = {what: timings.median(rounds) for what, timings in timed.items()}
    size = sum(words.nbytes for words in certified.state)
    memory = {what: _peak(name, what, threads) for what in ("plain", "certified")}
    return {
        "nodes": len(certified.program.nodes),
        "seconds": {what: seconds for what, (seconds, _) in medians.items()},
        "stolen": max(stolen for _, stolen in medians.values()),
        "ratio": medians["certified"][0] / medians["plain"][0],
        "target": TARGETS[name],
        "commit_seconds": commit,
        "commit_bytes_per_second": size / commit,
        "state_bytes": size,
        "memory": memory,
        "memory_ratio": memory["certified"] / memory["plain"],
        "open_elements_a_step": flags,
        "elements": sum(node.extent for node in certified.program.nodes),
        "shares": certified.shares(),
    }


def _take(timed: Collection[Timings], rounds: int, tries: int) -> None:
    for _ in range(tries):
        if all(timings.enough(rounds) for timings in timed):
            return
        for timings in timed:
            timings.take()


def _peak(name: str, what: str, threads: int) -> int:
    """Bytes that a process of its own needs for some steps, beyond what it held before it made the model."""
    command = [sys.executable, "-m", "benchmarks.overhead", "--peak", name, what, "--threads", str(threads)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _print_peak(name: str, what: str, threads: int) -> None:
    torch.set_num_threads(threads)
    before = _resident()
    step = plain(full(name)) if what == "plain" else Certified(full(name), threads).step
    gc.collect()
    _reset_peak()
    for _ in range(MEMORY_STEPS):
        step()
    print(max(_highest() - before, 1))


def _status(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def _resident() -> int:
    return _status("VmRSS:") if sys.platform == "linux" else 0


def _reset_peak() -> None:
    """Forget what was held before, and give back what the allocator keeps of it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w", encoding="ascii") as clear:
            clear.write("5")


def _highest() -> int:
    return (
        _status("VmHWM:") if sys.platform == "linux" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )


def main() -> None:
    """Print the report, as a table or as one JSON object."""
    parser = argparse.ArgumentParser(description="certified training against plain PyTorch")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--models", nargs="+", choices=sorted(FULL), default=list(FULL))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--peak", nargs=2, metavar=("NAME", "WHAT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        _print_peak(*arguments.peak, arguments.threads)
        return
    models = {}
    for name in arguments.models:
        print(f"measures {name}", file=sys.stderr)
        models[name] = measure(name, arguments.threads, arguments.rounds, arguments.tries)
    machine = {"cpu": cpu_model(), "threads": arguments.threads, "python": platform.python_version()}
    machine |= {"torch": torch.__version__, "rounds": arguments.rounds}
    if arguments.json:
        print(json.dumps({"machine": machine, "models": models}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for name, row in models.items():
        times = " | ".join(f"{row['seconds'][what] * 1e3:.1f} ms" for what in row["seconds"])
        shares = ", ".join(f"{what} {share:.0%}" for what, share in row["shares"].items())
        print(
            f"| {name} | {times} | {row['ratio']:.2f} | {row['target']} | {row['stolen']:.1%} "
            f"| {row['commit_seconds'] * 1e3:.2f} ms, {row['commit_bytes_per_second'] / 1e9:.2f} GB/s "
            f"| {row['memory_ratio']:.2f} times | {shares} |"
        )


if __name__ == "__main__":
    main()
