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
    certify_tile,
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

_RAMP: Final = np.concatenate([np.arange(TILE), np.arange(ROWS) * COLUMNS])
"""Places in a tile by its columns; those of its rows."""

_BITS: Final = np.dtype(np.uint16)


@kernel
def pack_rows(
    out: Array, norms: Array, source: Array, bases: Array, rows: Array, terms: Array, side: bool,
    first: Any, last: Any,
) -> None:  # fmt: skip
    """Copy panels ``first`` to ``last`` - 1 of the left operand, ROWS rows each, term after term.

    Args:
        out: float64, flat: per matrix and TERMS terms [panels, terms, ROWS], so that panels which are
            multiplied one after the other lie so; norms: float64[matrices, panels * ROWS], flat,
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
        own = panel - matrix * panels
        source_at = source.ctypes.data + 4 * bases[matrix]
        rows_at = rows.ctypes.data + 8 * own * ROWS
        norms_at = norms.ctypes.data + 8 * panel * ROWS
        for start in range(0, count, TERMS):
            size: Any = min(np.int64(TERMS), count - start)
            terms_at = terms.ctypes.data + 8 * start
            out_at = out.ctypes.data + 8 * ROWS * ((matrix * count + start) * panels + own * size)
            if side:
                pack_rows_side(source_at, rows_at, terms_at, size, out_at, norms_at)
            else:
                pack_rows_apart(source_at, rows_at, terms_at, size, out_at, norms_at)
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
    out: Array, out_bases: Array, out_rows: Array, out_columns: Array, dense: Array, fresh: Array,
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
        dense: bool per tile, whether the places of each of its groups lie side by side.
        fresh: bool per group, False for those that fill up the last tile and repeat others.
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
    scales = np.empty(ROWS, np.float64)
    places = np.empty(ROWS, np.int64)
    masks = np.empty((3, ROWS), np.int64)
    masks_at = masks.ctypes.data
    words = np.empty(TILE, np.uint32)
    words_at = words.ctypes.data
    ramp = _RAMP
    flags = np.int64(0)
    for matrix in range(part[0], part[1]):
        right_at = right.ctypes.data + 4 * right_bases[matrix]
        wide_at = wide.ctypes.data
        wide_at += 8 * (matrix * all_panels * count * ROWS if packed else left_bases[matrix])
        known[:] = False
        for tile in range(first_tile, last_tile, most):
            width = min(most, last_tile - tile)
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
                    n = min(np.int64(ROWS), n_rows - p * ROWS)
                    for i in range(ROWS):
                        row = p * ROWS + min(np.int64(i), n - 1)
                        scales[i] = factor * norms[matrix * all_panels * ROWS + row]
                        places[i] = out_bases[matrix] + out_rows[row]
                    sums_at = sums.ctypes.data + 8 * (panel * width + t) * TILE
                    norms_at = squares.ctypes.data + 8 * t * COLUMNS
                    own_places = out_columns[(tile + t) * COLUMNS : (tile + t + 1) * COLUMNS]
                    target_at, rows_at, columns_at = words_at, ramp.ctypes.data, ramp.ctypes.data
                    rows_at += 8 * TILE
                    if dense[tile + t]:
                        target_at, rows_at = out.ctypes.data, places.ctypes.data
                        columns_at = own_places.ctypes.data
                    masks[0] = -1
                    open_ = certify_tile(
                        sums_at, norms_at, scales.ctypes.data, rows_at, columns_at, target_at,
                        masks_at, masks_at + 8 * ROWS, masks_at + 16 * ROWS,
                    )  # fmt: skip
                    if open_ and masks[2].any():
                        bits = row_bits[panel * count : (panel + 1) * count]
                        if not known[panel]:
                            known[panel] = True
                            _nonzero(bits, left, left_bases[matrix], rows[p * ROWS :], ROWS, left_terms)
                        if not columns_known:
                            columns_known = True
                            own_columns = columns[(tile + t) * COLUMNS :]
                            _nonzero(
                                column_bits, right, right_bases[matrix], own_columns, COLUMNS, right_terms
                            )
                        for i in range(ROWS):
                            masks[0, i] = _met(bits, min(np.int64(i), n - 1), column_bits)
                        open_ = certify_tile(
                            sums_at, norms_at, scales.ctypes.data, rows_at, columns_at, target_at,
                            masks_at, masks_at + 8 * ROWS, masks_at + 16 * ROWS,
                        )  # fmt: skip
                    if not dense[tile + t]:
                        for i in range(n):
                            for j in range(COLUMNS):
                                out[np.uint64(places[i] + own_places[j])] = words[i * COLUMNS + j]
                    if open_:
                        own_fresh = fresh[(tile + t) * GROUPS : (tile + t + 1) * GROUPS]
                        flags += _list(flagged[flags:], masks[1, :n], places, own_places, own_fresh)
    return flags


@kernel
def _list(flagged: Array, masks: Array, rows: Array, columns: Array, fresh: Array) -> Any:
    """List the places of a tile whose bits are set; return how many."""
    count = np.int64(0)
    for i in range(masks.size):
        if masks[i]:
            for j in range(COLUMNS):
                if masks[i] >> j & 1 and fresh[j // LANES]:
                    flagged[count] = rows[i] + columns[j]
                    count += 1
    return count


@kernel
def _accumulate(
    sums_at: Any, block_at: Any, squares: Array, wide_at: Any, packed: bool, rows: Array, left_terms: Array,
    right_at: Any, columns: Array, right_terms: Array, side: bool, first_panel: Any, panels: Any, width: Any,
) -> None:  # fmt: skip
    """Sum the products of some panels and some tiles into float64[panels, width, ROWS, COLUMNS].

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
                        a_at = wide_at + 8 * ROWS * (start * (rows.size // ROWS) + p * size)
                        multiply_packed(a_at, rows_at, terms_at, c_at, size, target, start == 0)
                    else:
                        multiply_lying(wide_at, rows_at, terms_at, c_at, size, target, start == 0)


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
