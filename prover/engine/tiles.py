"""Tiles of matrix products in binary64, certified as they are finished (numerics.md, N-14).

Every address comes from tables: row + term on the left, column + term on the right, so a convolution is
multiplied without copying its windows one by one. The right operand is copied tile by tile, some terms at a
time; the left one is copied once, or read where it lies (products.py chooses). Kernels release the GIL.
Notation: u = 2^-53.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prover.engine import store, tile_code
from prover.engine.tile_code import (
    COLUMNS,
    GROUPS,
    LANES,
    ROWS,
    TILE,
    certify_group,
    multiply_lying,
    multiply_packed,
    pack_columns_apart,
    pack_columns_side,
    pack_rows_apart,
    pack_rows_side,
    square_rows,
)

Array = NDArray[Any]

kernel: Final = store.kernel(tile_code)

TERMS: Final = 128
"""Terms that are summed before the sum is added to the total: a dot product of K terms then rounds at most
TERMS + K / TERMS times in a row, not K times, and its bound shrinks with that."""

PANELS: Final = 16
"""Panels of rows that meet one tile of columns after another: they stay in the second cache."""

SCATTERED, WHOLE, REPEATED = 0, 1, 2
"""Kinds of groups: the places of their words lie apart; side by side; the group was written already."""

_ZERO32: Final = np.float32(0.0)
_BITS: Final = np.dtype(np.uint16)


@kernel
def pack_rows(
    out: Array, norms: Array, source: Array, bases: Array, rows: Array, terms: Array, side: bool,
    first: Any, last: Any,
) -> None:  # fmt: skip
    """Copy panels ``first`` to ``last`` - 1 of the left operand, ROWS rows each, term after term.

    Args:
        out: float64[matrices, panels, K, ROWS], flat; norms: float64[matrices, panels * ROWS], flat,
            Euclidean, to a relative error below (K / 2 + 2) u.
        source: float32; bases: int64, offset of each matrix.
        rows: int64, offsets of all rows, the last one repeated up to whole panels; terms: int64[K].
        side: whether the rows of each group of LANES lie side by side.
        first, last: counted over all matrices.
    """
    count = terms.size
    panels = rows.size // ROWS
    norms[first * ROWS : last * ROWS] = 0.0
    for panel in range(first, last):
        matrix = panel // panels
        source_at = source.ctypes.data + 4 * bases[matrix]
        rows_at = rows.ctypes.data + 8 * (panel - matrix * panels) * ROWS
        out_at = out.ctypes.data + 8 * panel * count * ROWS
        norms_at = norms.ctypes.data + 8 * panel * ROWS
        if side:
            pack_rows_side(source_at, rows_at, terms.ctypes.data, count, out_at, norms_at)
        else:
            pack_rows_apart(source_at, rows_at, terms.ctypes.data, count, out_at, norms_at)
    for row in range(first * ROWS, last * ROWS):
        norms[row] = math.sqrt(norms[row])


@kernel
def widen(out: Array, source: Array, first: Any, last: Any) -> None:
    """float64 of float32, numbers ``first`` to ``last`` - 1."""
    for i in range(first, last):
        out[i] = np.float64(source[i])


@kernel
def row_norms(
    norms: Array, source: Array, bases: Array, rows: Array, terms: Array, by: Any, first: Any, last: Any
) -> None:
    """Norms of panels ``first`` to ``last`` - 1 of rows that are not packed, as `pack_rows` has them.

    Args:
        source: float64.
        terms: int64; where by is LANES, every LANES-th: those between lie side by side. Else by is 1.
    """
    sums = np.empty(ROWS * LANES, np.float64)
    panels = rows.size // ROWS
    for panel in range(first, last):
        matrix = panel // panels
        base = bases[matrix]
        own_rows = rows[(panel - matrix * panels) * ROWS :]
        sums[:] = 0.0
        if by == LANES:
            source_at = source.ctypes.data + 8 * base
            square_rows(source_at, own_rows.ctypes.data, terms.ctypes.data, terms.size, sums.ctypes.data)
        else:
            for i in range(ROWS):
                start = base + own_rows[i]
                own = sums[i * LANES : (i + 1) * LANES]
                for k in range(terms.size):
                    x = source[np.uint64(start + terms[k])]
                    own[k % LANES] += x * x
        for i in range(ROWS):
            total = 0.0
            for j in range(LANES):
                total += sums[i * LANES + j]
            norms[panel * ROWS + i] = math.sqrt(total)


def space_of(panels: int, most: int) -> int:
    """Numbers that `multiply` needs to work in: totals, and the columns that are copied together."""
    return panels * most * TILE + most * TERMS * COLUMNS


@kernel
def multiply(  # noqa: C901
    out: Array, out_bases: Array, out_rows: Array, out_columns: Array, kinds: Array,
    wide: Array, packed: bool, norms: Array, left: Array, left_bases: Array, rows: Array, left_terms: Array,
    right: Array, right_bases: Array, columns: Array, right_terms: Array, side: bool,
    factor: float, most: Any, part: Array, space: Array, flagged: Array,
) -> Any:  # fmt: skip
    """Write the words of some panels times some tiles of columns; list those that are not certified.

    For a dot product of K terms, products of binary32 being exact in binary64, summed TERMS at a time,
    |c - exact| <= g ||a|| ||b|| with g below (TERMS + K / TERMS) u (1 + 4 K u). `factor` covers that, the
    norms' own error (K / 2 + 2) u each, the roundings of the two multiplications below, and those of
    c - e and c + e, as |c| <= (1 + g) ||a|| ||b||. Rounding is monotone, so equal ends prove the value. A
    norm that is not finite gives an e that is not, and equal ends are then impossible: -inf and inf, or
    NaN. Both ends zero is a value that rounds to +0 (N-2).

    Args:
        out: uint32; out_bases[matrix] + out_rows[row] + out_columns[column] is an element's place.
        kinds: int8 per group of columns, see `SCATTERED`.
        wide: float64, the left operand as `pack_rows` leaves it, or as it lies; norms: of its rows.
        left: float32 at left_bases[matrix] + rows[row] + left_terms[term]; rows up to whole panels.
        right: float32 at right_bases[matrix] + columns[column] + right_terms[term]; columns up to whole
            tiles; side: whether the columns of every group lie side by side.
        most: tiles that are copied together.
        part: int64[6], first and last (exclusive) matrix, panel and tile to compute.
        space: float64, aligned to cache lines, of `space_of` numbers.
        flagged: int64, receives places in ``out``, some perhaps twice if columns are repeated.

    Returns: how many were flagged.
    """
    count = left_terms.size
    n_rows = out_rows.size
    first_panel, last_panel, first_tile, last_tile = part[2], part[3], part[4], part[5]
    panels = last_panel - first_panel
    all_panels = rows.size // ROWS
    sums = space[: panels * most * TILE]
    block_at = space.ctypes.data + 8 * sums.size
    squares = np.empty(most * COLUMNS, np.float64)
    row_bits = np.empty(panels * count, _BITS)
    column_bits = np.empty(count, _BITS)
    known = np.empty(panels, np.bool_)
    flags = np.int64(0)
    for matrix in range(part[0], part[1]):
        right_at = right.ctypes.data + 4 * right_bases[matrix]
        wide_at = wide.ctypes.data
        wide_at += 8 * (matrix * all_panels * count * ROWS if packed else left_bases[matrix])
        known[:] = False
        for tile in range(first_tile, last_tile, most):
            width = min(most, last_tile - tile)
            sums[: panels * width * TILE] = 0.0
            squares[:] = 0.0
            _accumulate(
                sums.ctypes.data, block_at, squares, wide_at, packed, rows, left_terms,
                right_at, columns[tile * COLUMNS :], right_terms, side, first_panel, panels, width,
            )  # fmt: skip
            for j in range(width * COLUMNS):
                squares[j] = math.sqrt(squares[j])
            for t in range(width):
                columns_known = False
                for panel in range(panels):
                    p = first_panel + panel
                    for i in range(min(np.int64(ROWS), n_rows - p * ROWS)):
                        row = p * ROWS + i
                        scale = factor * norms[matrix * all_panels * ROWS + row]
                        place = out_bases[matrix] + out_rows[row]
                        met = np.int64(-1)
                        for g in range(GROUPS):
                            column = (tile + t) * COLUMNS + g * LANES
                            kind = kinds[(tile + t) * GROUPS + g]
                            at = ((panel * width + t) * ROWS + i) * COLUMNS + g * LANES
                            if kind == REPEATED:
                                continue
                            if kind == WHOLE and not certify_group(
                                sums.ctypes.data + 8 * at,
                                squares.ctypes.data + 8 * (t * COLUMNS + g * LANES),
                                scale,
                                out.ctypes.data + 4 * (place + out_columns[column]),
                            ):
                                continue
                            for j in range(LANES):
                                e = scale * squares[t * COLUMNS + g * LANES + j]
                                low = np.float32(sums[at + j] - e)
                                high = np.float32(sums[at + j] + e)
                                word = place + out_columns[column + j]
                                out[np.uint64(word)] = np.float32(low + _ZERO32).view(np.uint32)
                                if low == high:
                                    continue
                                if sums[at + j] == 0.0 and e < math.inf:
                                    if met < 0:
                                        own = row_bits[panel * count : (panel + 1) * count]
                                        if not known[panel]:
                                            known[panel] = True
                                            _nonzero(
                                                own,
                                                left,
                                                left_bases[matrix],
                                                rows[p * ROWS :],
                                                ROWS,
                                                left_terms,
                                            )
                                        if not columns_known:
                                            columns_known = True
                                            _nonzero(
                                                column_bits, right, right_bases[matrix],
                                                columns[(tile + t) * COLUMNS :], COLUMNS, right_terms,
                                            )  # fmt: skip
                                        met = _met(own, i, column_bits)
                                    if met >> (g * LANES + j) & 1 == 0:
                                        out[np.uint64(word)] = np.uint32(0)
                                        continue
                                flagged[flags] = word
                                flags += 1
    return flags


@kernel
def _accumulate(
    sums_at: Any, block_at: Any, squares: Array, wide_at: Any, packed: bool, rows: Array, left_terms: Array,
    right_at: Any, columns: Array, right_terms: Array, side: bool, first_panel: Any, panels: Any, width: Any,
) -> None:  # fmt: skip
    """Add the products of some panels and some tiles to float64[panels, width, ROWS, COLUMNS].

    Adds the squares of the columns' numbers to ``squares``; see `multiply` for the rest.
    """
    count = left_terms.size
    for start in range(0, count, TERMS):
        size = min(np.int64(TERMS), count - start)
        terms_at, k_at = left_terms.ctypes.data + 8 * start, right_terms.ctypes.data + 8 * start
        for near in range(0, panels, PANELS):
            for t in range(width):
                c_at = block_at + 8 * t * TERMS * COLUMNS
                if near == 0:
                    columns_at = columns.ctypes.data + 8 * t * COLUMNS
                    squares_at = squares.ctypes.data + 8 * t * COLUMNS
                    if side:
                        pack_columns_side(right_at, columns_at, k_at, size, c_at, squares_at)
                    else:
                        pack_columns_apart(right_at, columns_at, k_at, size, c_at, squares_at)
                for panel in range(near, min(near + PANELS, panels)):
                    p = first_panel + panel
                    target = sums_at + 8 * (panel * width + t) * TILE
                    rows_at = rows.ctypes.data + 8 * p * ROWS
                    if packed:
                        a_at = wide_at + 8 * (p * count + start) * ROWS
                        multiply_packed(a_at, rows_at, terms_at, c_at, size, target)
                    else:
                        multiply_lying(wide_at, rows_at, terms_at, c_at, size, target)


@kernel
def _nonzero(bits: Array, source: Array, base: Any, offsets: Array, width: Any, terms: Array) -> None:
    """Per term the numbers that are not zero among some rows or columns, as bits of a word."""
    for k in range(terms.size):
        word = np.uint16(0)
        place = base + terms[k]
        for j in range(width):
            if source[np.uint64(place + offsets[j])] != np.float32(0.0):
                word |= np.uint16(1 << j)
        bits[k] = word


@kernel
def _met(rows: Array, row: Any, columns: Array) -> Any:
    """Bits of the columns that have a product other than zero with the row.

    Where finite numbers have none, the sum is exactly +0 (N-2). Sparse gradients are full of these sums, and
    their bound is not zero.
    """
    met = np.uint16(0)
    for k in range(rows.size):
        met |= columns[k] * ((rows[k] >> np.uint16(row)) & np.uint16(1))
    return np.int64(met)
