"""The fast engine: executes a program step, bit for bit as the reference (numerics.md, program.md)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from protocol.errors import UnsupportedError, UsageError
from protocol.program.address import WORD_MASK
from protocol.program.descriptor import LeafKind
from protocol.program.evaluation import StepContext
from protocol.program.interpreter import input_height
from protocol.program.program import Program
from prover.engine import scalars
from prover.engine.chains import chained
from prover.engine.lowering import Lowering, Table
from prover.engine.rows import Schedule
from prover.engine.steps import REFERENCE, TIER2, TIER3, ReferenceStep, Runtime, Step

OutputHook = Callable[[int, Words], Words]
"""Called with a node's number and words after it ran; what it returns stands for them from then on.

An array of another length is among the outputs as it is; other nodes read it as long as the program says.
"""

_SMALLEST = np.array([2.0**-149, 1.0], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutputs:
    """What one step gives.

    Attributes:
        outputs: flat uint32 words of every node; empty arrays for nodes that were not kept.
        next_state: flat uint32 words of every slot after the step (P-9).
        loss: first word of the program's loss node, as a number.
    """

    outputs: list[Words]
    next_state: list[Words]
    loss: float


class Executor:
    """A program, prepared for many steps. Runs of one executor take turns; results do not depend on threads.

    Attributes:
        program, inputs, tensor_height: as given; inputs ready for the kernels.
        schedule: seed, number of rows, batch (P-7).
        flags: int64[nodes, 3], elements since the start that the product certificate (column 0) and
            TwoSum (1) left to the next tier, and that exp and log (2) left to the reference.
    """

    def __init__(
        self,
        program: Program,
        *,
        inputs: Sequence[Words],
        seed: bytes,
        n_rows: int,
        batch: int,
        tensor_height: int,
        threads: int = 1,
        device: str | None = None,
    ) -> None:
        """Lower every node; kernels are compiled, or read from the cache, when they first run.

        Args:
            program: passes `protocol.program.lint.check_program`.
            inputs: flat uint32 words of every input, the link table first (P-9).
            seed, n_rows, batch: of the schedule (P-7).
            tensor_height: H of the job (C-5).
            threads: for large nodes.
            device: multiply by torch there, "cuda" or "cpu"; None: tiles of our own on the processor.

        Raises:
            UsageError: the inputs do not fit the program, or there are no threads, or no such device.
            UnsupportedError: the processor flushes subnormals to zero, or the device cannot be relied on.
        """
        if [words.size for words in inputs] != [spec.extent for spec in program.inputs] or threads < 1:
            raise UsageError(
                f"{len(inputs)} inputs of {[words.size for words in inputs]} words, {threads} threads: give "
                "every input of the program, the link table first, and at least one thread"
            )
        check_subnormals()
        pool = ThreadPoolExecutor(threads - 1, initializer=check_subnormals) if threads > 1 else None
        self.program = program
        self.tensor_height = tensor_height
        self.inputs = [_ready(words) for words in inputs]
        self.schedule = (seed, n_rows, batch)
        self._rows = Schedule(seed, n_rows, batch)
        self._runtime = Runtime(
            threads=threads,
            pool=pool,
            flags=np.zeros((len(program.nodes), 3), np.int64),
            device=device,
        )
        lowering = self._lowering(program, tensor_height)
        self._steps = lowering.steps
        self._references = [step for step in lowering.steps if isinstance(step, ReferenceStep)]
        empty = np.empty(0, np.uint32)
        self._static = [empty] * lowering.places
        first = len(program.nodes) + len(program.slots)
        self._static[first : first + len(self.inputs)] = self.inputs
        for table in lowering.tables:
            if table.kind == LeafKind.INDEX:
                self._static[table.place] = _count_from(table.start, table.size)
        self._tables = [table for table in lowering.tables if table.kind != LeafKind.INDEX]
        n_nodes = len(program.nodes)
        self._kept = {program.loss, *program.links, *(table.place for table in self._tables)}
        self._kept |= set(range(n_nodes, n_nodes + len(program.slots) + len(self.inputs)))
        self._chained = chained(self._steps, self._kept, self._runtime)
        self._releases = {id(steps): self._last_uses(steps) for steps in (self._steps, self._chained)}
        self._lock = Lock()

    def _lowering(self, program: Program, tensor_height: int) -> Lowering:
        return Lowering(program, tensor_height, self._runtime)

    def fitted(self, state: Sequence[Words]) -> list[Words]:
        """Return what a step reads of a state with false padding: every slot as long as the program says."""
        return [resized(words, spec.extent) for words, spec in zip(state, self.program.slots, strict=False)]

    @property
    def flags(self) -> NDArray[np.int64]:
        """int64[nodes, 3], see the class."""
        return self._runtime.flags

    def summary(self) -> dict[str, int]:
        """Elements over all nodes that were left to TwoSum, to the superaccumulator, to the reference."""
        totals = self.flags.sum(axis=0)
        return {
            "two_sum": int(totals[TIER2]),
            "superaccumulator": int(totals[TIER3]),
            "reference": int(totals[REFERENCE]),
        }

    def context(self, step: int) -> StepContext:
        """What an element of this step depends on besides its operands."""
        seed, n_rows, batch = self.schedule
        return StepContext(
            step=step,
            seed=seed,
            n_rows=n_rows,
            batch=batch,
            n_slots=len(self.program.slots),
            n_inputs=len(self.program.inputs),
            tensor_height=self.tensor_height,
            input_height=input_height(self.program),
        )

    def run(
        self,
        state: Sequence[Words],
        step: int,
        *,
        keep_outputs: bool = True,
        hook: OutputHook | None = None,
    ) -> StepOutputs:
        """Execute one step.

        Args:
            state: flat uint32 words of every slot before the step; not written to.
            step: counted from the start of the job.
            keep_outputs: False frees each node's words after their last use.
            hook: see `OutputHook`.

        Raises:
            UsageError: the state does not fit the program.
            UnsupportedError: this thread flushes subnormals to zero.
        """
        program = self.program
        n_nodes = len(program.nodes)
        if [words.size for words in state] != [spec.extent for spec in program.slots]:
            raise UsageError(
                f"a state of {[words.size for words in state]} words does not fit the program's slots of "
                f"{[spec.extent for spec in program.slots]}; give every slot in order"
            )
        check_subnormals()
        with self._lock:
            environment = list(self._static)
            misshapen: dict[int, Words] = {}
            environment[n_nodes : n_nodes + len(state)] = [_ready(words) for words in state]
            for table in self._tables:
                environment[table.place] = self._table(table, step)
            for reference in self._references:
                reference.context = self.context(step)
            steps = self._steps if keep_outputs or hook is not None else self._chained
            for running, releases in zip(steps, self._releases[id(steps)], strict=True):
                running.run(environment)
                if hook is not None and running.target == running.node:
                    words = environment[running.node]
                    told = _ready(hook(running.node, words))
                    environment[running.node] = resized(told, words.size)
                    if told.size != words.size:
                        misshapen[running.node] = told
                for done in releases:
                    if not keep_outputs or done >= n_nodes:
                        environment[done] = self._static[done]
        links = [link if link < n_nodes else n_nodes + slot for slot, link in enumerate(program.links)]
        return StepOutputs(
            outputs=[misshapen.get(node, words) for node, words in enumerate(environment[:n_nodes])],
            next_state=[misshapen.get(place, environment[place]) for place in links],
            loss=_number(environment[program.loss]),
        )

    def _table(self, table: Table, step: int) -> Words:
        if table.kind == LeafKind.STEP:
            return _count_from(table.start + step, table.size)
        return self._rows.rows(step, table.start, table.size)

    def _last_uses(self, steps: Sequence[Step]) -> list[list[int]]:
        """Per step the places that no later step reads, but for the loss and the next state."""
        last = {}
        for place, step in enumerate(steps):
            for used in (*step.reads, *step.targets):
                last[used] = place
        releases: list[list[int]] = [[] for _ in steps]
        for used, place in last.items():
            if used not in self._kept and not self._static[used].size:
                releases[place].append(used)
        return releases


def check_subnormals() -> None:
    """Check that the calling thread keeps subnormals (design: flush-to-zero is per thread).

    Raises:
        UnsupportedError: it does not.
    """
    if not scalars.subnormals_kept(_SMALLEST):
        raise UnsupportedError(
            "this thread flushes subnormal numbers to zero, so its results would not be the job's (N-1); "
            "unset flush-to-zero (torch.set_flush_denormal(False), or the library that set it) and run again"
        )


def resized(words: Words, size: int) -> Words:
    """The first ``size`` words, with zeros where there are not so many; the same array if it fits."""
    return words if words.size == size else np.pad(words[:size], (0, max(size - words.size, 0)))


def _number(words: Words) -> float:
    """The first word as a number, whatever its bits; 0 if there is none."""
    return float(words[:1].view(np.float32).tolist()[0]) if words.size else 0.0


def _ready(words: Words) -> Words:
    """The words as the kernels take them: flat, contiguous, aligned, writeable, native uint32."""
    if words.dtype != np.uint32 or words.ndim != 1:
        raise UsageError(
            f"words of type {words.dtype}{words.shape}: flat uint32 is needed; view and ravel them"
        )
    return np.require(words, requirements=["C", "A", "W"])


def _count_from(start: int, size: int) -> Words:
    return ((np.arange(size, dtype=np.uint64) + np.uint64(start & WORD_MASK)) & np.uint64(WORD_MASK)).astype(
        np.uint32
    )


if (
    sys.byteorder != "little"
):  # words are viewed as the halves of 64-bit integers nowhere, but nobody has tested it
    raise UnsupportedError(
        "the fast engine runs on little-endian processors only; use the reference interpreter"
    )
