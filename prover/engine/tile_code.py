"""Vector code of the tiles of matrix products: copying, multiplying, certifying (numerics.md, N-14).

A tile is ROWS x COLUMNS dot products, held in vector registers while the terms go by. Written as vector LLVM
code, which leaves no choice to an auto-vectoriser. Whether a product and its sum are fused is left to the
processor: the bound holds for both. Nothing near the certificate may be reordered.

Importing this module compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import binding, ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

_intrinsic: Final[Any] = intrinsic
_config: Final[Any] = config


def _shape() -> tuple[int, int, int]:
    """Rows of a tile, binary64 lanes of a vector, vectors of a row, as the processor has registers for."""
    named = _config.CPU_FEATURES
    features = (
        {name[1:] for name in named.split(",") if name.startswith("+")}
        if named
        else {name for name, has in binding.get_host_cpu_features().items() if has}
    )
    if "avx512f" in features:
        return 8, 8, 2
    return (4, 4, 3) if "avx2" in features else (4, 2, 2)


ROWS, LANES, GROUPS = _shape()
"""Rows of a tile; columns of a group, which fill a vector; groups of a tile. ROWS is a multiple of LANES."""

COLUMNS: Final = GROUPS * LANES
TILE: Final = ROWS * COLUMNS

_I1, _I8, _I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
DOUBLE = ir.DoubleType()
FLOAT = ir.FloatType()
DOUBLES = ir.VectorType(DOUBLE, LANES)
_FLOATS = ir.VectorType(FLOAT, LANES)
_BITS = ir.IntType(LANES)
_ZEROS = ir.Constant(DOUBLES, [0.0] * LANES)
_MAY_FUSE = ("contract",)
_AHEAD_LEFT: Final = 16
_AHEAD_RIGHT: Final = 8
"""Terms by which the operands of a tile are fetched ahead: they stream from the second cache."""

# Blocks, branches and values of LLVM, of which llvmlite has no types.
_Terms = Callable[[Any, list[Any]], list[Any]]


def pointer(b: Any, address: Any, kind: Any) -> Any:
    return b.inttoptr(address, kind.as_pointer())


def _entry(b: Any, table: Any, at: Any) -> Any:
    return b.load(b.gep(table, [at]))


def _splat(b: Any, number: Any) -> Any:
    undefined = ir.Constant(DOUBLES, ir.Undefined)
    first = b.insert_element(undefined, number, _I32(0))
    lanes = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return b.shuffle_vector(first, undefined, lanes)


def over_terms(b: Any, count: Any, width: int, body: _Terms) -> list[Any]:
    """Run body(term, vectors) -> vectors for count >= 1 terms, from zeros; return the last vectors."""
    before, loop, after = b.block, b.append_basic_block("terms"), b.append_basic_block("after")
    b.branch(loop)
    b.position_at_end(loop)
    term = b.phi(I64)
    sums = [b.phi(DOUBLES) for _ in range(width)]
    term.add_incoming(I64(0), before)
    for phi in sums:
        phi.add_incoming(_ZEROS, before)
    new = body(term, sums)
    following = b.add(term, I64(1))
    term.add_incoming(following, b.block)
    for phi, value in zip(sums, new, strict=True):
        phi.add_incoming(value, b.block)
    b.cbranch(b.icmp_signed("<", following, count), loop, after)
    b.position_at_end(after)
    return new


def _vector(b: Any, address: Any, at: Any, kind: Any) -> Any:
    """The place of a vector that begins at a number."""
    return b.bitcast(b.gep(address, [at]), kind.as_pointer())


def prefetch(b: Any, address: Any) -> None:
    bytes_ = _I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [bytes_, _I32, _I32, _I32])
    known = b.module.globals.get("llvm.prefetch.p0")
    function = known or ir.Function(b.module, kind, "llvm.prefetch.p0")
    b.call(function, [b.bitcast(address, bytes_), _I32(0), _I32(3), _I32(1)])


def add_to(b: Any, target: Any, vectors: list[Any]) -> None:
    for i, vector in enumerate(vectors):
        place = _vector(b, target, I64(i * LANES), DOUBLES)
        b.store(b.fadd(b.load(place, align=8), vector), place, align=8)


def _put(b: Any, target: Any, vectors: list[Any]) -> None:
    for i, vector in enumerate(vectors):
        b.store(vector, _vector(b, target, I64(i * LANES), DOUBLES), align=8)


def _add_product(b: Any, x: Any, y: Any, total: Any) -> Any:
    return b.fadd(b.fmul(x, y, flags=_MAY_FUSE), total, flags=_MAY_FUSE)


def load_floats(b: Any, base: Any, offset: Any) -> Any:
    return b.load(_vector(b, base, offset, _FLOATS), align=4)


def _gather(b: Any, bases: list[Any], term: Any) -> Any:
    """A vector of numbers that lie apart."""
    vector = ir.Constant(_FLOATS, ir.Undefined)
    for lane, base in enumerate(bases):
        vector = b.insert_element(vector, _entry(b, base, term), _I32(lane))
    return vector


def _packer(groups: int, *, side: bool) -> Any:
    """What copies groups of LANES lanes over some terms side by side, in binary64, and adds up their squares.

    out[term, lane] = source[offsets[lane] + terms[term]]; squares[lane] += out[term, lane]^2, term after
    term. Its arguments are the addresses of source (float32), offsets, terms (int64), the count >= 1, the
    addresses of out and squares (float64). With ``side`` each group's lanes lie side by side.
    """

    @_intrinsic
    def pack(
        _context: Any, _source: Any, _offsets: Any, _terms: Any, _count: Any, _out: Any, _squares: Any
    ) -> Any:
        def generate(context: Any, b: Any, _signature: Any, values: Any) -> Any:
            source = pointer(b, values[0], FLOAT)
            offsets, terms = (pointer(b, value, I64) for value in values[1:3])
            out, squares = (pointer(b, value, DOUBLE) for value in values[4:6])
            starts = range(0, groups * LANES, 1 if not side else LANES)
            bases = [b.gep(source, [_entry(b, offsets, I64(lane))]) for lane in starts]

            def body(term: Any, sums: list[Any]) -> list[Any]:
                at = _entry(b, terms, term)
                target = b.gep(out, [b.mul(term, I64(groups * LANES))])
                new = []
                for g in range(groups):
                    numbers = (
                        load_floats(b, bases[g], at)
                        if side
                        else _gather(b, bases[g * LANES : (g + 1) * LANES], at)
                    )
                    wide = b.fpext(numbers, DOUBLES)
                    b.store(wide, _vector(b, target, I64(g * LANES), DOUBLES), align=8)
                    new.append(_add_product(b, wide, wide, sums[g]))
                return new

            add_to(b, squares, over_terms(b, values[3], groups, body))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6), generate

    return pack


pack_columns_side: Final = _packer(GROUPS, side=True)
pack_columns_apart: Final = _packer(GROUPS, side=False)
pack_rows_side: Final = _packer(ROWS // LANES, side=True)
pack_rows_apart: Final = _packer(ROWS // LANES, side=False)


def _multiplier(*, packed: bool) -> Any:
    """What adds left[row, term] * right[term, column] to total[ROWS, COLUMNS], summed over the terms first.

    Its arguments are the addresses of left (float64), its rows, its terms (int64), right (float64, packed),
    the count >= 1, the address of the total (float64), and whether the total is fresh, so that it need not be
    zero. With ``packed`` left lies as a packer leaves it; else at left[rows[row] + terms[term]].
    """

    @_intrinsic
    def multiply(
        _context: Any, _left: Any, _rows: Any, _terms: Any, _right: Any, _count: Any, _total: Any, _fresh: Any
    ) -> Any:
        def generate(context: Any, b: Any, _signature: Any, values: Any) -> Any:
            a, row_table, terms, c = (
                pointer(b, value, kind)
                for value, kind in zip(values[:4], (DOUBLE, I64, I64, DOUBLE), strict=True)
            )
            row_at = [] if packed else [b.gep(a, [_entry(b, row_table, I64(i))]) for i in range(ROWS)]

            def body(term: Any, sums: list[Any]) -> list[Any]:
                right = b.gep(c, [b.mul(term, I64(COLUMNS))])
                numbers = [b.load(_vector(b, right, I64(g * LANES), DOUBLES), align=8) for g in range(GROUPS)]
                for g in range(0, GROUPS, max(8 // LANES, 1)):
                    prefetch(b, b.gep(right, [I64(_AHEAD_RIGHT * COLUMNS + g * LANES)]))
                if packed:
                    start = b.gep(a, [b.mul(term, I64(ROWS))])
                    prefetch(b, b.gep(start, [I64(_AHEAD_LEFT * ROWS)]))
                    left = [b.gep(start, [I64(i)]) for i in range(ROWS)]
                else:
                    at = _entry(b, terms, term)
                    left = [b.gep(row, [at]) for row in row_at]
                new = []
                for i in range(ROWS):
                    factor = _splat(b, b.load(left[i]))
                    new += [
                        _add_product(b, factor, number, sums[i * GROUPS + g])
                        for g, number in enumerate(numbers)
                    ]
                return new

            products = over_terms(b, values[4], TILE // LANES, body)
            total = pointer(b, values[5], DOUBLE)
            with b.if_else(values[6]) as (fresh, used):
                with fresh:
                    _put(b, total, products)
                with used:
                    add_to(b, total, products)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6, types.boolean), generate

    return multiply


multiply_packed: Final = _multiplier(packed=True)
multiply_lying: Final = _multiplier(packed=False)


@_intrinsic
def square_rows(_context: Any, _left: Any, _rows: Any, _terms: Any, _count: Any, _total: Any) -> Any:
    """total[ROWS, LANES] += the squares of left[row + term + lane], float64, over count >= 1 terms."""

    def generate(context: Any, b: Any, _signature: Any, values: Any) -> Any:
        a, row_table, terms = (
            pointer(b, value, kind) for value, kind in zip(values[:3], (DOUBLE, I64, I64), strict=True)
        )
        row_at = [b.gep(a, [_entry(b, row_table, I64(i))]) for i in range(ROWS)]

        def body(at: Any, sums: list[Any]) -> list[Any]:
            term = _entry(b, terms, at)
            loads = [b.load(_vector(b, row, term, DOUBLES), align=8) for row in row_at]
            return [_add_product(b, x, x, s) for x, s in zip(loads, sums, strict=True)]

        add_to(b, pointer(b, values[4], DOUBLE), over_terms(b, values[3], ROWS, body))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), generate


def _lanes(b: Any, bits: Any, group: int) -> Any:
    """The bits of a group of columns, a lane each."""
    own = b.trunc(b.lshr(bits, I64(group * LANES)), _BITS)
    return b.bitcast(own, ir.VectorType(_I1, LANES))


def _bits(b: Any, groups: list[Any]) -> Any:
    """The lanes of all groups, a bit each."""
    total = I64(0)
    for g, lanes in enumerate(groups):
        total = b.or_(total, b.shl(b.zext(b.bitcast(lanes, _BITS), I64), I64(g * LANES)))
    return total


def _certify(b: Any, c: Any, e: Any, met: Any, out: Any) -> tuple[Any, Any]:
    """Write the words of a group; return per lane whether it is open, and if so whether its sum is zero."""
    low, high = (b.fptrunc(end, _FLOATS) for end in (b.fsub(c, e), b.fadd(c, e)))
    zeros = ir.Constant(_FLOATS, [0.0] * LANES)
    infinite = ir.Constant(DOUBLES, [float("inf")] * LANES)
    open_ = b.fcmp_unordered("!=", low, high)
    zero = b.and_(open_, b.and_(b.fcmp_ordered("==", c, _ZEROS), b.fcmp_ordered("<", e, infinite)))
    empty = b.and_(zero, b.not_(met))
    b.store(b.select(empty, zeros, b.fadd(low, zeros)), out, align=4)  # -0 becomes +0
    return b.and_(open_, b.not_(empty)), b.and_(zero, met)


@_intrinsic
def certify_tile(
    _context: Any, _sums: Any, _norms: Any, _scales: Any, _rows: Any, _columns: Any, _out: Any, _met: Any,
    _open: Any, _zero: Any,
) -> Any:  # fmt: skip
    """Write the words of a tile; return whether one of them is not certified. See `tiles.multiply`.

    Its arguments are the addresses of the sums, of the norms per column, of the scales per row (float64), of
    the places per row and per column (int64), of the output, and of three int64 per row, a bit for each
    column: given, whether any product is not zero; written, whether the word is open, and whether it is and
    its sum is zero. Columns of a group lie side by side.
    """

    def generate(_context: Any, b: Any, _signature: Any, values: Any) -> Any:
        sums, norms, scales = (pointer(b, value, DOUBLE) for value in values[:3])
        rows, columns, met, open_at, zero_at = (
            pointer(b, value, I64) for value in (*values[3:5], *values[6:9])
        )
        out = pointer(b, values[5], FLOAT)
        norm = [b.load(_vector(b, norms, I64(g * LANES), DOUBLES), align=8) for g in range(GROUPS)]
        starts = [b.gep(out, [_entry(b, columns, I64(g * LANES))]) for g in range(GROUPS)]
        any_open = I64(0)
        for i in range(ROWS):
            scale = _splat(b, b.load(b.gep(scales, [I64(i)])))
            row, bits = _entry(b, rows, I64(i)), _entry(b, met, I64(i))
            masks = []
            for g in range(GROUPS):
                c = b.load(_vector(b, sums, I64((i * GROUPS + g) * LANES), DOUBLES), align=8)
                place = _vector(b, starts[g], row, _FLOATS)
                masks.append(_certify(b, c, b.fmul(norm[g], scale), _lanes(b, bits, g), place))
            for target, groups in zip((open_at, zero_at), zip(*masks, strict=True), strict=True):
                b.store(_bits(b, list(groups)), b.gep(target, [I64(i)]))
            any_open = b.or_(any_open, _bits(b, [open_ for open_, _ in masks]))
        return b.icmp_unsigned("!=", any_open, I64(0))

    return types.boolean(*[types.intp] * 9), generate
