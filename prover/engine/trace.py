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

STATE_BYTES: Final = 1 << 31
"""What kept states may take, unless `FEWEST_STATES` take more."""

FEWEST_STATES: Final = 4
MOST_STATES: Final = 32

Recall = Callable[[int], Sequence[Words] | None]
"""From the number of a step that starts a segment to the slots of the state before it, where they are stored
and have been checked; None elsewhere.
"""

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

    Everything is computed when it is asked for. Kept are a bounded number of states (the first one, those
    handed over, the last ones between segments, and some inside the segments asked for last), the node
    outputs of the last steps, and all roots.
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
        recall: Recall = lambda _: None,
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
            recall: asked for states that are no longer kept, before they are replayed.

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
        self._recall = recall
        self._handed: dict[int, list[Words]] = {first_step: list(state)}
        self._kept: OrderedDict[int, list[Words]] = OrderedDict()
        self._recent: OrderedDict[int, list[Words]] = OrderedDict()
        size = max(sum(words.nbytes for words in state), 1)
        self._capacity = min(max(STATE_BYTES // size, FEWEST_STATES), MOST_STATES)
        self._spacing = -(-stride // (self._capacity - FEWEST_STATES + 1))
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
        self._handed.setdefault(step, list(state))

    def state_words(self, step: int) -> Sequence[Words]:
        """The slots of the state before ``step``, flat uint32.

        Raises:
            UsageError: the step is before the first known state, or past the job.
        """
        at, state = self._nearest(step)
        while at < step:
            state = self._run(state, at, keep_outputs=False).next_state
            at += 1
            self._keep(at, state, step)
        return state

    def nearest(self, step: int) -> int:
        """Return the last step up to this one, itself included, whose state is known without a replay.

        Raises:
            UsageError: the step is before the first known state, or past the job.
        """
        return self._nearest(step)[0]

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

    def _nearest(self, step: int) -> tuple[int, list[Words]]:
        first = min(self._handed)
        if not first <= step <= self._n_steps:
            raise UsageError(
                f"step {step} is outside of what this trace knows, {first} to {self._n_steps}; start it from "
                "an earlier checkpoint"
            )
        known = max(at for kept in (self._handed, self._kept, self._recent) for at in kept if at <= step)
        for start in range(step // self._stride * self._stride, known, -self._stride):
            stored = self._recall(start)
            if stored is not None:
                self._keep(start, list(stored), start)
                return start, list(stored)
        # Handed over before computed: where a party stands by another state, that one is its own.
        if known in self._handed:
            return known, self._handed[known]
        kept = self._kept if known in self._kept else self._recent
        kept.move_to_end(known)
        return known, kept[known]

    def _keep(self, at: int, state: list[Words], target: int) -> None:
        """Keep a state on the way to a target: between segments, here and there in its segment, itself."""
        inside, start = at % self._stride, max(target - 1, 0) // self._stride * self._stride
        if inside == 0 or (at > start and inside % self._spacing == 0):
            _put(self._kept, at, state, self._capacity)
        elif at == target:
            _put(self._recent, at, state, STEPS_KEPT)

    def _node_outputs(self, step: int) -> list[Words]:
        if not 0 <= step < self._n_steps:
            raise UsageError(f"the job has no step {step}; its steps are 0 to {self._n_steps - 1}")
        if step not in self._outputs:
            outputs = self._run(self.state_words(step), step, keep_outputs=True).outputs
            _put(self._outputs, step, outputs, STEPS_KEPT)
        self._outputs.move_to_end(step)
        return self._outputs[step]

    def _run(self, state: Sequence[Words], step: int, *, keep_outputs: bool) -> StepOutputs:
        return run_step(self._executor, state, step, keep_outputs=keep_outputs, hooks=self._hooks)


def _put(kept: OrderedDict[int, list[Words]], at: int, words: list[Words], capacity: int) -> None:
    kept[at] = words
    kept.move_to_end(at)
    while len(kept) > capacity:
        kept.popitem(last=False)


def trace_of_job(
    executor: Executor, folder: JobFolder, *, hooks: Hooks = HONEST, recall: Recall = lambda _: None
) -> ReplayTrace:
    """Return the trace of a party that starts from the job's genesis.

    Args:
        executor, folder: of the job.
        hooks, recall: as for `ReplayTrace`.
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
        recall=recall,
    )
