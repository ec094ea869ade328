"""Sums of products as tiles of matrix products: who is left and right, what is copied, who does what.

A nest of products is a batch of matrices: output loops that both operands walk are the batch, the others are
rows (left operand) or columns (right one), the fold loops are the terms. Matrix products, convolutions and
their gradients differ only in their addresses, which `tiles.multiply` takes as tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from prover.engine import tiles
from prover.engine.codegen_sums import SumKernels
from prover.engine.folds import FoldOperand, Nest, TwoSum
from prover.engine.layout import row_major
from prover.engine.steps import PARALLEL_POINTS, Environment, Runtime, Step

PRODUCT_TERMS = 1 << 11
"""Multiplications from which a product pays for its tables and copies."""

LEFT_MOST = 1 << 24
"""Binary64 numbers of a left operand; larger nodes are done in pieces."""

_SMALLEST_SIDE = 2
_UNIT = 2.0**-53
_GATHER_COST = 2
"""Of copying a number to where it is wanted, against widening it where it lies."""

_SCATTER_COST = 4
"""Of writing words one by one, in the same measure."""

_COPY_FROM = 64
"""Rows from which columns are copied even if they lie side by side: far terms would evict each other from the
cache."""

_SUMS_MOST = 1 << 17
"""Binary64 totals that are in flight together: they stay in the second cache."""

_TILES_MOST = 64

Offsets = NDArray[np.int64]


class ProductStep(Step):
    """A sum of products of two operands; `eligible` says when."""

    def __init__(self, *, target: int, nest: Nest, code: SumKernels, runtime: Runtime) -> None:
        self.target = self.node = target
        self.reads = tuple(o.source for o in nest.operands)
        self._size, self._runtime = nest.size, runtime
        whole = _Plan(nest)
        pieces = -(-whole.left_numbers // LEFT_MOST) if not whole.widened else 1
        self._parts = [
            (a, b, _Product(_Plan(piece), runtime), TwoSum(piece, code, target, runtime))
            for a, b, piece in nest.parts(pieces)
        ]

    @staticmethod
    def eligible(nest: Nest) -> bool:
        """Whether the nest has rows, columns and terms enough for tiles."""
        if len(nest.operands) != 2:
            return False
        batch, left, right = (int(np.prod(g, dtype=np.int64)) for g in _groups(nest, 0)[0])
        return (
            min(left, right) >= _SMALLEST_SIDE
            and nest.terms >= 2
            and batch * left * right * nest.terms >= PRODUCT_TERMS
        )

    def run(self, environment: Environment) -> None:
        out = np.empty(self._size, np.uint32)
        arrays = [environment[place] for place in self.reads]
        for start, stop, product, two_sum in self._parts:
            piece = out[start:stop]
            flagged = product.run(piece, arrays)
            if flagged.size:
                two_sum.resolve(piece, arrays, flagged)
        environment[self.target] = out


def _groups(nest: Nest, left: int) -> tuple[list[list[int]], list[list[int]]]:
    """Sizes and numbers of the output loops: batch, rows, columns, if operand `left` is the left one."""
    members: list[list[int]] = [[], [], []]
    for j in range(len(nest.out)):
        on_left, on_right = (nest.operands[q].outer[j] != 0 for q in (left, 1 - left))
        members[0 if on_left and on_right else 2 if on_right else 1].append(j)
    return [[nest.out[j] for j in group] for group in members], members


def _offsets(sizes: Sequence[int], strides: Sequence[int], start: int = 0) -> Offsets:
    """Address of every point of a loop nest, row-major."""
    total = np.full(1, start, np.int64)
    for size, stride in zip(sizes, strides, strict=True):
        total = (total[:, None] + np.arange(size, dtype=np.int64) * stride).reshape(-1)
    return total


def _padded(table: Offsets, to: int) -> Offsets:
    """The table with its last entry repeated up to a multiple of `to`."""
    return np.concatenate([table, np.full(-table.size % to, table[-1], np.int64)])


def _side_by_side(table: Offsets, by: int) -> bool:
    """Whether the entries come in aligned groups of neighbours."""
    if table.size % by:
        return False
    grouped = table.reshape(-1, by)
    return bool((grouped - grouped[:, :1] == np.arange(by)).all())


class _Plan:
    """Tables of one nest, for the choice of left and right that copies least."""

    def __init__(self, nest: Nest) -> None:
        self.left, self.right = min(((0, 1), (1, 0)), key=lambda order: self._cost(nest, *order))
        sizes, members = _groups(nest, self.left)
        a, b = nest.operands[self.left], nest.operands[self.right]
        self.batch_left = self._table(sizes[0], members[0], a.outer, a.offset)
        self.batch_right = self._table(sizes[0], members[0], b.outer, b.offset)
        self.rows = _padded(self._table(sizes[1], members[1], a.outer), tiles.ROWS)
        columns = self._table(sizes[2], members[2], b.outer)
        self.columns = _padded(columns, tiles.COLUMNS)
        self.left_terms = _offsets(nest.reduce, a.inner)
        self.right_terms = _offsets(nest.reduce, b.inner)
        dense = row_major(nest.out)
        self.out_base, self.out_rows, self.out_columns = (
            self._table(sizes[i], members[i], dense) for i in range(3)
        )
        self.dense = _side_by_side(self._whole_groups(self.out_columns), tiles.LANES)
        self.side = _side_by_side(columns, tiles.LANES)
        self.packed_right = not self.side or self.rows.size >= _COPY_FROM
        # Whole groups only, the last one repeated: one that began at the last column would end outside.
        groups = columns[:: tiles.LANES]
        more = self.columns.size // tiles.LANES + tiles.SQUARED - groups.size
        self.groups = np.concatenate([groups, np.repeat(groups[-1:], more)])
        self.widened = self._widens(nest, a, self.rows.size)
        self.left_numbers = self.batch_left.size * self.rows.size * self.left_terms.size
        self.extent = _extent(nest, a) + 1

    @staticmethod
    def _table(sizes: Sequence[int], loops: Sequence[int], strides: Sequence[int], start: int = 0) -> Offsets:
        return _offsets(sizes, [strides[j] for j in loops], start)

    @staticmethod
    def _whole_groups(table: Offsets) -> Offsets:
        return table[: table.size - table.size % tiles.LANES]

    @staticmethod
    def _widens(nest: Nest, operand: FoldOperand, rows: int) -> bool:
        """Whether the left operand is read where it lies: its windows overlap."""
        return rows * nest.terms > _GATHER_COST * (_extent(nest, operand) + 1)

    @classmethod
    def _cost(cls, nest: Nest, left: int, right: int) -> int:
        """Numbers that are copied, and products that go into padding."""
        sizes, members = _groups(nest, left)
        batch, rows, columns = (int(np.prod(group, dtype=np.int64)) for group in sizes)
        a, b = nest.operands[left], nest.operands[right]
        cost = min(_GATHER_COST * batch * rows * nest.terms, _extent(nest, a) + 1)
        if not _side_by_side(cls._table(sizes[2], members[2], b.outer), tiles.LANES):
            cost += _GATHER_COST * batch * columns * nest.terms
        dense = row_major(nest.out)
        own = cls._table(sizes[2], members[2], dense)
        if not _side_by_side(cls._whole_groups(own), tiles.LANES):
            cost += _SCATTER_COST * batch * rows * columns
        padded = -(-rows // tiles.ROWS) * tiles.ROWS * -(-columns // tiles.COLUMNS) * tiles.COLUMNS
        return cost + batch * padded * nest.terms // 16


def _aligned(tile: int) -> int:
    return tile - tile % tiles.BLOCK


def _extent(nest: Nest, operand: FoldOperand) -> int:
    """The last address that an operand reads."""
    strides = zip((*operand.outer, *operand.inner), (*nest.out, *nest.reduce), strict=True)
    return operand.offset + sum(max(stride, 0) * (size - 1) for stride, size in strides)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """What one call multiplies: a matrix of the batch, some panels, some tiles; its share of the flags."""

    batch: int
    panels: tuple[int, int]
    tiles: tuple[int, int]
    flags: int


class _Product:
    """Runs one plan."""

    def __init__(self, plan: _Plan, runtime: Runtime) -> None:
        self._plan, self._runtime = plan, runtime
        terms = plan.left_terms.size
        # tiles.multiply says what this covers.
        chain = min(terms, tiles.TERMS) + -(-terms // tiles.TERMS)
        self._factor = (chain + 2) * _UNIT * (1.0 + (4 * terms + 16) * _UNIT)
        self._panels = plan.rows.size // tiles.ROWS
        self._by = tiles.LANES if _side_by_side(plan.left_terms, tiles.LANES) else 1
        width = _SUMS_MOST // (self._panels * tiles.TILE)
        self._most = max(tiles.BLOCK, _aligned(min(width, _TILES_MOST)))
        self._pieces = self._split(plan.columns.size // tiles.COLUMNS)

    def _split(self, n_tiles: int) -> list[list[_Piece]]:
        """Per thread its pieces."""
        plan = self._plan
        batch, work = plan.batch_left.size, plan.left_numbers * plan.columns.size
        threads = self._runtime.threads if work >= PARALLEL_POINTS else 1
        by_batch = threads if batch >= threads else 1
        by_tiles = 1 if by_batch > 1 else min(threads, max(n_tiles // tiles.BLOCK, 1))
        by_panels = 1 if by_batch > 1 or by_tiles > 1 else min(threads, self._panels)
        shares: list[list[_Piece]] = []
        flags = 0
        most = tiles.ROWS * tiles.COLUMNS
        for b in range(by_batch):
            for t in range(by_tiles):
                for p in range(by_panels):
                    share = []
                    panels = (self._panels * p // by_panels, self._panels * (p + 1) // by_panels)
                    columns = (
                        _aligned(n_tiles * t // by_tiles),
                        n_tiles if t + 1 == by_tiles else _aligned(n_tiles * (t + 1) // by_tiles),
                    )
                    for matrix in range(batch * b // by_batch, batch * (b + 1) // by_batch):
                        share.append(_Piece(batch=matrix, panels=panels, tiles=columns, flags=flags))
                        flags += (panels[1] - panels[0]) * (columns[1] - columns[0]) * most
                    shares.append(share)
        self._flags = flags
        return shares

    def run(self, out: Words, arrays: Sequence[Words]) -> Offsets:
        """Write the outputs; return the places of those that are not certified."""
        plan = self._plan
        left, right = (arrays[q].view(np.float32) for q in (plan.left, plan.right))
        wide, norms = self._widen(left) if plan.widened else self._pack(left)
        flagged = np.empty(self._flags, np.int64)
        found: list[Offsets] = []

        def work(share: int) -> None:
            for piece in self._pieces[share]:
                places = self._multiply(out, wide, norms, right, piece, flagged)
                if places.size:
                    found.append(places)

        self._runtime.each(work, len(self._pieces))
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _multiply(
        self, out: Words, wide: Any, norms: Any, right: Any, piece: _Piece, flagged: Offsets
    ) -> Offsets:
        plan, matrix = self._plan, piece.batch
        own = flagged[piece.flags :]
        rows = plan.rows.size
        packed = rows * plan.left_terms.size
        count = tiles.multiply(
            out, plan.out_base[matrix], plan.out_rows, plan.out_columns, plan.dense,
            wide if plan.widened else wide[matrix * packed : (matrix + 1) * packed],
            plan.batch_left[matrix], plan.rows, plan.left_terms, not plan.widened,
            norms[matrix * rows : (matrix + 1) * rows],
            right, plan.batch_right[matrix], plan.columns, plan.groups, plan.right_terms,
            plan.packed_right, plan.side,
            self._factor, self._most, *piece.panels, *piece.tiles, own,
        )  # fmt: skip
        return own[:count]

    def _pack(self, left: Any) -> tuple[Any, Any]:
        """The left operand's panels, and the norms of its rows, for every matrix of the batch."""
        plan, terms = self._plan, self._plan.left_terms.size
        out = np.empty(plan.left_numbers, np.float64)
        norms = np.empty(plan.batch_left.size * plan.rows.size, np.float64)
        parts = self._share(plan.batch_left.size * self._panels, out.size)

        def work(part: int) -> None:
            start, stop = parts[part]
            while start < stop:
                matrix, panel = divmod(start, self._panels)
                last = min(self._panels, panel + stop - start)
                row = matrix * plan.rows.size
                tiles.pack_rows(
                    out[row * terms : (row + plan.rows.size) * terms],
                    norms[row : row + plan.rows.size],
                    left,
                    plan.batch_left[matrix],
                    plan.rows,
                    plan.left_terms,
                    panel,
                    last,
                )
                start += last - panel

        self._runtime.each(work, len(parts))
        return out, norms

    def _widen(self, left: Any) -> tuple[Any, Any]:
        """The left operand as it lies, and the norms of its rows."""
        plan = self._plan
        out = np.empty(plan.extent, np.float64)
        norms = np.empty(plan.batch_left.size * plan.rows.size, np.float64)
        copies = self._share(out.size, out.size)
        self._runtime.each(lambda part: tiles.widen(out, left, *copies[part]), len(copies))
        panels, terms = self._share(self._panels, plan.left_numbers), plan.left_terms[:: self._by].copy()
        for matrix, base in enumerate(plan.batch_left):
            own = norms[matrix * plan.rows.size : (matrix + 1) * plan.rows.size]

            def work(part: int, base: Any = base, own: Any = own) -> None:
                tiles.row_norms(own, out, base, plan.rows, terms, self._by, *panels[part])

            self._runtime.each(work, len(panels))
        return out, norms

    def _share(self, count: int, work: int) -> list[tuple[int, int]]:
        threads = self._runtime.threads if work >= PARALLEL_POINTS else 1
        bounds = [count * i // threads for i in range(threads + 1)]
        return [(a, b) for a, b in pairwise(bounds) if a < b]
