"""Sums of products as tiles of matrix products: who is left and right, what is copied, who does what.

A nest of products is a batch of matrices: output loops that both operands walk are the batch, the others are
rows (left operand) or columns (right one), the fold loops are the terms. Matrix products, convolutions and
their gradients differ only in their addresses, which `tiles.multiply` takes as tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from prover.engine import tiles
from prover.engine.codegen_sums import SumKernels
from prover.engine.folds import FoldOperand, Nest, TwoSum
from prover.engine.layout import row_major, split
from prover.engine.steps import Environment, Runtime, Step
from prover.engine.tile_code import COLUMNS, GROUPS, LANES, ROWS, TILE

PRODUCT_TERMS = 1 << 11
"""Multiplications from which a product pays for its tables and copies."""

LEFT_MOST = 1 << 24
"""Binary64 numbers of a left operand; larger nodes are done in pieces."""

_SMALLEST_SIDE = 2
_UNIT = 2.0**-53
_SUMS_MOST = 1 << 16
"""Binary64 totals that are in flight together: they stay in the second cache."""

_TILES_MOST = 16

# Processor cycles, measured: of copying a number that lies beside its neighbours, or apart from them; of
# widening one where it lies; of a row's square; of writing a word beside its neighbours, or apart from them.
_SIDE, _APART, _WIDEN, _SQUARE, _DENSE, _SCATTERED = 0.4, 1.4, 1.0, 0.25, 0.3, 2.0
_LYING = 1.15
"""What multiplying takes if the left operand is read where it lies, against a copy."""

Offsets = NDArray[np.int64]


class ProductStep(Step):
    """A sum of products of two operands; `eligible` says when."""

    def __init__(self, *, target: int, nest: Nest, code: SumKernels, runtime: Runtime) -> None:
        self.target = self.node = target
        self.reads = tuple(o.source for o in nest.operands)
        self._size, self._runtime = nest.size, runtime
        whole = _Plan.best(nest)
        pieces = -(-whole.left_numbers // LEFT_MOST) if whole.packed else 1
        self._parts = [
            (a, b, _Product(_Plan.best(piece), runtime), TwoSum(piece, code, target, runtime))
            for a, b, piece in nest.parts(pieces)
        ]

    @staticmethod
    def eligible(nest: Nest) -> bool:
        """Whether the nest has rows, columns and terms enough for tiles."""
        if len(nest.operands) != 2:
            return False
        batch, left, right = (int(np.prod(g, dtype=np.int64)) for g in output_groups(nest, 0)[0])
        return (
            min(left, right) >= _SMALLEST_SIDE
            and nest.terms >= 2
            and batch * left * right * nest.terms >= PRODUCT_TERMS
        )

    def run(self, environment: Environment) -> None:
        out = np.empty(self._size, np.uint32)
        arrays = [environment[place] for place in self.reads]
        for start, stop, multiplication, two_sum in self._parts:
            piece = out[start:stop]
            flagged = multiplication.run(piece, arrays)
            if flagged.size:
                two_sum.resolve(piece, arrays, flagged)
        environment[self.target] = out


def output_groups(nest: Nest, left: int) -> tuple[list[list[int]], list[list[int]]]:
    """Sizes and numbers of the output loops: batch, rows, columns, if operand `left` is the left one."""
    members: list[list[int]] = [[], [], []]
    for j in range(len(nest.out)):
        on_left, on_right = (nest.operands[q].outer[j] != 0 for q in (left, 1 - left))
        members[0 if on_left and on_right else 2 if on_right else 1].append(j)
    return [[nest.out[j] for j in group] for group in members], members


def offsets_of(sizes: Sequence[int], strides: Sequence[int], start: int = 0) -> Offsets:
    """Address of every point of a loop nest, row-major."""
    total = np.full(1, start, np.int64)
    for size, stride in zip(sizes, strides, strict=True):
        total = (total[:, None] + np.arange(size, dtype=np.int64) * stride).reshape(-1)
    return total


def _side_by_side(table: Offsets, by: int) -> bool:
    """Whether the entries come in aligned groups of neighbours."""
    if table.size % by:
        return False
    grouped = table.reshape(-1, by)
    return bool((grouped - grouped[:, :1] == np.arange(by)).all())


def _padded(table: Offsets, to: int) -> Offsets:
    """The table with its last entry repeated up to a multiple of `to`."""
    return np.concatenate([table, np.full(-table.size % to, table[-1], np.int64)])


def _grouped(columns: Offsets) -> tuple[Offsets, bool]:
    """Numbers of the columns in groups of LANES, and whether each group's lie side by side.

    Where columns come in runs of neighbours, all as long, groups stay within a run: its last group begins so
    that it ends with the run, and repeats columns.
    """
    breaks = np.flatnonzero(np.diff(columns) != 1) + 1
    run = int(breaks[0]) if breaks.size else columns.size
    if run < LANES or columns.size % run or not np.array_equal(breaks, np.arange(run, columns.size, run)):
        return _padded(np.arange(columns.size, dtype=np.int64), LANES), False
    starts = np.minimum(np.arange(0, run, LANES), run - LANES)
    runs = np.arange(0, columns.size, run)
    return (runs[:, None, None] + starts[:, None] + np.arange(LANES)).reshape(-1), True


class _Plan:
    """Tables of one nest; see `tiles.multiply`.

    Attributes:
        packed: whether the left operand is copied; else it is widened and read where it lies.
        cost: processor cycles, roughly.
    """

    def __init__(self, nest: Nest, left: int, *, packed: bool) -> None:
        self.left, self.right, self.packed = left, 1 - left, packed
        sizes, members = output_groups(nest, left)
        a, b = nest.operands[self.left], nest.operands[self.right]
        dense = row_major(nest.out)
        self.left_bases = self._table(sizes[0], members[0], a.outer, a.offset)
        self.right_bases = self._table(sizes[0], members[0], b.outer, b.offset)
        self.out_bases, self.out_rows, out_columns = (
            self._table(sizes[i], members[i], dense) for i in range(3)
        )
        self.rows = _padded(self._table(sizes[1], members[1], a.outer), ROWS)
        self.rows_side = _side_by_side(self.rows, LANES)
        columns = self._table(sizes[2], members[2], b.outer)
        picked, self.side = _grouped(columns)
        groups = picked.size // LANES
        self.repeats = picked.size > columns.size
        more = np.tile(picked[-LANES:], -groups % GROUPS)
        picked = np.concatenate([picked, more])
        self.columns, self.out_columns = columns[picked], out_columns[picked]
        places = self.out_columns.reshape(-1, LANES)
        whole = (places - places[:, :1] == np.arange(LANES)).all(axis=1)
        self.dense = whole.reshape(-1, GROUPS).all(axis=1)
        self.fresh = np.arange(whole.size) < groups
        self.left_terms = offsets_of(nest.reduce, a.inner)
        self.right_terms = offsets_of(nest.reduce, b.inner)
        self.panels, self.tiles = self.rows.size // ROWS, self.columns.size // COLUMNS
        self.left_numbers = self.left_bases.size * self.rows.size * self.left_terms.size
        self.extent = _extent(nest, a) + 1
        self.by = LANES if _side_by_side(self.left_terms, LANES) else 1
        self.cost = self._cost()

    @classmethod
    def best(cls, nest: Nest) -> _Plan:
        """The plan that should take least."""
        plans = (cls(nest, left, packed=packed) for left, packed in product((0, 1), (True, False)))
        return min(plans, key=lambda plan: plan.cost)

    @staticmethod
    def _table(sizes: Sequence[int], loops: Sequence[int], strides: Sequence[int], start: int = 0) -> Offsets:
        return offsets_of(sizes, [strides[j] for j in loops], start)

    def _cost(self) -> float:
        matrices, terms = self.left_bases.size, self.left_terms.size
        multiplied = matrices * self.panels * self.tiles * terms * TILE / (2 * LANES)
        if self.packed:
            prepared = self.left_numbers * (_SIDE if self.rows_side else _APART)
        else:
            multiplied *= _LYING
            prepared = self.extent * _WIDEN
            prepared += self.left_numbers * (_SQUARE if self.by > 1 else _APART)
        copied = matrices * self.columns.size * terms * (_SIDE if self.side else _APART)
        per_word = np.where(self.dense, _DENSE, _SCATTERED).sum() * COLUMNS
        return float(multiplied + prepared + copied + matrices * self.out_rows.size * per_word)


def _extent(nest: Nest, operand: FoldOperand) -> int:
    """The last address that an operand reads."""
    strides = zip((*operand.outer, *operand.inner), (*nest.out, *nest.reduce), strict=True)
    return operand.offset + sum(max(stride, 0) * (size - 1) for stride, size in strides)


class _Product:
    """Runs one plan."""

    def __init__(self, plan: _Plan, runtime: Runtime) -> None:
        self._plan, self._runtime = plan, runtime
        terms = plan.left_terms.size
        # tiles.multiply says what this covers.
        chain = min(terms, tiles.TERMS) + -(-terms // tiles.TERMS)
        self._factor = (chain + 2) * _UNIT * (1.0 + (4 * terms + 16) * _UNIT)
        self._most = min(max(_SUMS_MOST // (plan.panels * TILE), 1), _TILES_MOST, plan.tiles)
        self._parts = self._split()

    def _split(self) -> list[NDArray[np.int64]]:
        """Per thread a range of matrices, of panels and of tiles: all of them in two of the three."""
        counts = (self._plan.left_bases.size, self._plan.panels, self._plan.tiles)
        work = self._plan.left_numbers * self._plan.columns.size
        threads = self._runtime.parts(work)
        along = max((0, 2, 1), key=lambda axis: counts[axis] / -(-counts[axis] // threads))
        parts = []
        for start, stop in split((counts[along],), threads):
            part = np.array([0, counts[0], 0, counts[1], 0, counts[2]], np.int64)
            part[2 * along : 2 * along + 2] = start, stop
            parts.append(part)
        return parts

    def run(self, out: Words, arrays: Sequence[Words]) -> Offsets:
        """Write the outputs; return the places of those that are not certified."""
        plan = self._plan
        left, right = (arrays[q].view(np.float32) for q in (plan.left, plan.right))
        norms = np.empty(plan.left_bases.size * plan.rows.size, np.float64)
        wide = self._pack(left, norms) if plan.packed else self._widen(left, norms)
        found: list[Offsets] = []

        def work(share: int) -> None:
            part = self._parts[share]
            flagged = np.empty(int(np.prod(part[1::2] - part[::2])) * TILE, np.int64)
            space = self._runtime.scratch(tiles.space_of(int(part[3] - part[2]), self._most), share)
            count = tiles.multiply(
                out, plan.out_bases, plan.out_rows, plan.out_columns, plan.dense, plan.fresh,
                wide, plan.packed, norms, left, plan.left_bases, plan.rows, plan.left_terms,
                right, plan.right_bases, plan.columns, plan.right_terms, plan.side,
                self._factor, self._most, part, space, flagged,
            )  # fmt: skip
            if count:
                found.append(np.unique(flagged[:count]) if plan.repeats else flagged[:count].copy())

        self._runtime.each(work, len(self._parts))
        if len(found) > 1 and plan.repeats:
            return np.unique(np.concatenate(found))
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _pack(self, left: Any, norms: Any) -> Any:
        """The left operand's panels, for every matrix of the batch; norms of its rows."""
        plan = self._plan
        out = self._runtime.scratch(plan.left_numbers)
        parts = self._share(plan.left_bases.size * plan.panels, plan.left_numbers)

        def work(part: int) -> None:
            tiles.pack_rows(
                out, norms, left, plan.left_bases, plan.rows, plan.left_terms, plan.rows_side, *parts[part]
            )

        self._runtime.each(work, len(parts))
        return out

    def _widen(self, left: Any, norms: Any) -> Any:
        """The left operand as it lies; norms of its rows."""
        plan = self._plan
        out = self._runtime.scratch(plan.extent)
        copies = self._share(plan.extent, plan.extent)
        self._runtime.each(lambda part: tiles.widen(out, left, *copies[part]), len(copies))
        terms = plan.left_terms[:: plan.by].copy()
        parts = self._share(plan.left_bases.size * plan.panels, plan.left_numbers)

        def work(part: int) -> None:
            tiles.row_norms(norms, out, plan.left_bases, plan.rows, terms, plan.by, *parts[part])

        self._runtime.each(work, len(parts))
        return out

    def _share(self, count: int, work: int) -> list[tuple[int, int]]:
        return split((count,), self._runtime.parts(work))
