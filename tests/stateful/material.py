"""What the parties play about: one small program, right and wrong traces of it, and every preimage.

This is the driver's side: it may use the project's own program and trace tools. The ghost may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from random import Random
from typing import Final

import numpy as np

from protocol.commitments.tensor import page_bytes, page_count
from protocol.game.toy import ToyTrace
from protocol.game.trace import Hooks
from protocol.program.descriptor import CARRIED, LeafKind, Source
from protocol.program.program import Program, TensorSpec
from tests.support.programs import (
    ADD,
    COPY,
    IADD,
    MAX,
    MUL,
    NONE,
    SUM,
    Example,
    floats,
    integer,
    node,
    view,
)

STEPS: Final = 10
STRIDE: Final = 3
WIDE: Final = 130
NINE: Final = int(floats([9.0])[0])
ZERO: Final = bytes(32)


def machine() -> Example:
    """Seven nodes and six slots: a long sum, a map of it, a wide integer map, a long maximum, a short sum, a
    row of the dataset chosen by the schedule, a counter of steps; one slot is carried.
    """
    state, data, of = Source.STATE, Source.INPUT, Source.NODE
    nodes = (
        node(SUM, (3,), (5,), (0, 1, MUL), view(data, 1, (5,), (0, 1)), view(state, 0, (3,), (1, 0))),
        node(NONE, (3,), (), (0, 1, ADD), view(state, 0, (3,), (1,)), view(of, 0, (3,), (1,))),
        node(NONE, (WIDE,), (), (0, 1, IADD), view(state, 1, (WIDE,), (1,)), integer(LeafKind.INDEX, 3)),
        node(MAX, (), (3,), (0,), view(of, 1, (3,), (1,))),
        node(SUM, (), (2,), (0, 1, MUL), view(of, 1, (3,), (1,)), view(data, 1, (5,), (2,))),
        node(
            NONE,
            (2,),
            (),
            (1, COPY),
            integer(LeafKind.ROW, 1),
            view(data, 2, (5, 2), (0,), (1,), gather=(0, 0)),
        ),
        node(NONE, (), (), (0, COPY), integer(LeafKind.STEP)),
    )
    links = (1, 2, 3, 4, 5, CARRIED)
    names = ("weights", "wide", "largest", "short", "row", "carried")
    sizes = (3, WIDE, 1, 1, 2, 1)
    table, rows = np.array(links, dtype=np.uint32), np.arange(100, 110, dtype=np.uint32)
    program = Program(
        nodes=nodes,
        labels=("sum", "next weights", "next wide", "largest", "short", "row", "step"),
        slots=tuple(TensorSpec(name=n, shape=(s,), dtype="f32") for n, s in zip(names, sizes, strict=True)),
        inputs=(
            TensorSpec(name="links", shape=(len(links),), dtype="i32"),
            TensorSpec(name="x", shape=(5,), dtype="f32"),
            TensorSpec(name="data", shape=(5, 2), dtype="i32"),
        ),
        links=links,
        loss=3,
    )
    wide = np.arange(1, WIDE + 1, dtype=np.uint32)
    return Example(
        program=program,
        inputs=(table, floats([0.5, -0.25, 0.125, 1.0, 0.75]), rows),
        state=(
            floats([1.0, 2.0, -3.0]),
            wide,
            floats([2.0]),
            floats([0.0]),
            floats([4.0, 5.0]),
            floats([6.0]),
        ),
        seed=bytes(range(32)),
        n_rows=5,
        batch=2,
        range_log2=1,
    )


# ---------------------------------------------------------------- lies


def _one_word(step: int, number: int, word: int) -> Hooks:
    def output(now: int, node_: int, words: np.ndarray) -> np.ndarray:
        if (now, node_) == (step, number):
            words = words.copy()
            words[word] ^= np.uint32(1 << 22)
        return words

    return Hooks(output=output)


def _reshaped(step: int, number: int, change: Callable[[np.ndarray], np.ndarray]) -> Hooks:
    return Hooks(output=lambda now, node_, words: change(words) if (now, node_) == (step, number) else words)


def _slots(step: int, change: Callable[[list[np.ndarray]], list[np.ndarray]]) -> Hooks:
    return Hooks(next_state=lambda now, _, after: change(list(after)) if now == step else after)


def lies() -> list[Hooks]:
    """A lie of each kind of leaf (P-15): words, words of bisected folds, padding, absent pages, slots."""
    return [
        _one_word(2, 2, 65),
        _one_word(1, 0, 1),
        _one_word(2, 3, 0),
        _one_word(5, 4, 0),
        _one_word(4, 0, 2),
        _one_word(6, 0, 1),
        _one_word(8, 3, 0),
        _one_word(9, 0, 0),
        _one_word(3, 5, 1),
        _slots(2, lambda s: [*s[:4], s[4] ^ np.uint32(1), s[5]]),
        _slots(1, lambda s: [*s, np.ones(1, np.uint32)]),
        _reshaped(2, 2, lambda w: w[:64]),
        _reshaped(2, 1, lambda w: np.append(w, np.array([0] * 61 + [7], np.uint32))),
        _slots(4, lambda s: [*s[:5], s[5] ^ np.uint32(1)]),
        _one_word(9, 2, 3),
    ]


# ---------------------------------------------------------------- preimages


class Stock:
    """Everything that can be revealed or opened, by hash."""

    def __init__(self) -> None:
        """Empty, but for the trees of nothing."""
        self.pairs: dict[bytes, tuple[bytes, bytes]] = {}
        self.pages: dict[bytes, bytes] = {}
        self.accumulators: dict[bytes, bytes] = {}
        empty = ZERO
        for _ in range(12):
            empty = self._pair(empty, empty)

    def _pair(self, left: bytes, right: bytes) -> bytes:
        made = sha256(left + right).digest()
        self.pairs[made] = left, right
        return made

    def tree(self, leaves: Iterable[bytes], levels: int) -> bytes:
        """Keep a tree; returns its root."""
        row, empty = list(leaves), ZERO
        for _ in range(levels):
            row += [empty] * (len(row) % 2)
            row = [self._pair(row[i], row[i + 1]) for i in range(0, len(row), 2)]
            empty = self._pair(empty, empty)
        return row[0] if row else empty

    def tensor(self, words: np.ndarray, levels: int) -> bytes:
        """Keep a tensor's pages and tree; returns its root."""
        pages = [page_bytes(words, i) for i in range(page_count(words.size))]
        for page in pages:
            self.pages[sha256(page).digest()] = page
        return self.tree([sha256(page).digest() for page in pages], levels)

    def children(self, node: bytes, levels: int) -> list[bytes] | None:
        """The 2^levels nodes below a hash, None where they are unknown."""
        row = [node]
        for _ in range(levels):
            if any(known not in self.pairs for known in row):
                return None
            row = [child for known in row for child in self.pairs[known]]
        return row

    def path(self, root: bytes, levels: int, index: int) -> list[bytes] | None:
        """The siblings of a leaf, lowest first, None where they are unknown."""
        path: list[bytes] = []
        for level in reversed(range(levels)):
            if root not in self.pairs:
                return None
            side = index >> level & 1
            path.append(self.pairs[root][1 - side])
            root = self.pairs[root][side]
        return path[::-1]

    def leaf(self, root: bytes, levels: int, index: int) -> bytes | None:
        """The leaf at an index, None where it is unknown."""
        for level in reversed(range(levels)):
            if root not in self.pairs:
                return None
            root = self.pairs[root][index >> level & 1]
        return root


