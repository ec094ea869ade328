"""One leaf of every kind that ends a dispute, at trees as large ones have, with its honest witness."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from protocol.commitments.canonical import Words
from protocol.numerics.accumulator import EMPTY
from protocol.program import evaluation
from protocol.program.address import n_ranges, range_length
from protocol.program.descriptor import CARRIED, LeafKind, Node, Source
from protocol.program.interpreter import _ArrayReader
from tests.support.programs import (
    ADD,
    ARGMAX,
    COPY,
    DIV,
    EXP,
    LOG,
    MAX,
    MUL,
    NONE,
    SELECT,
    SUM,
    counter,
    floats,
    integer,
    node,
    view,
)
from tests.support.scenes import Challenge, Scene

NODES = 128
"""Nodes of the step; the last one is judged."""

HEIGHT = 14
"""Of the trees of tensors (C-5)."""

WORDS = 1 << 18
"""Of the large operands: node 0 and slot 0."""

SQRT = 0x18
_SHAPE = (128, 64)


def scene_of(made: Node, *, words: int, tensor_height: int) -> Scene:
    """A step of 128 nodes, the last of which is `made`, of 4 words; slot 0 is linked, slot 1 carried."""
    rng = np.random.default_rng(7)

    def tensor(size: int) -> Words:
        return floats(np.abs(rng.normal(size=size)))

    large, small = tensor(words), tensor(64)
    return Scene(
        descriptors=[counter().program.nodes[0].encode()] * (NODES - 1) + [made.encode()],
        nodes=[large, *[small] * (NODES - 2), tensor(4)],
        state=[large, small, small],
        inputs=[np.array([0, CARRIED, CARRIED], np.uint32), small, small],
        after=[large, small, small],
        tensor_height=tensor_height,
        input_height=tensor_height,
        range_log2=6,
        n_rows=50_000,
        batch=128,
    )


def middle_range(made: Node, *, words: int, tensor_height: int) -> Challenge:
    """The second range of word 2 of a fold."""
    scene = scene_of(made, words=words, tensor_height=tensor_height)
    read = _ArrayReader(scene.nodes, scene.tensors(Source.STATE), scene.inputs)
    length, ranges = range_length(made, 6), n_ranges(made, 6)
    totals = [EMPTY]
    for i in range(ranges):
        terms = range(i * length, min((i + 1) * length, made.terms))
        context = scene.base.step_context
        totals.append(
            evaluation.accumulate(
                made, NODES - 1, 2, terms=terms, start=totals[-1], context=context, read=read
            )
        )
    return scene.range(NODES - 1, 2, 2, totals, up=4)


def leaf_kinds() -> Iterator[tuple[str, Challenge]]:
    """Every kind of leaf by name."""
    for name, made in _maps():
        yield f"word, {name}", scene_of(made, words=WORDS, tensor_height=HEIGHT).word(NODES - 1, 2)
    for name, made in folds():
        yield f"range, {name}", middle_range(made, words=WORDS, tensor_height=HEIGHT)
    plain = scene_of(_map(COPY, _one()), words=WORDS, tensor_height=HEIGHT)
    yield "zero, page past the extent", plain.zero_page(NODES - 1, 1)
    yield "zero, word past the extent", plain.word(NODES - 1, 63)
    yield "link, to a node", plain.slot(0)
    yield "link, carried", plain.slot(1)
    yield "zero, slot past the last", plain.slot(3)


def _one() -> tuple[Source, tuple[int, ...]]:
    return Source.NODE, (4,)


def _map(op: int, *operands: tuple[Source, tuple[int, ...]]) -> Node:
    leaves = [view(source, 0, shape, *[(1,)] * len(shape)) for source, shape in operands]
    return node(NONE, (4,), (), (*range(len(leaves)), op), *leaves)


def _maps() -> Iterator[tuple[str, Node]]:
    two = (_one(), (Source.STATE, (4,)))
    unary = {"copy": COPY, "square root": SQRT, "exponential": EXP, "logarithm": LOG}
    for name, op in unary.items():
        yield f"{name} of one operand", _map(op, _one())
    for name, op in {"sum": ADD, "product": MUL, "quotient": DIV}.items():
        yield f"{name} of two operands", _map(op, *two)
    yield "choice of three operands", _map(SELECT, *two, (Source.INPUT, (4,)))
    yield "index", node(NONE, (4,), (), (0, COPY), integer(LeafKind.INDEX, 1))
    yield "number of the step", node(NONE, (4,), (), (0, COPY), integer(LeafKind.STEP, 0))
    yield "row of the schedule", node(NONE, (4,), (), (0, COPY), integer(LeafKind.ROW, 1))
    row = integer(LeafKind.ROW, 1)
    yield (
        "gather of the batch",
        node(NONE, (4,), (), (1, COPY), row, view(Source.NODE, 0, (50_000,), (0,), gather=(0, 0))),
    )


def folds() -> Iterator[tuple[str, Node]]:
    """Folds that are bisected, by name."""
    rows = view(Source.NODE, 0, (4, 1024), (1, 0), (0, 1)), view(Source.STATE, 0, (4, 1024), (1, 0), (0, 1))
    yield "32 products of contiguous operands", node(SUM, (4,), (1024,), (0, 1, MUL), *rows)
    columns = view(Source.NODE, 0, _SHAPE, (0, 1), (1, 0)), view(Source.STATE, 0, _SHAPE, (0, 1), (1, 0))
    yield "32 products of strided operands", node(SUM, (4,), (128,), (0, 1, MUL), *columns)
    for name, fold in {"sum": SUM, "maximum": MAX, "first maximum": ARGMAX}.items():
        yield f"{name} of 64 contiguous terms", node(fold, (4,), (1024,), (0,), rows[0])
        yield f"{name} of 64 strided terms", node(fold, (4,), (128,), (0,), columns[0])
