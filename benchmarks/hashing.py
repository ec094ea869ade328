"""Speed of committing a state: the kernels of prover.engine.hashing against hashlib (C-15).

    python -m benchmarks.hashing [--json]

Speeds are gigabytes (1e9 bytes) of state per second, the median of several runs. A state is a list of
tensors as a transformer has them: most words in a few large ones, and a hundred small ones.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import page_count, state_tree
from protocol.commitments.tensor import tensor_root as reference_root
from protocol.commitments.tree import height
from prover.engine.hashing import available_cores, state_root, tensor_root

MEGABYTE = 10**6
SIZES_MB = (64, 512)
SMALL_TENSORS = 100
SMALL_WORDS = 768
LARGE_TENSORS = 6


def cpu_model() -> str:
    """Return the name of the processor as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def make_state(megabytes: int) -> list[Words]:
    """Return a state of about so many megabytes, with random words."""
    rng = np.random.default_rng(megabytes)
    large = (megabytes * MEGABYTE // 4 - SMALL_TENSORS * SMALL_WORDS) // LARGE_TENSORS
    extents = [large] * LARGE_TENSORS + [SMALL_WORDS] * SMALL_TENSORS
    return [rng.integers(0, 1 << 32, extent, dtype=np.uint32) for extent in extents]


def median_seconds(work: Callable[[], object], runs: int) -> float:
    """Return the median wall time of `runs` calls, after one that is not counted."""
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure(megabytes: int, runs: int) -> dict[str, float]:
    """Return GB/s of one state with one thread, with all cores, and by hashlib."""
    state = make_state(megabytes)
    tree_height = height(max(page_count(words.size) for words in state))
    size = sum(words.nbytes for words in state) / 1e9

    def reference() -> bytes:
        return state_tree([reference_root(words, tree_height) for words in state]).root

    def kernel(threads: int | None) -> bytes:
        return state_root(state, tree_height, len(state), threads=threads)

    assert kernel(None) == kernel(1)
    result = {
        "megabytes": megabytes,
        "kernel_all_cores": size / median_seconds(lambda: kernel(None), runs),
        "kernel_one_thread": size / median_seconds(lambda: kernel(1), runs),
    }
    if megabytes == min(SIZES_MB):
        assert reference() == kernel(None)
        result["hashlib"] = size / median_seconds(reference, 1)
    return result


def main() -> None:
    """Print the report, as a table or as one JSON object."""
    parser = argparse.ArgumentParser(description="GB/s of committing a state")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=7, help="runs of which the median is taken (default 7)")
    arguments = parser.parse_args()

    small = np.arange(SMALL_WORDS, dtype=np.uint32)
    small_seconds = median_seconds(lambda: [tensor_root(small, 17) for _ in range(1000)], 5) / 1000
    states = [measure(megabytes, arguments.runs) for megabytes in SIZES_MB]
    if arguments.json:
        report = {
            "cpu": cpu_model(),
            "cores": available_cores(),
            "small_tensor_microseconds": small_seconds * 1e6,
            "states": states,
        }
        print(json.dumps(report, indent=2))
        return
    print(f"{cpu_model()}, {available_cores()} cores; SHA-256 state roots, GB/s, median of {arguments.runs}")
    for state in states:
        speeds = "  ".join(f"{name} {value:.3f}" for name, value in state.items() if name != "megabytes")
        print(f"{state['megabytes']:>5} MB  {speeds}")
    print(f"one tensor of {SMALL_WORDS} words, H = 17: {small_seconds * 1e6:.1f} us a call")


if __name__ == "__main__":
    main()
