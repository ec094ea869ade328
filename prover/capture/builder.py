"""Collects nodes, inputs and constants while a step is lowered; equal nodes become one (lowering.md, L-4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from protocol.commitments.canonical import Words, canonical_words
from protocol.errors import UnsupportedError
from protocol.numerics.opcodes import Fold, Op
from protocol.program.descriptor import MAX_LOOPS, Leaf, LeafKind, Node, Source
from protocol.program.program import TensorSpec
from prover.capture.views import Shape, View, broadcast_shape

STEP_TABLE = "step table"
_INTEGER_RESULTS = frozenset({Op.EQ, Op.LT, Op.LE, Op.IEQ, Op.ILT})


def f32_word(number: float) -> int:
    """Return the word of a Python number rounded to binary32, canonical (L-2)."""
    return int(f32_words([number])[0])


def f32_words(numbers: Sequence[float]) -> Words:
    """Return the words of Python numbers, each rounded to binary32: uint32[len(numbers)].

    Raises:
        UnsupportedError: one is not a real number that binary64 can hold.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return canonical_words(np.array(numbers, dtype=np.float64).astype(np.float32))
    except (TypeError, OverflowError) as error:
        raise UnsupportedError(
            f"a Python number that enters a tensor operator is no binary64 number: {error}"
        ) from error


def index_leaf(strides: Sequence[int], offset: int = 0, kind: LeafKind = LeafKind.INDEX) -> Leaf:
    """Return an integer leaf: offset + sum of stride * loop index (P-3)."""
    return Leaf(kind=kind, offsets=(offset,), sizes=(0,), divisors=(0,), strides=(tuple(strides),))


