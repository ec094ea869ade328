"""A captured training as a job to dispute about: a real program and trace, trees as on a public chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gavel.scenarios.lies import PartialSum
from protocol.commitments.canonical import Words
from protocol.commitments.tensor import tensor_root
from protocol.commitments.tree import Tree, height
from protocol.game.openings import Openings
from protocol.game.trace import HONEST, Hooks, Trace
from protocol.job import Geometry, load_preset
from protocol.numerics.accumulator import Accumulator
from protocol.numerics.opcodes import Fold
from protocol.program.address import n_ranges
from protocol.program.descriptor import Node
from prover.capture import Captured, capture
from prover.engine.executor import Executor
from prover.engine.trace import ReplayTrace
from tests.support.game import Table, geometry_of, seated, slots
from tests.support.lockstep import Lockstep
from tests.support.programs import Example

FEATURES, HIDDEN, CLASSES = 64, 96, 10
RANGE_LOG2 = 6
"""Ranges of up to 64 terms: short folds are proven whole and long ones are bisected, maxima never."""

ROWS, BATCH, STEPS, STRIDE = 50, 40, 4, 2
LIE_AT = 1
"""The last step of the first segment, so that what goes wrong there is in the posted state."""


class Classifier(nn.Module):
    """Two layers, the demo's but for the widths; the first one's bias may be frozen, and is carried then."""

    def __init__(self, *, frozen: bool) -> None:
        super().__init__()
        self.hidden = nn.Linear(FEATURES, HIDDEN)
        self.output = nn.Linear(HIDDEN, CLASSES)
        self.hidden.bias.requires_grad_(not frozen)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.output(torch.relu(self.hidden(pixels)))
        return logits


Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Training:
    """A training that a job was made of.

    Attributes:
        truth: trees over the right trajectory.
    """

    example: Example
    executor: Executor
    truth: Openings

    @property
    def geometry(self) -> Geometry:
        """Sizes and tree shapes of the job."""
        return self.truth.geometry

    def node(self, number: int) -> Node:
        """One node of the step."""
        return self.example.program.nodes[number]

    def ranges(self, number: int) -> int:
        """R of a node; 1 for a fold that is recomputed whole."""
        return n_ranges(self.node(number), self.geometry.range_log2)

    def trace(self, hooks: Hooks = HONEST) -> ReplayTrace:
        """The trajectory of a party."""
        return ReplayTrace(
            self.executor,
            state=self.example.state,
            first_step=0,
            stride=STRIDE,
            n_steps=STEPS,
            range_log2=self.geometry.range_log2,
            hooks=hooks,
        )

    def openings(self, trace: Trace) -> Openings:
        """Trees over a trace."""
        return Openings(geometry=self.geometry, program=self.example.program, trace=trace)

    def table(self, *honest: bytes, every: int = 3) -> Table:
        """An open and funded job, with the contracts following."""
        return seated(self.example, self.truth, Lockstep(every=every), honest)


def training(optimizer: Optimizer, *, frozen: bool) -> Training:
    """Capture a training and replay nothing of it yet."""
    torch.manual_seed(5)
    rng = np.random.default_rng(5)
    captured = capture(
        module=Classifier(frozen=frozen),
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        columns={
            "pixels": (rng.integers(0, 17, (ROWS, FEATURES)) / 16).astype(np.float32),
            "digit": rng.integers(0, CLASSES, ROWS),
        },
        batch=BATCH,
        steps=STEPS,
    )
    return training_of(captured, rows=ROWS)


def training_of(captured: Captured, *, rows: int) -> Training:
    """A captured training over that many rows, as a job of two segments of two steps."""
    preset = load_preset("full")
    example = Example(
        program=captured.program,
        inputs=tuple(captured.inputs),
        state=tuple(captured.state),
        seed=bytes(range(32)),
        n_rows=rows,
        batch=captured.manifest["batch"],
        range_log2=RANGE_LOG2,
    )
    interpreter = example.interpreter()
    geometry = geometry_of(example, preset, steps=STEPS, stride=STRIDE)
    executor = Executor(
        example.program,
        inputs=example.inputs,
        seed=example.seed,
        n_rows=rows,
        batch=example.batch,
        tensor_height=interpreter.tensor_height,
    )
    honest = ReplayTrace(
        executor,
        state=example.state,
        first_step=0,
        stride=STRIDE,
        n_steps=STEPS,
        range_log2=RANGE_LOG2,
    )
    truth = Openings(geometry=geometry, program=example.program, trace=honest)
    return Training(example=example, executor=executor, truth=truth)


# -------------------------------------------------------------------- lies


def wrong_word(node: int, word: int, *, range_number: int = 1) -> Hooks:
    """One wrong word of one node, with partial sums that lead to it from a range on; the first slot shows
    that something is wrong.
    """
    lie = PartialSum(step=LIE_AT, node=node, word=word, range=range_number)
    return replace(lie.hooks, next_state=wrong_slot(0).next_state)


def wrong_slot(slot: int, *, word: int = 0) -> Hooks:
    """A slot of the next state that is not what the link table names."""
    return slots(LIE_AT, lambda after: [flipped(w, word) if i == slot else w for i, w in enumerate(after)])


def flipped(words: Words, word: int = 0) -> Words:
    """The words with one bit changed, another one than `wrong_word` changes."""
    wrong = words.copy()
    wrong[word] ^= 2
    return wrong


class Misshapen:
    """A trace, but for the words of one node or the slots after the step; they may be too many or too few."""

    def __init__(
        self,
        trace: ReplayTrace,
        geometry: Geometry,
        *,
        node: int | None = None,
        change: Callable[[Words], Words] | None = None,
        more_slots: Sequence[Words] = (),
        wrong_slot: int | None = 0,
    ) -> None:
        self._trace, self._geometry, self._wrong = trace, geometry, wrong_slot
        self._node, self._change, self._more = node, change, list(more_slots)

    def state_words(self, step: int) -> Sequence[Words]:
        """The slots, after the step one of them wrong and more of them if there are to be more."""
        slots = list(self._trace.state_words(step))
        if step <= LIE_AT:
            return slots
        if self._wrong is not None:
            slots[self._wrong] = flipped(slots[self._wrong])
        return [*slots, *self._more]

    def state_root(self, step: int) -> bytes:
        """Root of them."""
        roots = [tensor_root(words, self._geometry.tensor_height) for words in self.state_words(step)]
        return Tree(roots, height(self._geometry.n_slots)).root

    def node_words(self, step: int, node: int) -> Words:
        """The words of a node, changed where they are to be."""
        words = self._trace.node_words(step, node)
        return words if self._change is None or (step, node) != (LIE_AT, self._node) else self._change(words)

    def node_roots(self, step: int) -> Sequence[bytes]:
        """Leaves of the nodes tree."""
        roots = [*list(self._trace.node_roots(step))[:-1], self.state_root(step + 1)]
        if step == LIE_AT and self._node is not None:
            changed = self.node_words(step, self._node)
            roots[self._node] = tensor_root(changed, self._geometry.tensor_height)
        return roots

    def accumulators(self, step: int, node: int, word: int) -> Sequence[Accumulator]:
        """As the trace has them."""
        return self._trace.accumulators(step, node, word)

    def input_words(self, input_id: int) -> Words:
        """As the trace has them."""
        return self._trace.input_words(input_id)


def kinds(training_: Training) -> dict[str, int]:
    """One node of each kind: fold, code and what it reads, and whether its fold is bisected."""
    found: dict[str, int] = {}
    for number, node in enumerate(training_.example.program.nodes):
        leaves = ",".join(
            f"{leaf.kind.name}{f'-{leaf.source.name}' if leaf.kind == 0 else ''}"
            f"{'-gathered' if leaf.gather_dim != 0xFF else ''}"
            for leaf in node.leaves
        )
        long = "-long" if training_.ranges(number) > 1 else ""
        found.setdefault(f"{Fold(node.fold).name}{long}-{bytes(node.code).hex()}({leaves})", number)
    return found
