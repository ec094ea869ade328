"""If a machine replays as fast as a job may go (actors.md, A-9), and what confirmations cost (A-10)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from protocol.chain.client import Client
from protocol.errors import UsageError
from protocol.game.trace import HONEST
from protocol.job import Clocks, Job
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.hashing import state_root, tensor_roots
from prover.engine.trace import run_step

MEASURED: Final = 1.0
"""Seconds of steps that are measured, if the job has so many."""

COMFORT: Final = 1.5
"""Times to spare below which an operator is warned."""

INTERVALS: Final = 16
"""Block times that are looked at; the median does not mind a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What this machine takes, in seconds.

    Attributes:
        step: for a step; state: to hash a state; outputs: to hash the outputs of a step's nodes.
    """

    step: float
    state: float
    outputs: float

    def segment(self, steps: int) -> float:
        """To replay a segment of some steps and hash the state after it."""
        return steps * self.step + self.state

    def trace(self, steps: int) -> float:
        """To build what a dispute asks for: every state of a segment, and the outputs of one step."""
        return steps * (self.step + self.state) + self.step + self.outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line for the operator: `level` and `text` as for a log."""

    level: str
    text: str


def measure(executor: Executor, folder: JobFolder) -> Pace:
    """Run some steps from the genesis, after one that compiles what is not compiled yet.

    Raises:
        UsageError: the genesis does not fit the program.
    """
    state, height = list(folder.genesis), folder.job.geometry.tensor_height
    first = run_step(executor, state, 0, keep_outputs=True, hooks=HONEST)
    tensor_roots(first.outputs, height)
    state_root(state, height, len(state))
    began = time.perf_counter()
    tensor_roots(first.outputs, height)
    outputs = time.perf_counter() - began
    began = time.perf_counter()
    state_root(state, height, len(state))
    hashed = time.perf_counter() - began
    began, steps = time.perf_counter(), 0
    while steps == 0 or (steps < folder.job.geometry.steps and time.perf_counter() - began < MEASURED):
        state = run_step(executor, state, steps, keep_outputs=False, hooks=HONEST).next_state
        steps += 1
    return Pace(step=(time.perf_counter() - began) / steps, state=hashed, outputs=outputs)


def judge(pace: Pace, job: Job) -> list[Finding]:
    """Compare a machine's pace with one job's clocks (A-9)."""
    clocks, geometry = job.clocks, job.geometry
    steps = geometry.steps_of(0)
    segment, trace = pace.segment(steps), pace.trace(steps)
    need, given = f"{segment:.3g} s for a segment of {steps} steps", f"the job allows {clocks.replay} s"
    spare = clocks.replay / segment
    found = []
    if spare >= COMFORT:
        found.append(Finding(level="info", text=f"keeps up: {need}, {given}: {spare:,.3g} times to spare"))
    elif spare >= 1:
        text = f"keeps up with little to spare: {need}, {given}; keep other work off this machine"
        found.append(Finding(level="warning", text=text))
    else:
        most = _most_segments(segment, job)
        text = (
            f"CANNOT KEEP UP with a trainer who posts without a pause: {need}, {given}. "
            + (
                f"Updates of up to {most} segments can still be checked in the window, one at a time. "
                if most
                else "Not even an update of one segment can be checked in its window. "
            )
            + "Use a faster machine or more --threads, or have somebody else watch this job too"
        )
        found.append(Finding(level="warning" if most else "error", text=text))
    limit = clocks.allowance + clocks.response
    text = f"a dispute's trace takes {trace:.3g} s, {limit} s are allowed (A + R)"
    if trace * COMFORT > limit:
        text += "; a dispute would be lost or eat up the reserve: use a faster machine"
    found.append(Finding(level="error" if trace * COMFORT > limit else "info", text=text))
    return found


def _most_segments(segment: float, job: Job) -> int:
    """The longest update that is ended by its deadline when begun at once: n * s <= W + n * r."""
    over = segment - job.clocks.replay
    return min(math.floor(job.clocks.window / over), job.geometry.max_segments)


class Machine:
    """What is said of this machine and the jobs that it follows, as soon as it is measured."""

    def __init__(self) -> None:
        self._paces: list[tuple[Pace, Job]] = []

    def found(self, pace: Pace, job: Job) -> list[Finding]:
        """Judge one more job, and all so far together."""
        self._paces.append((pace, job))
        together = judge_together(self._paces)
        return judge(pace, job) + ([together] if together else [])


def judge_together(paces: Sequence[tuple[Pace, Job]]) -> Finding | None:
    """Judge several jobs on one machine: the sum of s / r (A-9); None for one job."""
    if len(paces) < 2:
        return None
    load = sum(pace.segment(job.geometry.steps_of(0)) / job.clocks.replay for pace, job in paces)
    if load * COMFORT <= 1:
        return Finding(level="info", text=f"{len(paces)} jobs together: {1 / load:,.3g} times to spare")
    return Finding(
        level="warning",
        text=f"{len(paces)} jobs together take {load:.3g} times what this machine does if all are trained "
        "without a pause; watch some of them from another machine",
    )


def block_time(client: Client) -> float:
    """Return the median time between the last blocks, in seconds; 0 for a chain that has just begun.

    Raises:
        ChainError: the node failed.
    """
    head = client.block_number()
    times = [client.timestamp(number) for number in range(max(head - INTERVALS, 0), head + 1)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return float(median(gaps)) if gaps else 0.0


def check_confirmations(confirmations: int, seconds: float, clocks: Clocks) -> Finding | None:
    """Say what it costs to wait for confirmations (A-10), if it costs anything.

    Args:
        confirmations: N, blocks; seconds: between two blocks.

    Raises:
        UsageError: no move would ever be in time.
    """
    if confirmations == 0:
        return None
    lag = confirmations * seconds
    limit = min(clocks.response, clocks.opening, clocks.window)
    if lag >= limit:
        raise UsageError(
            f"{confirmations} confirmations take {lag:.0f} s, and the job's shortest clock is {limit} s: "
            f"every move would be late; use --confirmations {max(int(limit / seconds) // 4, 0)} or fewer"
        )
    text = (
        f"waits for {confirmations} confirmations, {lag:.0f} s of the {clocks.response} s for an answer (R)"
    )
    if 4 * lag > limit:
        return Finding(level="warning", text=text + "; that is more than a quarter: use fewer")
    return Finding(level="info", text=text)