class Builder:
    """The program under construction. Node and input ids are provisional until `emit.finish` renumbers them.

    Attributes:
        nodes, labels: one entry per node, in order.
        specs, words: one entry per input; input 0 is kept for the link table (P-9).
        label: what new nodes are called, for people.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.labels: list[str] = []
        self.specs: list[TensorSpec] = [TensorSpec(name="links", shape=(0,), dtype="i32")]
        self.words: list[Words] = [np.zeros(0, np.uint32)]
        self.label = ""
        self._known: dict[Node, int] = {}
        self._constants: dict[int, View] = {}

    def input(self, name: str, words: Words, shape: Sequence[int], dtype: torch.dtype) -> View:
        """Add an input of the job and return the view of it."""
        kind = "f32" if dtype.is_floating_point else "i32"
        self.specs.append(TensorSpec(name=name, shape=tuple(shape), dtype=kind))
        self.words.append(words)
        return View.dense(Source.INPUT, len(self.specs) - 1, shape, dtype)

    def constant(self, number: float, dtype: torch.dtype) -> View:
        """Return the one-word input that holds a Python number (P-8); equal words are one input."""
        word = f32_word(number) if dtype.is_floating_point else int(number) & 0xFFFFFFFF
        if word not in self._constants:
            self._constants[word] = self.input(
                f"constant.{word:08x}", np.array([word], dtype=np.uint32), (), dtype
            )
        return replace(self._constants[word], dtype=dtype)

    def tensor(self, words: Words, shape: Shape, dtype: torch.dtype) -> View:
        """Return the input that holds a constant tensor; equal constants are one input."""
        for number, known in enumerate(self.words):
            if number and self.specs[number].name.startswith("constant.") and np.array_equal(known, words):
                return View.dense(Source.INPUT, number, shape, dtype)
        return self.input(f"constant.{len(self.words)}", words, shape, dtype)

    def never_negative(self, view: View) -> bool:
        """Whether the words of an integer tensor are known not to be negative: constants, and counting up."""
        if view.source is Source.INPUT and self.specs[view.source_id].name.startswith("constant."):
            return not bool((self.words[view.source_id] >> np.uint32(31)).any())
        if view.source is not Source.NODE:
            return False
        node = self.nodes[view.source_id]
        counts = node.fold == Fold.NONE and node.leaves[0].kind is LeafKind.INDEX and node.code[-1] == Op.COPY
        return counts and node.leaves[0].offsets[0] >= 0 and all(s >= 0 for s in node.leaves[0].strides[0])

    def counts_by(self, view: View, size: int) -> bool:
        """Whether an integer tensor is known to be 0, size, 2 * size, ..."""
        if view.source is not Source.NODE:
            return False
        node, leaves = self.nodes[view.source_id], self.nodes[view.source_id].leaves
        counted = node.fold == Fold.NONE and node.code[-1] == Op.COPY and leaves[0].kind is LeafKind.INDEX
        steps = leaves[0].strides[0] if counted else ()
        return counted and view.is_dense and leaves[0].offsets[0] == 0 and all(s == size for s in steps)

    def map(self, op: Op, *args: View, dtype: torch.dtype | None = None) -> View:
        """Add a node of one primitive over operands that broadcast against each other.

        Args:
            dtype: of the result; by default bool for comparisons, else that of the last operand.
        """
        shape = broadcast_shape(*(arg.shape for arg in args))
        if dtype is None:
            dtype = torch.bool if op in _INTEGER_RESULTS else args[-1].dtype
        return self.expression([op], args, shape, dtype=dtype)

    def copy(self, view: View) -> View:
        """Add the node that writes a view out in row-major order."""
        return self.expression([Op.COPY], [view], view.shape, dtype=view.dtype)

    def dense(self, view: View) -> View:
        """Return the view itself if it is a whole tensor in row-major order, else a copy."""
        return view if view.is_dense else self.copy(view)

    def expression(
        self,
        ops: Sequence[Op],
        args: Sequence[View],
        out: Shape,
        *,
        dtype: torch.dtype,
        reduce: Shape = (),
        fold: Fold = Fold.NONE,
    ) -> View:
        """Add a node that pushes its operands in order and then applies `ops`.

        Operands broadcast to out + reduce.
        """
        leaves = [arg.broadcast((*out, *reduce)).leaf() for arg in args]
        code = [*range(len(args)), *ops]
        return self.node(code, leaves, out, dtype=dtype, reduce=reduce, fold=fold)

    def node(
        self,
        code: Sequence[int],
        leaves: Sequence[Leaf],
        out: Shape,
        *,
        dtype: torch.dtype,
        reduce: Shape = (),
        fold: Fold = Fold.NONE,
    ) -> View:
        """Add a node, or find the equal one, and return the view of its output.

        Args:
            code: postfix expression; leaves: one stride per loop of out + reduce in each dimension.
        """
        if 0 in (*out, *reduce):
            raise UnsupportedError(
                f"{self.label}: a tensor of shape {out} reduced over {reduce} is empty; programs have no "
                "empty tensors"
            )
        node = _normal(int(fold), out, reduce, bytes(code), leaves)
        if len(node.out) + len(node.reduce) > MAX_LOOPS:
            raise UnsupportedError(
                f"{self.label}: needs {len(node.out) + len(node.reduce)} loops that do not merge, at most "
                f"{MAX_LOOPS} fit a node; make a tensor contiguous first"
            )
        number = self._known.get(node)
        if number is None:
            number = self._known[node] = len(self.nodes)
            self.nodes.append(node)
            self.labels.append(self.label)
        return View.dense(Source.NODE, number, out, dtype)


def _normal(fold: int, out: Shape, reduce: Shape, code: bytes, leaves: Sequence[Leaf]) -> Node:
    """The node with loops of size 1 dropped and loops that every leaf walks as one merged into one (L-4)."""
    loops = (*out, *reduce)
    rows = [row for leaf in leaves for row in leaf.strides]
    kept: list[tuple[int, bool, list[int]]] = []  # size, is a fold loop, stride per row
    for j, size in enumerate(loops):
        if size == 1:
            continue
        strides = [row[j] for row in rows]
        folds = j >= len(out)
        if kept and kept[-1][1] == folds:
            before, _, outer = kept[-1]
            if all(a == b * size for a, b in zip(outer, strides, strict=True)):
                kept[-1] = (before * size, folds, strides)
                continue
        kept.append((size, folds, strides))
    columns = iter(zip(*(strides for _, _, strides in kept), strict=True))
    merged = [
        replace(leaf, strides=tuple(next(columns, ()) for _ in leaf.strides)) if leaf.strides else leaf
        for leaf in leaves
    ]
    return Node(
        fold=fold,
        out=tuple(size for size, folds, _ in kept if not folds),
        reduce=tuple(size for size, folds, _ in kept if folds),
        code=code,
        leaves=tuple(_simplest(leaf) for leaf in merged),
    )


def _simplest(leaf: Leaf) -> Leaf:
    """A flat address that is always word 0 needs no dimension."""
    plain = leaf.kind is LeafKind.OPERAND and leaf.gather_dim > 3 and leaf.rank == 1 and leaf.sizes[0] > 0
    if plain and leaf.offsets[0] == 0 and not any(leaf.strides[0]):
        return replace(leaf, offsets=(), sizes=(), divisors=(), strides=())
    return leaf