@dataclass(frozen=True, slots=True)
class Shapes:
    """Heights of the program's trees; the fan-out changes none of them."""

    tensor: int
    inputs_tensor: int
    nodes: int
    state: int
    inputs: int
    steps: int


class Material:
    """The program, its traces, and the stock of their preimages. Trace 0 is the right one."""

    def __init__(self) -> None:
        """Compute all traces over all steps."""
        self.example = machine()
        program, interpreter = self.example.program, self.example.interpreter()
        self.program = program
        n_nodes, n_slots, n_inputs = len(program.nodes), len(program.slots), len(program.inputs)
        self.shapes = Shapes(
            tensor=interpreter.tensor_height,
            inputs_tensor=interpreter.input_height,
            nodes=n_nodes.bit_length(),
            state=(n_slots - 1).bit_length(),
            inputs=(n_inputs - 1).bit_length(),
            steps=STRIDE.bit_length(),
        )
        example = self.example
        self.numbers = (
            n_nodes,
            n_slots,
            n_inputs,
            example.n_rows,
            example.batch,
            self.shapes.tensor,
            self.shapes.inputs_tensor,
            example.range_log2,
            STEPS,
            STRIDE,
        )
        self.stock = Stock()
        hooks = [Hooks(), *lies()]
        self.traces = [ToyTrace(self.example.interpreter(), self.example.state, hooks=h) for h in hooks]
        self.states = [[self._state(trace, step) for step in range(STEPS + 1)] for trace in self.traces]
        self.nodes = [[self._nodes(trace, step) for step in range(STEPS)] for trace in self.traces]
        self.descriptors = [described.encode() for described in program.nodes]
        self.program_root = self.stock.tree([sha256(d).digest() for d in self.descriptors], self.shapes.nodes)
        inputs = [self.stock.tensor(words, self.shapes.inputs_tensor) for words in self.example.inputs]
        self.inputs_root = self.stock.tree(inputs, self.shapes.inputs)

    def _state(self, trace: ToyTrace, step: int) -> bytes:
        roots = [self.stock.tensor(slot, self.shapes.tensor) for slot in trace.state_words(step)]
        return self.stock.tree(roots, self.shapes.state)

    def _nodes(self, trace: ToyTrace, step: int) -> list[bytes]:
        nodes = range(len(self.program.nodes))
        return [self.stock.tensor(trace.node_words(step, k), self.shapes.tensor) for k in nodes]

    def ends(self, trace: int, segments: range) -> list[bytes]:
        """The states after some segments."""
        return [self.states[trace][min(STEPS, (k + 1) * STRIDE)] for k in segments]

    def right(self, step: int) -> bytes:
        """The right state before a step."""
        return self.states[0][step]

    def right_nodes(self, step: int) -> list[bytes]:
        """The right outputs of a step's nodes."""
        return self.nodes[0][step]

    def fold(self, step: int, node: int, word: int) -> list[bytes]:
        """The right accumulators of a word's fold, 97 bytes each."""
        return [a.to_bytes() for a in self.traces[0].accumulators(step, node, word)]

    def commit_fold(self, accumulators: Sequence[bytes]) -> bytes:
        """Keep a tree of accumulators; returns its root."""
        for total in accumulators:
            self.stock.accumulators[sha256(total).digest()] = total
        leaves = [sha256(total).digest() for total in accumulators]
        return self.stock.tree(leaves, (len(leaves) - 1).bit_length())

    def some_state(self, random: Random, step: int) -> bytes:
        """Any trace's state before a step."""
        return random.choice(self.states)[step]

    def some_node(self, random: Random, step: int, node: int) -> bytes:
        """Any trace's output of a node."""
        return random.choice(self.nodes)[step][node]


@cache
def _material() -> Material:
    return Material()


def material() -> Material:
    """The one material of a test run, with a stock of one's own to add to."""
    mine = copy(_material())
    mine.stock = copy(mine.stock)
    mine.stock.pairs, mine.stock.pages = dict(mine.stock.pairs), dict(mine.stock.pages)
    mine.stock.accumulators = dict(mine.stock.accumulators)
    return mine
