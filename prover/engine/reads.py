"""Reads of one leaf where every coordinate follows one loop: padding, cropping, dilation (program.md, P-4).

Which points lie inside, and at which word of the source, is then known loop by loop, and is tabulated when
the step is made: a row of the nest is filled and copied without looking at its coordinates again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.program.descriptor import Leaf
from prover.engine import store
from prover.engine.layout import split
from prover.engine.steps import Environment, Runtime, Step

Array = NDArray[Any]
_kernel: Final = store.kernel()

_TABLE_MOST: Final = 1 << 20
_OUTSIDE: Final = -1


@_kernel
def _copy_rows(  # noqa: C901
    out: Array,
    source: Array,
    far: Array,
    near: Array,
    run: Array,
    inner: Any,
    fill: Any,
    first: Any,
    last: Any,
) -> None:
    """Write rows ``first`` to ``last`` - 1 of a nest.

    Args:
        out: uint32, ``inner`` words per row; source: uint32.
        far, near: int64, what the outer loops add to the address of a row, the last of them in ``near``;
            `_OUTSIDE` if they lead outside.
        run: int64[5], of the innermost loop: first index inside, how many, index step, address, address step.
        fill: word of the points outside.
    """
    index, count, index_step, start, step = run[0], run[1], run[2], run[3], run[4]
    word = np.uint32(fill)
    a, b = first // near.size, first % near.size
    for row in range(first, last):
        target = out[row * inner : (row + 1) * inner]
        if far[a] < 0 or near[b] < 0 or count == 0:
            for j in range(inner):
                target[j] = word
        else:
            at = far[a] + near[b] + start
            if index_step == 1:
                for j in range(index):
                    target[j] = word
                for j in range(index + count, inner):
                    target[j] = word
            else:
                for j in range(inner):
                    target[j] = word
            if index_step == 1 and step == 1:
                piece = source[at : at + count]
                body = target[index : index + count]
                for j in range(count):
                    body[j] = piece[j]
            else:
                for j in range(count):
                    target[np.uint64(index + j * index_step)] = source[np.uint64(at + j * step)]
        b += 1
        if b == near.size:
            b = np.int64(0)
            a += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxTables:
    """Addresses of a nest by its loops, as `_copy_rows` takes them."""

    far: Array
    near: Array
    run: Array
    inner: int

    @classmethod
    def of(cls, sizes: Sequence[int], leaf: Leaf, strides: Sequence[Sequence[int]]) -> BoxTables | None:
        """The tables, or None where a coordinate follows several loops, or they are too long.

        Args:
            sizes: loops of the nest.
            leaf: gives offsets, sizes and divisors; it has no gather.
            strides: per dimension of the leaf, one per loop.
        """
        tables = [np.zeros(size, np.int64) for size in sizes] if sum(sizes) <= _TABLE_MOST else []
        if not tables:
            return None
        base, weight = 0, 1
        for d in range(leaf.rank - 1, -1, -1):
            loops = [j for j, stride in enumerate(strides[d]) if stride]
            if len(loops) > 1:
                return None
            j = loops[0] if loops else 0
            at, beyond = np.divmod(
                leaf.offsets[d] + strides[d][j] * np.arange(sizes[j], dtype=np.int64),
                max(leaf.divisors[d], 1),
            )
            inside = (beyond == 0) & (at >= 0) & (at < leaf.sizes[d]) & (tables[j] >= 0)
            tables[j] = np.where(inside, tables[j] + at * weight, _OUTSIDE)
            weight *= leaf.sizes[d]
        *outer, last = tables
        run = _progression(last)
        near = outer.pop() if outer else np.full(1, base, np.int64)
        far = np.zeros(1, np.int64)
        for table in outer:
            sums = far[:, None] + table
            far = np.where((far[:, None] < 0) | (table < 0), _OUTSIDE, sums).reshape(-1)
            if far.size > _TABLE_MOST:
                return None
        return cls(far=far, near=near, run=run, inner=sizes[-1]) if run is not None else None


def _progression(table: Array) -> Array | None:
    """First index inside, how many, index step, address, address step, if they are evenly spaced."""
    inside = np.flatnonzero(table >= 0)
    if inside.size == 0:
        return np.array([0, 0, 1, 0, 0], np.int64)
    at = table[inside]
    steps = [int(values[1] - values[0]) if values.size > 1 else 1 for values in (inside, at)]
    even = all((np.diff(values) == step).all() for values, step in zip((inside, at), steps, strict=True))
    return np.array([inside[0], inside.size, steps[0], at[0], steps[1]], np.int64) if even else None


class BoxReadStep(Step):
    """The words of one operand leaf over a nest, by tables of its loops."""

    def __init__(
        self,
        *,
        target: int,
        node: int,
        source: int,
        points: int,
        fill: int,
        tables: BoxTables,
        runtime: Runtime,
    ) -> None:
        self.target, self.node = target, node
        self.reads = (source,)
        self._points, self._fill, self._tables, self._runtime = points, fill, tables, runtime
        rows = tables.far.size * tables.near.size
        self._parts = split((rows,), runtime.parts(points))

    def run(self, environment: Environment) -> None:
        out = np.empty(self._points, np.uint32)
        source, tables = environment[self.reads[0]], self._tables

        def work(part: int) -> None:
            _copy_rows(
                out, source, tables.far, tables.near, tables.run, tables.inner, self._fill, *self._parts[part]
            )

        self._runtime.each(work, len(self._parts))
        environment[self.target] = out
