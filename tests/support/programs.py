"""Small programs written by hand, with values: for tests of programs, of the verifier and of the game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from protocol.program.descriptor import CARRIED, NO_GATHER, Leaf, LeafKind, Node, Source
from protocol.program.interpreter import Interpreter
from protocol.program.program import Program, TensorSpec

NONE, SUM, MAX, ARGMAX = range(4)
ADD, SUB, MUL, DIV, NEG, FMAX, EXP, LOG, COPY = 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x19, 0x1A, 0x1F
SELECT, I2F, IADD, IEQ = 0x28, 0x29, 0x30, 0x33


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A program with everything that determines its trajectory.

    Attributes:
        inputs, state: flat uint32 words per input (the link table first) and per slot before step 0.
        seed: of the schedule; n_rows, batch: rows of the dataset and of a step.
        range_log2: of the job (P-12), small so that short folds are bisected.
    """

    program: Program
    inputs: tuple[Words, ...]
    state: tuple[Words, ...]
    seed: bytes
    n_rows: int
    batch: int
    range_log2: int

    def interpreter(self) -> Interpreter:
        """The reference interpreter of the program."""
        return Interpreter(
            self.program,
            inputs=self.inputs,
            seed=self.seed,
            n_rows=self.n_rows,
            batch=self.batch,
            range_log2=self.range_log2,
        )


def floats(values: Sequence[float] | NDArray[np.floating]) -> Words:
    """Flat words of numbers rounded to binary32."""
    return np.asarray(values, dtype=np.float32).ravel().view(np.uint32).copy()


def view(
    source: Source,
    source_id: int,
    shape: Sequence[int],
    *strides: Sequence[int],
    offsets: Sequence[int] | None = None,
    divisors: Sequence[int] | None = None,
    fill: int = 0,
    gather: tuple[int, int] | None = None,
) -> Leaf:
    """An operand: a tensor of `shape`, and for each of its dimensions the strides of all loops.

    Args:
        gather: (dimension, leaf) whose word is added to the coordinate.
    """
    rank = len(shape)
    dimension, leaf = gather or (NO_GATHER, 0)
    return Leaf(
        kind=LeafKind.OPERAND,
        source=source,
        source_id=source_id,
        fill=fill,
        gather_dim=dimension,
        gather_leaf=leaf,
        offsets=tuple(offsets or (0,) * rank),
        sizes=tuple(shape),
        divisors=tuple(divisors or (1,) * rank),
        strides=tuple(tuple(row) for row in strides),
    )


def integer(kind: LeafKind, *strides: int, offset: int = 0) -> Leaf:
    """An INDEX, ROW or STEP leaf: offset plus strides times loop indices."""
    return Leaf(kind=kind, offsets=(offset,), sizes=(0,), divisors=(0,), strides=(strides,))


def node(fold: int, out: Sequence[int], reduce: Sequence[int], code: Sequence[int], *leaves: Leaf) -> Node:
    """A node from its parts."""
    return Node(fold=fold, out=tuple(out), reduce=tuple(reduce), code=bytes(code), leaves=leaves)


def counter(*, slots: int = 1, start: int = 0) -> Example:
    """The counter machine: slot i counts i + 1 per step, as integers; no floats, no dataset, no folds."""
    nodes = tuple(
        node(
            NONE,
            (),
            (),
            (0, 1, IADD),
            view(Source.STATE, slot, ()),
            integer(LeafKind.INDEX, offset=slot + 1),
        )
        for slot in range(slots)
    )
    links = tuple(range(slots))
    return Example(
        program=Program(
            nodes=nodes,
            labels=tuple(f"counter {slot} + {slot + 1}" for slot in range(slots)),
            slots=tuple(TensorSpec(name=f"counter{slot}", shape=(), dtype="i32") for slot in range(slots)),
            inputs=(TensorSpec(name="links", shape=(slots,), dtype="i32"),),
            links=links,
            loss=0,
        ),
        inputs=(np.array(links, dtype=np.uint32),),
        state=tuple(np.array([start], dtype=np.uint32) for _ in range(slots)),
        seed=bytes(range(32)),
        n_rows=1,
        batch=1,
        range_log2=1,
    )


