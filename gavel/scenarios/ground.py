"""Where a lie is told: a step of a job, the right values there, and what in its program a lie can change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from gavel.jobs import OPTIMIZER_PREFIX, make_executor
from gavel.scenarios.decision import Decision
from protocol.commitments.canonical import Words
from protocol.errors import UsageError
from protocol.game.trace import Hooks
from protocol.job_folder import JobFolder
from protocol.numerics.opcodes import Fold, Op
from protocol.program.address import n_ranges
from protocol.program.descriptor import CARRIED
from prover.engine.executor import Executor
from prover.engine.trace import ReplayTrace, trace_of_job

Item = TypeVar("Item")

_PRODUCT: Final = bytes([Op.LEAF0, Op.LEAF1, Op.MUL])
_FIRST_CHOICE: Final = 321
_SEED_STRIDE: Final = 7919


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """What a trainer does otherwise, and where that must be decided; None: nowhere, since it is no fault."""

    hooks: Hooks
    decision: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a lie is to be told.

    Attributes:
        folder, executor: of the job.
        honest: the right trace of it.
        step: from the start of the job.
        seed: chooses among the words, bits and slots that would do.
    """

    folder: JobFolder
    executor: Executor
    honest: ReplayTrace
    step: int
    seed: int

    @classmethod
    def of(cls, folder: JobFolder, *, step: int, seed: int) -> Ground:
        """Make the executor and the honest trace; nothing is replayed before it is asked for.

        Raises:
            UsageError: the job has no such step.
        """
        steps = folder.job.geometry.steps
        if not 0 <= step < steps:
            raise UsageError(f"the job has no step {step}; name one from 0 to {steps - 1}")
        executor = make_executor(folder)
        return cls(
            folder=folder, executor=executor, honest=trace_of_job(executor, folder), step=step, seed=seed
        )

    @property
    def segment(self) -> int:
        """The segment of the step, from 0."""
        return self.step // self.folder.job.geometry.stride

    @property
    def end(self) -> int:
        """The first step after the segment."""
        geometry = self.folder.job.geometry
        return self.segment * geometry.stride + geometry.steps_of(self.segment)

    def words_of(self, node: int) -> Words:
        """What a node rightly writes in the step."""
        return self.honest.node_words(self.step, node)

    def order(self, count: int) -> Iterator[int]:
        """All of 0 .. count - 1, from one on that the seed chooses."""
        first = (_FIRST_CHOICE + _SEED_STRIDE * self.seed) % max(count, 1)
        return ((first + i) % count for i in range(count))

    def first_that_shows(self, lies: Iterable[Lie]) -> Lie:
        """Return the first lie that the state after the segment differs by.

        Raises:
            UsageError: none does.
        """
        return self._first(lies, shows=True)

    def first_that_vanishes(self, lies: Iterable[Lie]) -> Lie:
        """Return the first lie that leaves the state after the step as it is; errors as above."""
        return self._first(lies, shows=False)

    def _first(self, lies: Iterable[Lie], *, shows: bool) -> Lie:
        geometry = self.folder.job.geometry
        first, at = self.segment * geometry.stride, self.end if shows else self.step + 1
        before = self.honest.state_words(first)
        for lie in lies:
            told = trace_of_job(self.executor, self.folder, hooks=lie.hooks)
            told.remember(first, before)
            if (told.state_root(at) != self.honest.state_root(at)) == shows:
                return lie
        raise UsageError(
            f"in step {self.step} of this job there is no place for this cheat; name another step, another "
            "seed or another cheat"
        )

    # ---------------------------------------------------------------- places in a program

    def products(self, *, forward: bool) -> list[int]:
        """Matrix products whose sums are long enough to be bisected, before the loss or after it."""
        program, geometry = self.folder.program, self.folder.job.geometry
        found = [
            number
            for number, node in enumerate(program.nodes)
            if node.fold == Fold.SUM
            and bytes(node.code) == _PRODUCT
            and n_ranges(node, geometry.range_log2) > 1
            and (number < program.loss) == forward
        ]
        return self.some(found, "matrix product with a sum long enough to be bisected")

    def labelled(self, *parts: str, op: Op | None = None) -> list[int]:
        """Nodes whose operator has one of these names, and whose code ends in `op` if that is given."""
        program = self.folder.program
        found = [
            number
            for number, (node, label) in enumerate(zip(program.nodes, program.labels, strict=True))
            if any(part in label for part in parts) and op in (None, node.code[-1])
        ]
        return self.some(found, f"node of {' or '.join(parts)}")

    def linked(self) -> list[tuple[int, int, str]]:
        """Slots that a node writes: slot, node, name."""
        program = self.folder.program
        return [
            (slot, link, spec.name)
            for slot, (link, spec) in enumerate(zip(program.links, program.slots, strict=True))
            if link != CARRIED
        ]

    def slots_named(self, *parts: str) -> list[tuple[int, int]]:
        """Slots of the optimizer with one of these in their names, and the nodes that write them."""
        found = [
            (slot, node)
            for slot, node, name in self.linked()
            if name.startswith(OPTIMIZER_PREFIX) and any(part in name for part in parts)
        ]
        return self.some(found, f"slot of {' or '.join(parts)}")

    @staticmethod
    def some(found: list[Item], what: str) -> list[Item]:
        """Return what was found. Raises UsageError if that is nothing."""
        if not found:
            raise UsageError(f"this job has no {what}; name another cheat")
        return found
