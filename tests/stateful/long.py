"""The long profile: the state machine's calls without Hypothesis, and a report of them.

    python -m tests.stateful.long [--calls 500000] [--seed 1] [--processes 2]
                                  [--out benchmarks/results/stateful_long.json]

`make test-long` runs it. The same driver makes the same kinds of calls; all choices follow from the seed.
Hypothesis would keep what it drew for half a million calls, to make a failure smaller; here a failure names
the seed of its world, with which `--seed N --calls 700` finds it again.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

from tests.stateful import counts
from tests.stateful.driver import Driver
from tests.stateful.machine import state_changing
from tests.stateful.world import Tally, World

CALLS_OF_A_WORLD = 700
OUT = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "stateful_long.json"
PACKAGES = ("vyper", "pyrevm", "hypothesis", "snekmate")


def play_world(seed: int, calls: int) -> tuple[Tally, float]:
    """Play one world; what became of its calls, and CPU seconds."""
    begun, world = time.process_time(), World()
    driver = Driver(world, Random(seed))
    try:
        while driver.calls < calls:
            driver.step()
        world.compare()
    except Exception as error:
        error.add_note(f"in the world of seed {seed}, after {driver.calls} calls")
        raise
    return world.tally, time.process_time() - begun


def play(calls: int, seed: int, processes: int) -> tuple[Tally, float]:
    """Play worlds of the seeds from `seed` on, with as many calls in all; their tally and CPU seconds."""
    total, seconds, begun = Tally(), 0.0, time.monotonic()
    World()  # compiles, before there are several processes
    sizes = [min(CALLS_OF_A_WORLD, calls - done) for done in range(0, calls, CALLS_OF_A_WORLD)]
    with ProcessPoolExecutor(processes) as pool:
        for tally, took in pool.map(play_world, range(seed, seed + len(sizes)), sizes):
            total.add(tally)
            seconds += took
            made = sum(total.made.values())
            print(f"\r{made} of {calls} calls, {time.monotonic() - begun:.0f} s", end="", flush=True)
    print()
    return total, seconds


def report(total: Tally, *, seed: int, seconds: float) -> dict[str, Any]:
    """What a run has shown."""
    made, refused = sum(total.made.values()), sum(total.refused.values())
    return {
        "calls": made,
        "successes": sum(total.succeeded.values()),
        "refusals": refused,
        "refusals of which the specification knew one condition alone": total.single,
        "seed": seed,
        "calls of a world": CALLS_OF_A_WORLD,
        "CPU seconds": round(seconds),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "functions": {
            name: {"calls": total.made[name], "successes": total.succeeded[name]}
            for name in sorted(total.made)
        },
        "called by another contract, seen by its events": {
            name: sum(total.events[event] for event in events) for name, events in counts.WITHIN.items()
        },
        "events": dict(sorted(total.events.items())),
        "reasons": counts.by_reason(total),
        "reasons never met": counts.unreached(total),
    }


def main() -> None:
    """Play, write the report, and fail where a function was never called or mostly refused."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--calls", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    total, seconds = play(chosen.calls, chosen.seed, chosen.processes)
    shown = report(total, seed=chosen.seed, seconds=seconds)
    chosen.out.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
    if weak := counts.weak(total, list(state_changing(World()))):
        sys.exit(f"these functions were never called or mostly refused: {weak}")


if __name__ == "__main__":
    main()
