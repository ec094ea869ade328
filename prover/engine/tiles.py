"""Tiles of matrix products in binary64, certified as they are finished (numerics.md, N-14).

A tile is ROWS x COLUMNS dot products, held in vector registers while the terms go by. Every address comes
from tables: row + term on the left, column + term on the right, so a convolution is multiplied where it
lies, without copying its windows. Written as vector LLVM code, which leaves no choice to an auto-vectoriser.
Whether a product and its sum are fused is left to the processor: the bound holds for both. Nothing near the
certificate may be reordered.

Importing this module compiles nothing; kernels release the GIL. Notation: u = 2^-53.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import config
from numba.extending import intrinsic
from numpy.typing import NDArray

Array = NDArray[Any]

_intrinsic: Final[Any] = intrinsic
_config: Final[Any] = config
kernel: Final[Any] = njit(cache=True, error_model="numpy", nogil=True, fastmath=False, boundscheck=False)


def _shape() -> tuple[int, int]:
    """Rows of a tile and binary64 lanes of a vector, as the processor has registers for."""
    named = _config.CPU_FEATURES
    features = (
        {name[1:] for name in named.split(",") if name.startswith("+")}
        if named
        else {name for name, has in binding.get_host_cpu_features().items() if has}
    )
    if "avx512f" in features:
        return 8, 8
    return (6, 4) if "avx2" in features else (4, 2)


ROWS, LANES = _shape()
"""Rows of a tile; columns of a group, which lie side by side."""

GROUPS: Final = 2
SQUARED: Final = 8
"""Groups whose norms are measured together: as many sums as keep the processor busy."""

COLUMNS: Final = GROUPS * LANES
TILE: Final = ROWS * COLUMNS
TERMS: Final = 256
"""Terms that are summed before the sum is added to the total: a dot product of K terms then rounds at most
TERMS + K / TERMS times in a row, not K times, and its bound shrinks with that."""

BLOCK: Final = 4
"""Tiles side by side that go through the terms together come in multiples of this."""

_ZERO32: Final = np.float32(0.0)
_RAMP: Final = np.arange(TERMS, dtype=np.int64)
PANELS: Final = 16
"""Panels of rows that meet one tile of columns after another: they stay in the second cache."""

_BLOCK_RAMP: Final = np.array(
    [t * TERMS * COLUMNS + g * LANES for t in range(SQUARED // GROUPS) for g in range(GROUPS)], np.int64
)
_COLUMN_TERMS: Final = _RAMP * COLUMNS

# --- vector code ---

_I64 = ir.IntType(64)
_DOUBLE = ir.DoubleType()
_FLOAT = ir.FloatType()
_DOUBLES = ir.VectorType(_DOUBLE, LANES)
_FLOATS = ir.VectorType(_FLOAT, LANES)
_MAY_FUSE = ("contract",)


def _pointer(b: Any, address: Any, kind: Any) -> Any:
    return b.inttoptr(address, kind.as_pointer())


def _entry(b: Any, table: Any, at: Any) -> Any:
    return b.load(b.gep(table, [at]))


def _splat(b: Any, number: Any) -> Any:
    undefined = ir.Constant(_DOUBLES, ir.Undefined)
    first = b.insert_element(undefined, number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return b.shuffle_vector(first, undefined, lanes)


def _over_terms(b: Any, count: Any, width: int, body: Any) -> list[Any]:
    """Run body(term, vectors) -> vectors for count >= 1 terms, from zeros; return the last vectors."""
    before, loop, after = b.block, b.append_basic_block("terms"), b.append_basic_block("after")
    b.branch(loop)
    b.position_at_end(loop)
    term = b.phi(_I64)
    sums = [b.phi(_DOUBLES) for _ in range(width)]
    term.add_incoming(_I64(0), before)
    for phi in sums:
        phi.add_incoming(ir.Constant(_DOUBLES, [0.0] * LANES), before)
    new: list[Any] = body(term, sums)
    following = b.add(term, _I64(1))
    term.add_incoming(following, loop)
    for phi, value in zip(sums, new, strict=True):
        phi.add_incoming(value, loop)
    b.cbranch(b.icmp_signed("<", following, count), loop, after)
    b.position_at_end(after)
    return new


def _add_to(b: Any, target: Any, vectors: list[Any]) -> None:
    for i, vector in enumerate(vectors):
        place = b.bitcast(b.gep(target, [_I64(i * LANES)]), _DOUBLES.as_pointer())
        b.store(b.fadd(b.load(place, align=8), vector), place, align=8)


def _tile_multiplier(*, packed: bool) -> Any:
    """What adds left[row + term] * right[column + term] to total[ROWS, COLUMNS], summed over the terms first.

    Its arguments are the addresses of left (float64), rows, left terms (int64), right (float32), groups,
    right terms (int64), the count, and the address of the total (float64). With ``packed`` the left operand
    lies as `pack_rows` leaves it, and its two tables are not read.
    """

    @_intrinsic
    def multiply_tile(
        _context: Any, _left: Any, _rows: Any, _left_terms: Any, _right: Any, _groups: Any, _right_terms: Any,
        _count: Any, _total: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, b: Any, _signature: Any, values: Any) -> Any:
            kinds = (_DOUBLE, _I64, _I64, _FLOAT, _I64, _I64)
            a, row_table, a_terms, c, group_table, c_terms = (
                _pointer(b, value, kind) for value, kind in zip(values[:6], kinds, strict=True)
            )
            group_at = [b.gep(c, [_entry(b, group_table, _I64(g))]) for g in range(GROUPS)]
            row_at = [] if packed else [b.gep(a, [_entry(b, row_table, _I64(i))]) for i in range(ROWS)]

            def body(term: Any, sums: list[Any]) -> list[Any]:
                if packed:
                    start = b.gep(a, [b.mul(term, _I64(ROWS))])
                    left = [b.gep(start, [_I64(i)]) for i in range(ROWS)]
                else:
                    a_term = _entry(b, a_terms, term)
                    left = [b.gep(row, [a_term]) for row in row_at]
                c_term = _entry(b, c_terms, term)
                numbers = [_load_group(b, at, c_term) for at in group_at]
                new = []
                for i in range(ROWS):
                    factor = _splat(b, b.load(left[i]))
                    for g in range(GROUPS):
                        product = b.fmul(factor, numbers[g], flags=_MAY_FUSE)
                        new.append(b.fadd(product, sums[i * GROUPS + g], flags=_MAY_FUSE))
                return new

            _add_to(b, _pointer(b, values[7], _DOUBLE), _over_terms(b, values[6], ROWS * GROUPS, body))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), generate

    return multiply_tile


_multiply_packed: Final = _tile_multiplier(packed=True)
_multiply_lying: Final = _tile_multiplier(packed=False)


@_intrinsic
def _square_groups(
    _context: Any, _right: Any, _groups: Any, _right_terms: Any, _count: Any, _total: Any
) -> Any:
    """total[SQUARED, LANES] += the squares of right[column + term], over count terms."""

    def generate(context: Any, b: Any, _signature: Any, values: Any) -> Any:
        c, group_table, c_terms = (
            _pointer(b, value, kind) for value, kind in zip(values[:3], (_FLOAT, _I64, _I64), strict=True)
        )
        group_at = [b.gep(c, [_entry(b, group_table, _I64(g))]) for g in range(SQUARED)]

        def body(term: Any, sums: list[Any]) -> list[Any]:
            c_term = _entry(b, c_terms, term)
            return [
                _add_square(b, _load_group(b, at, c_term), s) for at, s in zip(group_at, sums, strict=True)
            ]

        _add_to(b, _pointer(b, values[4], _DOUBLE), _over_terms(b, values[3], SQUARED, body))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), generate


@_intrinsic
def _square_rows(_context: Any, _left: Any, _rows: Any, _terms: Any, _count: Any, _total: Any) -> Any:
    """total[ROWS, LANES] += the squares of left[row + term + lane], float64, over count terms."""

    def generate(context: Any, b: Any, _signature: Any, values: Any) -> Any:
        a, row_table, terms = (
            _pointer(b, value, kind) for value, kind in zip(values[:3], (_DOUBLE, _I64, _I64), strict=True)
        )
        row_at = [b.gep(a, [_entry(b, row_table, _I64(i))]) for i in range(ROWS)]

        def body(at: Any, sums: list[Any]) -> list[Any]:
            term = _entry(b, terms, at)
            loads = [b.bitcast(b.gep(row, [term]), _DOUBLES.as_pointer()) for row in row_at]
            return [_add_square(b, b.load(x, align=8), s) for x, s in zip(loads, sums, strict=True)]

        _add_to(b, _pointer(b, values[4], _DOUBLE), _over_terms(b, values[3], ROWS, body))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), generate


@_intrinsic
def _certify_group(_context: Any, _sums: Any, _norms: Any, _scale: Any, _out: Any) -> Any:
    """Write the words of one group; return whether one of them is not certified. See `multiply`."""

    def generate(_context: Any, b: Any, _signature: Any, values: Any) -> Any:
        kinds = (values[0], values[1])
        c, norm = (
            b.load(b.bitcast(_pointer(b, value, _DOUBLE), _DOUBLES.as_pointer()), align=8) for value in kinds
        )
        e = b.fmul(norm, _splat(b, values[2]))
        low, high = (b.fptrunc(end, _FLOATS) for end in (b.fsub(c, e), b.fadd(c, e)))
        word = b.fadd(low, ir.Constant(_FLOATS, [0.0] * LANES))  # -0 becomes +0
        b.store(word, b.bitcast(_pointer(b, values[3], _FLOAT), _FLOATS.as_pointer()), align=4)
        open_ = b.bitcast(b.fcmp_unordered("!=", low, high), ir.IntType(LANES))
        return b.icmp_unsigned("!=", open_, ir.IntType(LANES)(0))

    return types.boolean(types.intp, types.intp, types.float64, types.intp), generate


def _add_square(b: Any, x: Any, total: Any) -> Any:
    return b.fadd(b.fmul(x, x, flags=_MAY_FUSE), total, flags=_MAY_FUSE)


def _load_group(b: Any, base: Any, offset: Any) -> Any:
    place = b.bitcast(b.gep(base, [offset]), _FLOATS.as_pointer())
    return b.fpext(b.load(place, align=4), _DOUBLES)


# --- kernels ---


@kernel
def pack_rows(
    out: Array, norms: Array, source: Array, base: Any, rows: Array, terms: Array, first: Any, last: Any
) -> None:
    """Copy panels ``first`` to ``last`` - 1 of the left operand, ROWS rows each, term after term.

    Args:
        out: float64[panels, K, ROWS], flat; norms: float64[panels * ROWS], Euclidean, to a relative error
            below (K / 2 + 2) u.
        source: float32; base: offset of everything.
        rows: int64, offsets of all rows, the last one repeated up to whole panels; terms: int64[K].
    """
    count = terms.size
    for panel in range(first, last):
        at = panel * ROWS
        squares = norms[at : at + ROWS]
        squares[:] = 0.0
        for k in range(count):
            target = out[(panel * count + k) * ROWS : (panel * count + k + 1) * ROWS]
            place = base + terms[k]
            for i in range(ROWS):
                target[i] = np.float64(source[rows[at + i] + place])
            for i in range(ROWS):
                squares[i] += target[i] * target[i]
        for i in range(ROWS):
            squares[i] = math.sqrt(squares[i])


@kernel
def widen(out: Array, source: Array, first: Any, last: Any) -> None:
    """float64 of float32, numbers ``first`` to ``last`` - 1."""
    for i in range(first, last):
        out[i] = np.float64(source[i])


@kernel
def row_norms(
    norms: Array, source: Array, base: Any, rows: Array, terms: Array, by: Any, first: Any, last: Any
) -> None:
    """Norms of panels ``first`` to ``last`` - 1 of rows that are not packed, as `pack_rows` has them.

    Args:
        source: float64.
        terms: int64; where by is LANES, every LANES-th: those between lie side by side. Else by is 1.
    """
    sums = np.empty(ROWS * LANES, np.float64)
    source_at, rows_at, terms_at = source.ctypes.data + 8 * base, rows.ctypes.data, terms.ctypes.data
    for panel in range(first, last):
        sums[:] = 0.0
        if by == LANES:
            _square_rows(source_at, rows_at + 8 * panel * ROWS, terms_at, terms.size, sums.ctypes.data)
        else:
            for i in range(ROWS):
                start = base + rows[panel * ROWS + i]
                own = sums[i * LANES : (i + 1) * LANES]
                for k in range(terms.size):
                    x = source[start + terms[k]]
                    own[k % LANES] += x * x
        for i in range(ROWS):
            total = 0.0
            for j in range(LANES):
                total += sums[i * LANES + j]
            norms[panel * ROWS + i] = math.sqrt(total)


@kernel
def multiply(  # noqa: C901
    out: Array, out_base: Any, out_rows: Array, out_columns: Array, dense: bool,
    left: Array, left_base: Any, rows: Array, left_terms: Array, packed_left: bool, row_norms_: Array,
    right: Array, right_base: Any, columns: Array, groups: Array, right_terms: Array,
    packed_right: bool, side: bool,
    factor: float, most: Any, first_panel: Any, last_panel: Any, first_tile: Any, last_tile: Any,
    flagged: Array,
) -> Any:  # fmt: skip
    """Write the words of some panels times some tiles of columns; list those that are not certified.

    For a dot product of K terms, products of binary32 being exact in binary64, summed TERMS at a time,
    |c - exact| <= g ||a|| ||b|| with g below (TERMS + K / TERMS) u (1 + 4 K u). `factor` covers that, the
    norms' own error (K / 2 + 2) u each, the roundings of the two multiplications below, and those of
    c - e and c + e, as |c| <= (1 + g) ||a|| ||b||. Rounding is monotone, so equal ends prove the value. A
    norm that is not finite gives an e that is not, and equal ends are then impossible: -inf and inf, or
    NaN. Both ends zero is a value that rounds to +0 (N-2).

    Args:
        out: uint32; out_base + out_rows[row] + out_columns[column] is an element's place. dense: whether
            the columns of each group lie side by side there.
        left: float64; packed by `pack_rows`, or at left_base + rows[row] + left_terms[term].
        row_norms_: float64, of all rows up to whole panels.
        right: float32 at right_base + columns[column] + right_terms[term]; columns up to whole tiles, the
            last one repeated; groups: int64, starts of whole groups, repeated to SQUARED past the last tile.
        packed_right: copy it first; side: whether the columns of each group lie side by side, which they must
            if it is not copied.
        most: tiles that go through the terms together, a multiple of BLOCK.
        first_panel, last_panel, first_tile, last_tile: what to compute.
        flagged: int64, receives places in ``out``.

    Returns: how many were flagged.
    """
    count = left_terms.size
    n_rows, n_columns = out_rows.size, out_columns.size
    panels = last_panel - first_panel
    sums = np.empty(panels * most * TILE, np.float64)
    block = np.empty(most * TERMS * COLUMNS if packed_right else 1, np.float32)
    norms = np.empty(most * COLUMNS, np.float64)
    left_at, rows_at, left_terms_at = left.ctypes.data, rows.ctypes.data, left_terms.ctypes.data
    right_at, groups_at, right_terms_at = right.ctypes.data, groups.ctypes.data, right_terms.ctypes.data
    sums_at, block_at, norms_at = sums.ctypes.data, block.ctypes.data, norms.ctypes.data
    out_at = out.ctypes.data
    if not packed_left:
        left_at += 8 * left_base
    right_at += 4 * right_base
    flags = np.int64(0)
    for tile in range(first_tile, last_tile, most):
        width = min(most, last_tile - tile)
        sums[: panels * width * TILE] = 0.0
        norms[:] = 0.0
        for start in range(0, count, TERMS):
            size = min(np.int64(TERMS), count - start)
            if packed_right:
                _pack_columns(block, right, right_base, columns, right_terms, tile, width, start, size, side)
                first_at, tile_step, c_terms = block_at, 4 * TERMS * COLUMNS, _COLUMN_TERMS.ctypes.data
                first_groups, group_step = _BLOCK_RAMP.ctypes.data, 0
            else:
                first_at, tile_step, c_terms = right_at, 0, right_terms_at + 8 * start
                first_groups, group_step = groups_at + 8 * tile * GROUPS, 8 * GROUPS
            for t in range(0, width, SQUARED // GROUPS):
                c_at, g_at = first_at + t * tile_step, first_groups + t * group_step
                _square_groups(c_at, g_at, c_terms, size, norms_at + 8 * t * COLUMNS)
            for near in range(0, panels, PANELS):
                for t in range(width):
                    c_at, g_at = first_at + t * tile_step, first_groups + t * group_step
                    for panel in range(near, min(near + PANELS, panels)):
                        p = first_panel + panel
                        target = sums_at + 8 * (panel * width + t) * TILE
                        r_at, a_terms = rows_at + 8 * p * ROWS, left_terms_at + 8 * start
                        if packed_left:
                            a_at = left_at + 8 * (p * count + start) * ROWS
                            _multiply_packed(a_at, r_at, a_terms, c_at, g_at, c_terms, size, target)
                        else:
                            _multiply_lying(left_at, r_at, a_terms, c_at, g_at, c_terms, size, target)
        for j in range(width * COLUMNS):
            norms[j] = math.sqrt(norms[j])
        for panel in range(panels):
            for i in range(min(np.int64(ROWS), n_rows - (first_panel + panel) * ROWS)):
                row = (first_panel + panel) * ROWS + i
                scale = factor * row_norms_[row]
                place = out_base + out_rows[row]
                for g in range(width * GROUPS):
                    column = tile * COLUMNS + g * LANES
                    lanes: Any = min(np.int64(LANES), n_columns - column)
                    at = ((panel * width + g // GROUPS) * ROWS + i) * COLUMNS + g % GROUPS * LANES
                    if dense and lanes == LANES:
                        target = out_at + 4 * (place + out_columns[column])
                        if not _certify_group(sums_at + 8 * at, norms_at + 8 * g * LANES, scale, target):
                            continue
                    for j in range(lanes):
                        e = scale * norms[g * LANES + j]
                        low = np.float32(sums[at + j] - e)
                        high = np.float32(sums[at + j] + e)
                        word = place + out_columns[column + j]
                        out[word] = np.float32(low + _ZERO32).view(np.uint32)
                        if low == high:
                            continue
                        lies = left_base + rows[row]
                        if packed_left:
                            lies = (first_panel + panel) * count * ROWS + i
                        if (
                            sums[at + j] == 0.0
                            and e < math.inf
                            and _no_product(
                                left, lies, left_terms, packed_left,
                                right, right_base + columns[column + j], right_terms,
                            )
                        ):  # fmt: skip
                            out[word] = np.uint32(0)
                        else:
                            flagged[flags] = word
                            flags += 1
    return flags


@kernel
def _no_product(
    left: Array, left_at: Any, left_terms: Array, packed_left: bool, right: Array, right_at: Any, terms: Array
) -> Any:
    """Whether every product of a dot product of finite numbers is zero: its sum is then exactly +0 (N-2).

    Sparse gradients are full of these, and their bound is not zero.
    """
    for k in range(terms.size):
        a = left[left_at + k * ROWS] if packed_left else left[left_at + left_terms[k]]
        if a != 0.0 and right[right_at + terms[k]] != 0.0:
            return False
    return True


@kernel
def _pack_columns(
    block: Array, right: Array, base: Any, columns: Array, terms: Array, tile: Any, width: Any,
    start: Any, size: Any, side: bool,
) -> None:  # fmt: skip
    """Copy some terms of some tiles of columns side by side: float32[width, TERMS, COLUMNS]."""
    for t in range(width):
        own = columns[(tile + t) * COLUMNS : (tile + t + 1) * COLUMNS]
        for k in range(size):
            target = block[(t * TERMS + k) * COLUMNS : (t * TERMS + k + 1) * COLUMNS]
            place = base + terms[start + k]
            if side:
                for g in range(GROUPS):
                    piece = right[own[g * LANES] + place : own[g * LANES] + place + LANES]
                    for j in range(LANES):
                        target[g * LANES + j] = piece[j]
            else:
                for j in range(COLUMNS):
                    target[j] = right[own[j] + place]
