"""Numba kernels that no program changes: reading leaves, max folds.

Every kernel takes flat uint32 arrays of words and one int64 array of shape parameters (a *layout*,
layout.py), so that one compilation serves every node. No fastmath anywhere: certificates hold only for IEEE
operations in the order written. Self-contained, because numba's cache watches one file only. Notation: u =
2^-53.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

kernel: Final[Any] = njit(cache=True, error_model="numpy", nogil=True, fastmath=False, boundscheck=False)

ZERO32: Final = np.float32(0.0)
MAX_LOOPS: Final = 8
LANES: Final = 256
FEW_TERMS: Final = 16
"""Terms of a max fold up to which outputs stand in vector lanes."""

# Layout of map kernels and `read_leaf`: loop count, sizes, then per operand an offset and strides.
MAP_SIZES: Final = 1
MAP_OUT: Final = 9
MAP_OPERANDS: Final = 10
MAP_OPERAND_WIDTH: Final = 9
MAP_WIDTH: Final = MAP_OPERANDS + 4 * MAP_OPERAND_WIDTH
# `read_leaf`: what follows the map layout of its one affine operand (the gather index).
READ_GATHER: Final = 19
READ_FILL: Final = 20
READ_OFFSETS: Final = 21
READ_EXTENTS: Final = 25
READ_DIVISORS: Final = 29
READ_STRIDES: Final = 33
READ_WIDTH: Final = READ_STRIDES + 4 * MAX_LOOPS
# Folds: output loops, fold loops, then per operand an offset, output strides, fold strides.
FOLD_OUT_SIZES: Final = 1
FOLD_REDUCE: Final = 9
FOLD_REDUCE_SIZES: Final = 10
FOLD_ROWS: Final = 18
FOLD_TERMS: Final = 19
FOLD_OPERANDS: Final = 20
FOLD_OPERAND_WIDTH: Final = 17
FOLD_WIDTH: Final = FOLD_OPERANDS + 4 * FOLD_OPERAND_WIDTH


# Leaves
# ------------------------------------------------------------------------------------------------------------


@kernel
def read_leaf(  # noqa: C901
    out: Array, source: Array, index: Array, layout: Array
) -> None:
    """Write the word of one operand leaf at every point of a loop nest (P-4): bounds, fill, divisors, gather.

    Args:
        out: uint32, one word per point, row-major.
        source: the tensor that the leaf reads.
        index: words that the gather dimension adds; read only if the layout names one.
        layout: int64[READ_WIDTH].
    """
    loops = layout[0]
    inner = layout[MAP_SIZES + loops - 1]
    last = loops - 1
    gather = layout[READ_GATHER]
    fill = np.uint32(layout[READ_FILL])
    e0, e1, e2, e3 = (
        layout[READ_EXTENTS],
        layout[READ_EXTENTS + 1],
        layout[READ_EXTENTS + 2],
        layout[READ_EXTENTS + 3],
    )
    d0, d1, d2, d3 = (
        layout[READ_DIVISORS],
        layout[READ_DIVISORS + 1],
        layout[READ_DIVISORS + 2],
        layout[READ_DIVISORS + 3],
    )
    dense = d0 == 1 and d1 == 1 and d2 == 1 and d3 == 1
    steps = np.empty(4, np.int64)
    base = np.empty(4, np.int64)
    for d in range(4):
        base[d] = layout[READ_OFFSETS + d]
        steps[d] = layout[READ_STRIDES + d * MAX_LOOPS + last]
    f3 = np.int64(1)
    f2 = e3
    f1 = e3 * e2
    f0 = f1 * e1
    flat_step = steps[0] * f0 + steps[1] * f1 + steps[2] * f2 + steps[3] * f3
    at = layout[MAP_OPERANDS]
    at_step = layout[MAP_OPERANDS + 1 + last]
    counter = np.zeros(MAX_LOOPS, np.int64)
    rows = np.int64(1)
    for d in range(last):
        rows *= layout[MAP_SIZES + d]
    position = np.int64(0)
    c = np.empty(4, np.int64)
    for _ in range(rows):
        if dense and (gather < 0 or at_step == 0):
            for d in range(4):
                c[d] = base[d]
            if gather >= 0:
                c[gather] += np.int64(np.int32(index[at]))
            low = np.int64(0)
            high = inner
            for d in range(4):
                extent = layout[READ_EXTENTS + d]
                step = steps[d]
                if step == 0:
                    if c[d] < 0 or c[d] >= extent:
                        high = np.int64(0)
                elif step > 0:
                    low = max(low, -(c[d] // step))
                    high = min(high, (extent - 1 - c[d]) // step + 1)
                else:
                    low = max(low, -((extent - 1 - c[d]) // -step))
                    high = min(high, c[d] // -step + 1)
            high = max(high, np.int64(0))
            low = min(low, high)
            for j in range(low):
                out[position + j] = fill
            flat = c[0] * f0 + c[1] * f1 + c[2] * f2 + c[3] * f3
            if flat_step == 1 and high > low:
                # Not a slice assignment: its shape check is most of this kernel's compile time.
                piece = source[flat + low : flat + high]
                target = out[position + low : position + high]
                for j in range(high - low):
                    target[j] = piece[j]
            else:
                for j in range(low, high):
                    out[position + j] = source[flat + j * flat_step]
            for j in range(high, inner):
                out[position + j] = fill
        else:
            for j in range(inner):
                for d in range(4):
                    c[d] = base[d] + j * steps[d]
                if gather >= 0:
                    c[gather] += np.int64(np.int32(index[at + j * at_step]))
                q0, q1, q2, q3 = c[0] // d0, c[1] // d1, c[2] // d2, c[3] // d3
                inside = (
                    (q0 >= 0) and (q0 < e0) and (q1 >= 0) and (q1 < e1)
                    and (q2 >= 0) and (q2 < e2) and (q3 >= 0) and (q3 < e3)
                )  # fmt: skip
                exact = q0 * d0 == c[0] and q1 * d1 == c[1] and q2 * d2 == c[2] and q3 * d3 == c[3]
                word = fill
                if inside and exact:
                    word = source[q0 * f0 + q1 * f1 + q2 * f2 + q3]
                out[position + j] = word
        position += inner
        loop = last - 1
        while loop >= 0:
            counter[loop] += 1
            wrap = counter[loop] == layout[MAP_SIZES + loop]
            turns = 1 - counter[loop] if wrap else np.int64(1)
            for d in range(4):
                base[d] += turns * layout[READ_STRIDES + d * MAX_LOOPS + loop]
            at += turns * layout[MAP_OPERANDS + 1 + loop]
            if not wrap:
                break
            counter[loop] = 0
            loop -= 1


@kernel
def _advance(at: Any, counter: Array, layout: Array, sizes: Any, strides: Any, loop: Any) -> Any:
    """The address of the next point of a loop nest, counting up from loop `loop` outwards."""
    while loop >= 0:
        counter[loop] += 1
        if counter[loop] < layout[sizes + loop]:
            return at + layout[strides + loop]
        at -= (counter[loop] - 1) * layout[strides + loop]
        counter[loop] = 0
        loop -= 1
    return at


# Max folds
# ---------------------------------------------------------------------------------------------------------


@kernel
def _fold_max_lanes(  # noqa: C901
    out: Array, source: Array, layout: Array, want_index: bool
) -> None:
    """`fold_max` for few terms, LANES outputs at a time."""
    values = source.view(np.float32)
    n_out, n_fold = layout[0], layout[FOLD_REDUCE]
    last, step = layout[FOLD_OUT_SIZES + n_out - 1], layout[FOLD_OPERANDS + n_out]
    counter = np.zeros(MAX_LOOPS, np.int64)
    bases = np.empty(LANES, np.int64)
    best = np.empty(LANES, np.float32)
    where = np.empty(LANES, np.uint32)
    for first in range(0, layout[FOLD_ROWS], LANES):
        width = min(np.int64(LANES), layout[FOLD_ROWS] - first)
        done = np.int64(0)
        while done < width:
            row = (first + done) // last
            begin = first + done - row * last
            piece = min(last - begin, width - done)
            base = layout[FOLD_OPERANDS] + begin * step
            for d in range(n_out - 2, -1, -1):
                size = layout[FOLD_OUT_SIZES + d]
                base += (row % size) * layout[FOLD_OPERANDS + 1 + d]
                row //= size
            for j in range(piece):
                bases[done + j] = base + j * step
            done += piece
        at = np.int64(0)
        for j in range(width):
            best[j] = values[np.uint64(bases[j])]
            where[j] = np.uint32(0)
        for term in range(1, layout[FOLD_TERMS]):
            at = _advance(at, counter, layout, FOLD_REDUCE_SIZES, FOLD_OPERANDS + 9, n_fold - 1)
            for j in range(width):
                x = values[np.uint64(bases[j] + at)]
                wins = (x > best[j]) | (math.isnan(x) & (not math.isnan(best[j])))
                best[j] = x if wins else best[j]
                where[j] = np.uint32(term) if wins else where[j]
        counter[:] = 0
        target = out[first : first + width]
        if want_index:
            for j in range(width):
                target[j] = where[j]
        else:
            for j in range(width):
                word = np.float32(best[j] + ZERO32).view(np.uint32)
                target[j] = np.uint32(0x7FC00000) if math.isnan(best[j]) else word


@kernel
def fold_max(out: Array, source: Array, layout: Array, want_index: bool) -> None:
    """Max or first argmax (N-10); layout is a fold layout with one operand."""
    if layout[FOLD_TERMS] <= FEW_TERMS:
        _fold_max_lanes(out, source, layout, want_index)
        return
    values = source.view(np.float32)
    n_out, n_fold = layout[0], layout[FOLD_REDUCE]
    inner = layout[FOLD_REDUCE_SIZES + n_fold - 1]
    stride = layout[FOLD_OPERANDS + 9 + n_fold - 1]
    terms = layout[FOLD_TERMS]
    counter = np.zeros(MAX_LOOPS, np.int64)
    for o in range(layout[FOLD_ROWS]):
        base = layout[FOLD_OPERANDS]
        left = o
        for d in range(n_out - 1, -1, -1):
            size = layout[FOLD_OUT_SIZES + d]
            base += (left % size) * layout[FOLD_OPERANDS + 1 + d]
            left //= size
        best = values[base]
        where = np.int64(0)
        index = np.int64(0)
        while index < terms:
            for j in range(inner):
                x = values[base + j * stride]
                if x > best or (math.isnan(x) and not math.isnan(best)):
                    best = x
                    where = index + j
            index += inner
            base = _advance(base, counter, layout, FOLD_REDUCE_SIZES, FOLD_OPERANDS + 9, n_fold - 2)
        if want_index:
            out[o] = np.uint32(where)
        elif math.isnan(best):
            out[o] = np.uint32(0x7FC00000)
        else:
            out[o] = np.float32(best + ZERO32).view(np.uint32)