def classifier(*, steps: int = 8, features: int = 5, hidden: int = 70, range_log2: int = 1) -> Example:
    """A two-layer classifier whose second layer is trained by SGD with a tabulated learning rate.

    It has what a dispute can meet: slots that are linked (the weights, a counter) and carried (the first
    layer), a batch gathered by the schedule, labels that gather, sums with one range and with many, max,
    argmax, exp, log, division, a step table, tensors of more than one page.
    """
    n_rows, batch, classes = 7, 2, 3
    rng = np.random.default_rng(20240229)
    b, f, h, c = batch, features, hidden, classes
    state, data, of = Source.STATE, Source.INPUT, Source.NODE
    zero = integer(LeafKind.INDEX, 0, 0)
    labelled = (
        (
            "batch",
            node(
                NONE,
                (b, f),
                (),
                (1, COPY),
                integer(LeafKind.ROW, 1, 0),
                view(data, 1, (n_rows, f), (0, 0), (0, 1), gather=(0, 0)),
            ),
        ),
        (
            "labels",
            node(
                NONE,
                (b,),
                (),
                (1, COPY),
                integer(LeafKind.ROW, 1),
                view(data, 2, (n_rows,), (0,), gather=(0, 0)),
            ),
        ),
        (
            "layer 1",
            node(
                SUM,
                (b, h),
                (f,),
                (0, 1, MUL),
                view(of, 0, (b, f), (1, 0, 0), (0, 0, 1)),
                view(state, 0, (h, f), (0, 1, 0), (0, 0, 1)),
            ),
        ),
        ("relu", node(NONE, (b, h), (), (0, 1, FMAX), view(of, 2, (b, h), (1, 0), (0, 1)), zero)),
        (
            "layer 2",
            node(
                SUM,
                (b, c),
                (h,),
                (0, 1, MUL),
                view(of, 3, (b, h), (1, 0, 0), (0, 0, 1)),
                view(state, 1, (c, h), (0, 1, 0), (0, 0, 1)),
            ),
        ),
        ("row max", node(MAX, (b,), (c,), (0,), view(of, 4, (b, c), (1, 0), (0, 1)))),
        (
            "shifted",
            node(
                NONE,
                (b, c),
                (),
                (0, 1, SUB),
                view(of, 4, (b, c), (1, 0), (0, 1)),
                view(of, 5, (b,), (1, 0)),
            ),
        ),
        ("exp", node(NONE, (b, c), (), (0, EXP), view(of, 6, (b, c), (1, 0), (0, 1)))),
        ("partition", node(SUM, (b,), (c,), (0,), view(of, 7, (b, c), (1, 0), (0, 1)))),
        (
            "softmax",
            node(
                NONE,
                (b, c),
                (),
                (0, 1, DIV),
                view(of, 7, (b, c), (1, 0), (0, 1)),
                view(of, 8, (b,), (1, 0)),
            ),
        ),
        (
            "one-hot",
            node(
                NONE,
                (b, c),
                (),
                (0, 1, IEQ),
                view(of, 1, (b,), (1, 0)),
                integer(LeafKind.INDEX, 0, 1),
            ),
        ),
        ("target", node(NONE, (b, c), (), (0, I2F), view(of, 10, (b, c), (1, 0), (0, 1)))),
        (
            "logit gradient",
            node(
                NONE,
                (b, c),
                (),
                (0, 1, SUB),
                view(of, 9, (b, c), (1, 0), (0, 1)),
                view(of, 11, (b, c), (1, 0), (0, 1)),
            ),
        ),
        (
            "weight gradient",
            node(
                SUM,
                (c, h),
                (b,),
                (0, 1, MUL),
                view(of, 12, (b, c), (0, 0, 1), (1, 0, 0)),
                view(of, 3, (b, h), (0, 0, 1), (0, 1, 0)),
            ),
        ),
        (
            "scaled",
            node(
                NONE,
                (c, h),
                (),
                (0, 2, MUL),
                view(of, 13, (c, h), (1, 0), (0, 1)),
                integer(LeafKind.STEP, 0, 0),
                view(data, 3, (steps,), (0, 0), gather=(0, 1)),
            ),
        ),
        (
            "updated",
            node(
                NONE,
                (c, h),
                (),
                (0, 1, SUB),
                view(state, 1, (c, h), (1, 0), (0, 1)),
                view(of, 14, (c, h), (1, 0), (0, 1)),
            ),
        ),
        ("log softmax", node(NONE, (b, c), (), (0, LOG), view(of, 9, (b, c), (1, 0), (0, 1)))),
        (
            "loss",
            node(
                SUM,
                (),
                (b, c),
                (0, 1, 2, SELECT, NEG),
                view(of, 10, (b, c), (1, 0), (0, 1)),
                view(of, 16, (b, c), (1, 0), (0, 1)),
                integer(LeafKind.INDEX, 0, 0),
            ),
        ),
        ("prediction", node(ARGMAX, (b,), (c,), (0,), view(of, 4, (b, c), (1, 0), (0, 1)))),
        (
            "count",
            node(
                NONE,
                (),
                (),
                (0, 1, IADD),
                view(state, 2, ()),
                integer(LeafKind.INDEX, offset=1),
            ),
        ),
    )
    links = (CARRIED, 15, 19)
    program = Program(
        nodes=tuple(made for _, made in labelled),
        labels=tuple(label for label, _ in labelled),
        slots=(
            TensorSpec(name="layer1", shape=(h, f), dtype="f32"),
            TensorSpec(name="layer2", shape=(c, h), dtype="f32"),
            TensorSpec(name="count", shape=(), dtype="i32"),
        ),
        inputs=(
            TensorSpec(name="links", shape=(3,), dtype="i32"),
            TensorSpec(name="x", shape=(n_rows, f), dtype="f32"),
            TensorSpec(name="y", shape=(n_rows,), dtype="i32"),
            TensorSpec(name="rates", shape=(steps,), dtype="f32"),
        ),
        links=links,
        loss=17,
    )
    return Example(
        program=program,
        inputs=(
            np.array(links, dtype=np.uint32),
            floats(rng.normal(size=(n_rows, f))),
            rng.integers(0, c, n_rows).astype(np.uint32),
            floats(0.1 * 0.9 ** np.arange(steps)),
        ),
        state=(
            floats(rng.normal(size=(h, f))),
            floats(0.2 * rng.normal(size=(c, h))),
            np.zeros(1, np.uint32),
        ),
        seed=bytes(range(32)),
        n_rows=n_rows,
        batch=batch,
        range_log2=range_log2,
    )
