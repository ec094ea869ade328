"""Replay: the trace of one party, and the loop that trainer and watcher run (protocol.game.trace).

`ReplayTrace` recomputes what a dispute asks for from the nearest state it knows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from protocol.commitments.canonical import Words
from protocol.errors import UsageError
from protocol.game.trace import HONEST, Hooks
from protocol.job_folder import JobFolder
from protocol.numerics.accumulator import Accumulator
from protocol.program.descriptor import CARRIED
from protocol.program.interpreter import Interpreter
from prover.engine.executor import Executor, StepOutputs
from prover.engine.hashing import state_root, tensor_roots

STEPS_KEPT: Final = 2
"""Steps whose node outputs are kept."""

SEGMENTS_KEPT: Final = 2
"""Segments whose inner states are kept."""

Progress = Callable[[int, float], None]
"""Called after each step with its number and its loss."""


def run_step(
    executor: Executor, state: Sequence[Words], step: int, *, keep_outputs: bool, hooks: Hooks
) -> StepOutputs:
    """Run one step as a party with these hooks does.

    Args:
        state: flat uint32 words of every slot before ``step``; not written to.
        keep_outputs: see `Executor.run`.

    Raises:
        UsageError: the state does not fit the program.
    """
    if hooks is HONEST:
        return executor.run(state, step, keep_outputs=keep_outputs)
    result = executor.run(
        executor.fitted(state),
        step,
        keep_outputs=keep_outputs,
        hook=lambda node, words: hooks.output(step, node, words),
    )
    told = [
        state[slot] if link == CARRIED else words  # with its false padding, if it has any
        for slot, (link, words) in enumerate(zip(executor.program.links, result.next_state, strict=True))
    ]
    after = hooks.next_state(step, list(state), told)
    return StepOutputs(outputs=result.outputs, next_state=after, loss=result.loss)


def replay_segment(
    executor: Executor,
    state: Sequence[Words],
    first_step: int,
    n_steps: int,
    *,
    hooks: Hooks = HONEST,
    progress: Progress | None = None,
) -> tuple[list[Words], list[float]]:
    """Run some steps and return the state after them and their losses.

    Args:
        state: flat uint32 words of every slot before ``first_step``; not written to.
        hooks: how the party deviates.
        progress: told each step's number and loss.

    Raises:
        UsageError: the state does not fit the program.
    """
    current, losses = list(state), []
    for step in range(first_step, first_step + n_steps):
        result = run_step(executor, current, step, keep_outputs=False, hooks=hooks)
        current = result.next_state
        losses.append(result.loss)
        if progress is not None:
            progress(step, result.loss)
    return current, losses


class ReplayTrace:
    """One job as one party executes it, from a known state on; implements `protocol.game.trace.Trace`.

    Everything is computed when it is asked for. Kept are the states between segments, the states inside the
    last segments asked for, the node outputs of the last steps, and all roots.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        state: Sequence[Words],
        first_step: int,
        stride: int,
        n_steps: int,
        range_log2: int,
        hooks: Hooks = HONEST,
    ) -> None:
        """Start from a state.

        Args:
            executor: of the job.
            state: flat uint32 words of every slot before ``first_step``.
            first_step: a multiple of ``stride``.
            stride: C, steps of a segment.
            n_steps: T, steps of the job.
            range_log2: of the job (P-12).
            hooks: how this party deviates, for drills and tests.

        Raises:
            UsageError: the first step is not the start of a segment of the job.
        """
        if first_step % stride or not 0 <= first_step <= n_steps:
            raise UsageError(
                f"step {first_step} does not start a segment of {stride} steps in a job of {n_steps}; "
                "start from a checkpoint"
            )
        self._executor = executor
        self._stride, self._n_steps = stride, n_steps
        self._hooks = hooks
        seed, n_rows, batch = executor.schedule
        self._interpreter = Interpreter(
            executor.program,
            inputs=executor.inputs,
            seed=seed,
            n_rows=n_rows,
            batch=batch,
            range_log2=range_log2,
        )
        self._boundaries: dict[int, list[Words]] = {first_step: list(state)}
        self._segments: OrderedDict[int, list[list[Words]]] = OrderedDict()
        self._outputs: OrderedDict[int, list[Words]] = OrderedDict()
        self._state_roots: dict[int, bytes] = {}
        self._node_roots: dict[int, list[bytes]] = {}

    def remember(self, step: int, state: Sequence[Words]) -> None:
        """Take over a state that the party knows, so that the steps before it need no replay.

        Args:
            step: start of a segment.
            state: flat uint32 words of every slot before it.

        Raises:
            UsageError: the step is not the start of a segment.
        """
        if step % self._stride and step != self._n_steps:
            raise UsageError(f"step {step} does not start a segment; give the state of a checkpoint")
        self._boundaries.setdefault(step, list(state))

    def state_words(self, step: int) -> Sequence[Words]:
        """The slots of the state before ``step``, flat uint32.

        Raises:
            UsageError: the step is before the first known state, or past the job.
        """
        start = self._segment_start(step)
        if step in self._boundaries:
            return self._boundaries[step]
        states = self._segment(start)
        while start + len(states) <= step:
            at = start + len(states) - 1
            states.append(self._run(states[-1], at, keep_outputs=False).next_state)
        end = min(start + self._stride, self._n_steps)
        if step == end:
            self._boundaries[end] = states[-1]
        return states[step - start]

    def state_root(self, step: int) -> bytes:
        """Root of the state before ``step`` (C-6), 32 bytes."""
        if step not in self._state_roots:
            words = self.state_words(step)
            self._state_roots[step] = state_root(words, self._executor.tensor_height, len(words))
        return self._state_roots[step]

    def node_words(self, step: int, node: int) -> Words:
        """Output of one node in ``step``, flat uint32."""
        return self._node_outputs(step)[node]

    def node_roots(self, step: int) -> Sequence[bytes]:
        """Leaves of the nodes tree of ``step`` (C-11): a tensor root per node, then the next state root."""
        if step not in self._node_roots:
            roots = tensor_roots(self._node_outputs(step), self._executor.tensor_height)
            self._node_roots[step] = [*roots, self.state_root(step + 1)]
        return self._node_roots[step]

    def accumulators(self, step: int, node: int, word: int) -> Sequence[Accumulator]:
        """The R + 1 prefix accumulators of one word's fold (C-12), by the reference."""
        result = self._interpreter.accumulators(
            step, node, word, state=self.state_words(step), nodes=self._node_outputs(step)
        )
        return self._hooks.accumulators(step, node, word, result)

    def input_words(self, input_id: int) -> Words:
        """One input of the job (C-7), flat uint32."""
        return self._executor.inputs[input_id]

    def _segment_start(self, step: int) -> int:
        """First step of the segment that leads to the state before ``step``."""
        if not min(self._boundaries) <= step <= self._n_steps:
            raise UsageError(
                f"step {step} is outside of what this trace knows, {min(self._boundaries)} to "
                f"{self._n_steps}; start it from an earlier checkpoint"
            )
        return max(step - 1, 0) // self._stride * self._stride

    def _segment(self, start: int) -> list[list[Words]]:
        """The states inside a segment so far; segments before it are replayed as needed."""
        if start not in self._segments:
            known = max(step for step in self._boundaries if step <= start)
            while known < start:
                state = self._boundaries[known]
                for step in range(known, known + self._stride):
                    state = self._run(state, step, keep_outputs=False).next_state
                known += self._stride
                self._boundaries[known] = state
            self._segments[start] = [self._boundaries[start]]
        self._segments.move_to_end(start)
        while len(self._segments) > SEGMENTS_KEPT:
            self._segments.popitem(last=False)
        return self._segments[start]

    def _node_outputs(self, step: int) -> list[Words]:
        if not 0 <= step < self._n_steps:
            raise UsageError(f"the job has no step {step}; its steps are 0 to {self._n_steps - 1}")
        if step not in self._outputs:
            self._outputs[step] = self._run(self.state_words(step), step, keep_outputs=True).outputs
        self._outputs.move_to_end(step)
        while len(self._outputs) > STEPS_KEPT:
            self._outputs.popitem(last=False)
        return self._outputs[step]

    def _run(self, state: Sequence[Words], step: int, *, keep_outputs: bool) -> StepOutputs:
        return run_step(self._executor, state, step, keep_outputs=keep_outputs, hooks=self._hooks)


def trace_of_job(executor: Executor, folder: JobFolder, *, hooks: Hooks = HONEST) -> ReplayTrace:
    """Return the trace of a party that starts from the job's genesis.

    Args:
        executor, folder: of the job.
        hooks: how the party deviates.
    """
    geometry = folder.job.geometry
    return ReplayTrace(
        executor,
        state=folder.genesis,
        first_step=0,
        stride=geometry.stride,
        n_steps=geometry.steps,
        range_log2=geometry.range_log2,
        hooks=hooks,
    )
