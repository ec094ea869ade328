"""Loop nests as kernels take them: merged loops, and int64 layouts of sizes, offsets and strides.

Indices of a layout are named in kernels.py. Loops of size 1 are dropped and neighbours that walk every
operand evenly are merged, so most nodes have one or two loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from protocol.program.descriptor import Leaf
from prover.engine import kernels as k

Layout = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """Words of one array at offset + sum of stride * loop index.

    Attributes:
        source: place of the array in the environment of a run.
        offset: in words.
        strides: in words, one per loop.
    """

    source: int
    offset: int
    strides: tuple[int, ...]


def merge(
    sizes: Sequence[int], vectors: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Drop loops of size 1 and merge neighbours; at least one loop is left.

    Args:
        sizes: of the loops, outermost first, all at least 1.
        vectors: strides of several addresses, one per loop each.

    Returns: sizes and vectors of the loops that are left; they visit the same addresses in the same order.
    """
    kept: list[int] = []
    strides: list[list[int]] = [[] for _ in vectors]
    for j, size in enumerate(sizes):
        if size == 1:
            continue
        if kept and all(s[-1] == vector[j] * size for s, vector in zip(strides, vectors, strict=True)):
            kept[-1] *= size
            for s, vector in zip(strides, vectors, strict=True):
                s[-1] = vector[j]
        else:
            kept.append(size)
            for s, vector in zip(strides, vectors, strict=True):
                s.append(vector[j])
    if not kept:
        return (1,), [(0,) for _ in vectors]
    return tuple(kept), [tuple(s) for s in strides]


def row_major(sizes: Sequence[int]) -> tuple[int, ...]:
    """Strides of a dense row-major array."""
    strides = [1]
    for size in reversed(sizes[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides)) if sizes else ()


def map_layout(sizes: Sequence[int], operands: Sequence[tuple[int, Sequence[int]]]) -> Layout:
    """Layout of a map kernel: operands are (offset, strides)."""
    layout = np.zeros(k.MAP_WIDTH, np.int64)
    layout[0] = len(sizes)
    layout[k.MAP_SIZES : k.MAP_SIZES + len(sizes)] = sizes
    for q, (offset, strides) in enumerate(operands):
        at = k.MAP_OPERANDS + q * k.MAP_OPERAND_WIDTH
        layout[at] = offset
        layout[at + 1 : at + 1 + len(strides)] = strides
    return layout


def read_layout(
    sizes: Sequence[int],
    leaf: Leaf,
    strides: Sequence[Sequence[int]],
    index: tuple[int, Sequence[int]] | None,
) -> Layout:
    """Layout of `kernels.read_leaf`.

    Args:
        sizes: loops of the nest.
        leaf: gives offsets, sizes, divisors, fill and gather dimension.
        strides: per dimension of the leaf, one per loop.
        index: (offset, strides) of the gather index, or None without gather.
    """
    layout = np.zeros(k.READ_WIDTH, np.int64)
    layout[: k.MAP_OPERANDS + k.MAP_OPERAND_WIDTH] = map_layout(sizes, [index or (0, ())])[
        : k.MAP_OPERANDS + k.MAP_OPERAND_WIDTH
    ]
    layout[k.READ_GATHER] = -1 if index is None else leaf.gather_dim
    layout[k.READ_FILL] = leaf.fill
    # Dimensions stand at the end, so that missing ones (size 1, always at 0) come first in row-major order.
    missing = 4 - leaf.rank
    if index is not None:
        layout[k.READ_GATHER] += missing
    layout[k.READ_EXTENTS : k.READ_EXTENTS + 4] = [1] * missing + list(leaf.sizes)
    layout[k.READ_DIVISORS : k.READ_DIVISORS + 4] = [1] * missing + [max(d, 1) for d in leaf.divisors]
    layout[k.READ_OFFSETS : k.READ_OFFSETS + 4] = [0] * missing + list(leaf.offsets)
    for d, row in enumerate(strides):
        at = k.READ_STRIDES + (missing + d) * k.MAX_LOOPS
        layout[at : at + len(row)] = row
    return layout


def fold_layout(
    out: Sequence[int], reduce: Sequence[int], operands: Sequence[tuple[int, Sequence[int], Sequence[int]]]
) -> Layout:
    """Layout of a fold kernel: operands are (offset, output strides, fold strides)."""
    layout = np.zeros(k.FOLD_WIDTH, np.int64)
    layout[0] = len(out)
    layout[k.FOLD_OUT_SIZES : k.FOLD_OUT_SIZES + len(out)] = out
    layout[k.FOLD_REDUCE] = len(reduce)
    layout[k.FOLD_REDUCE_SIZES : k.FOLD_REDUCE_SIZES + len(reduce)] = reduce
    layout[k.FOLD_ROWS] = np.prod(np.array(out, dtype=np.int64))
    layout[k.FOLD_TERMS] = np.prod(np.array(reduce, dtype=np.int64))
    for q, (offset, outer, inner) in enumerate(operands):
        at = k.FOLD_OPERANDS + q * k.FOLD_OPERAND_WIDTH
        layout[at] = offset
        layout[at + 1 : at + 1 + len(outer)] = outer
        layout[at + 9 : at + 9 + len(inner)] = inner
    return layout


def split(sizes: Sequence[int], parts: int) -> list[tuple[int, int]]:
    """Cut the outermost loop into at most ``parts`` even ranges (start, stop)."""
    count = max(1, min(parts, sizes[0]))
    bounds = [sizes[0] * i // count for i in range(count + 1)]
    return list(pairwise(bounds))
