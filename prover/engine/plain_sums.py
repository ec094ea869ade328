"""Sums of numbers or products in plain binary64, certified by the sum of magnitudes (numerics.md, N-14).

The first tier of long sums that no matrix product has: means, variances, gradients of biases. What the
certificate leaves open goes to TwoSum (folds.py). Vector code as in tile_code.py; kernels release the GIL.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from prover.engine import store, sums, tile_code
from prover.engine.kernels import (
    FOLD_OPERAND_WIDTH,
    FOLD_OPERANDS,
    FOLD_OUT_SIZES,
    FOLD_REDUCE,
    FOLD_REDUCE_SIZES,
    FOLD_ROWS,
    FOLD_TERMS,
)
from prover.engine.sums import finish_sum, finish_sums
from prover.engine.tile_code import (
    DOUBLE,
    DOUBLES,
    FLOAT,
    I64,
    LANES,
    add_to,
    load_floats,
    over_terms,
    pointer,
    prefetch,
)

Array = NDArray[Any]
_intrinsic: Final[Any] = intrinsic
_kernel: Final = store.kernel(tile_code, sums)

GROUPS: Final = 4
WIDTH: Final = GROUPS * LANES
"""Terms, or outputs, that are added side by side."""

TERMS_LEAST: Final = 16
"""Terms from which a sum by columns pays for its certificate."""

_AHEAD: Final = 8


def _adder(*, two: bool, columns: bool) -> Any:
    """What adds WIDTH numbers, or products of numbers, at every step to sums, and magnitudes to sizes.

    Its arguments are the addresses of both operands (float32), what each step adds to them (int64, in
    words), the count >= 1 of steps, and the addresses of sums and sizes (float64): WIDTH of them with
    ``columns``, else LANES, to which the groups are added up. Without ``two`` only the first operand counts.
    """

    @_intrinsic
    def add(
        _context: Any, _a: Any, _b: Any, _by_a: Any, _by_b: Any, _count: Any, _sums: Any, _sizes: Any
    ) -> Any:
        def generate(context: Any, b: Any, _signature: Any, values: Any) -> Any:
            operands = [pointer(b, value, FLOAT) for value in values[: 2 if two else 1]]
            kind = ir.FunctionType(DOUBLES, [DOUBLES])
            name = f"llvm.fabs.v{LANES}f64"
            magnitude = b.module.globals.get(name) or ir.Function(b.module, kind, name)

            def body(step: Any, before: list[Any]) -> list[Any]:
                starts = [b.gep(x, [b.mul(step, by)]) for x, by in zip(operands, values[2:4], strict=False)]
                added, larger = [], []
                for start, by in zip(starts, values[2:4], strict=False):
                    for g in range(0, GROUPS * LANES, 16) if columns else ():
                        prefetch(b, b.gep(start, [b.add(b.mul(by, I64(_AHEAD)), I64(g))]))
                for g in range(GROUPS):
                    term, *others = (
                        b.fpext(load_floats(b, start, I64(g * LANES)), DOUBLES) for start in starts
                    )
                    for other in others:
                        term = b.fmul(term, other)  # exact
                    added.append(b.fadd(before[g], term))
                    larger.append(b.fadd(before[GROUPS + g], b.call(magnitude, [term])))
                return added + larger

            totals = over_terms(b, values[4], 2 * GROUPS, body)
            for value, vectors in zip(values[5:7], (totals[:GROUPS], totals[GROUPS:]), strict=True):
                together = vectors if columns else [reduce(b.fadd, vectors)]
                add_to(b, pointer(b, value, DOUBLE), together)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7), generate

    return add


_numbers_along: Final = _adder(two=False, columns=False)
_products_along: Final = _adder(two=True, columns=False)
_number_columns: Final = _adder(two=False, columns=True)
_product_columns: Final = _adder(two=True, columns=True)


@_kernel
def _locate(layout: Array, operand: Any, left: Any, loops: Any) -> Any:
    """Address of an operand at an output, counted over the first loops of the output."""
    at = FOLD_OPERANDS + FOLD_OPERAND_WIDTH * operand
    address = layout[at]
    for d in range(loops - 1, -1, -1):
        address += (left % layout[FOLD_OUT_SIZES + d]) * layout[at + 1 + d]
        left //= layout[FOLD_OUT_SIZES + d]
    return address


@_kernel
def _outer(layout: Array, operand: Any, run: Any) -> Any:
    """What a run adds to the address: runs are counted over all fold loops but the innermost."""
    at = FOLD_OPERANDS + FOLD_OPERAND_WIDTH * operand + 9
    address = np.int64(0)
    for d in range(layout[FOLD_REDUCE] - 2, -1, -1):
        address += (run % layout[FOLD_REDUCE_SIZES + d]) * layout[at + d]
        run //= layout[FOLD_REDUCE_SIZES + d]
    return address


@_kernel
def sum_along(out: Array, a: Array, b: Array, two: bool, layout: Array, flagged: Array) -> Any:
    """Sums whose innermost fold loop has its terms side by side; return how many are listed as open.

    No more than `depth` additions follow each other, so |s - exact| <= (depth u)(1 + depth u) sum |term|,
    which is the bound of `sums.finish_sum` with no errors known and the terms' magnitudes in their place.

    Args:
        out: uint32, an output after the other; a, b: float32, operands; only a unless ``two``.
        layout: of a fold; flagged: int64, places of outputs.
    """
    n_fold = layout[FOLD_REDUCE]
    inner = layout[FOLD_REDUCE_SIZES + n_fold - 1]
    runs = layout[FOLD_TERMS] // inner
    steps = inner // WIDTH
    depth = steps + GROUPS + runs * (inner - steps * WIDTH + 1) + LANES + 4
    sums_ = np.empty(LANES, np.float64)
    sizes = np.empty(LANES, np.float64)
    flags = np.int64(0)
    for o in range(layout[FOLD_ROWS]):
        at_a = _locate(layout, 0, o, layout[0])
        at_b = _locate(layout, 1, o, layout[0]) if two else at_a
        sums_[:] = 0.0
        sizes[:] = 0.0
        s = 0.0
        size = 0.0
        for run in range(runs):
            i = at_a + _outer(layout, 0, run)
            k = at_b + _outer(layout, 1, run) if two else i
            a_at, b_at = a.ctypes.data + 4 * i, b.ctypes.data + 4 * k
            if two:
                _products_along(a_at, b_at, WIDTH, WIDTH, steps, sums_.ctypes.data, sizes.ctypes.data)
            else:
                _numbers_along(a_at, b_at, WIDTH, WIDTH, steps, sums_.ctypes.data, sizes.ctypes.data)
            for j in range(steps * WIDTH, inner):
                term = np.float64(a[np.uint64(i + j)])
                if two:
                    term *= np.float64(b[np.uint64(k + j)])
                s += term
                size += abs(term)
        for j in range(LANES):
            s += sums_[j]
            size += sizes[j]
        word, ok = finish_sum(s, 0.0, size, depth)
        out[o] = word
        if not ok:
            flagged[flags] = o
            flags += 1
    return flags


@_kernel
def sum_columns(out: Array, a: Array, b: Array, two: bool, layout: Array, flagged: Array) -> Any:
    """As `sum_along`, for terms of neighbouring outputs that lie side by side; at least WIDTH outputs do."""
    n_out, n_fold = layout[0], layout[FOLD_REDUCE]
    last = layout[n_out]
    inner = layout[FOLD_REDUCE_SIZES + n_fold - 1]
    by = FOLD_OPERANDS + 9 + n_fold - 1
    by_a, by_b = layout[by], layout[by + FOLD_OPERAND_WIDTH]
    runs = layout[FOLD_TERMS] // inner
    depth = inner + runs
    sums_ = np.empty(WIDTH, np.float64)
    sizes = np.empty(WIDTH, np.float64)
    none = np.zeros(WIDTH, np.float64)
    flags = np.int64(0)
    for row in range(layout[FOLD_ROWS] // last):
        at_a = _locate(layout, 0, row, n_out - 1)
        at_b = _locate(layout, 1, row, n_out - 1) if two else at_a
        for block in range(0, last, WIDTH):
            first = min(np.int64(block), last - WIDTH)
            sums_[:] = 0.0
            sizes[:] = 0.0
            for run in range(runs):
                i = at_a + _outer(layout, 0, run) + first
                k = at_b + _outer(layout, 1, run) + first if two else i
                a_at, b_at = a.ctypes.data + 4 * i, b.ctypes.data + 4 * k
                if two:
                    _product_columns(a_at, b_at, by_a, by_b, inner, sums_.ctypes.data, sizes.ctypes.data)
                else:
                    _number_columns(a_at, b_at, by_a, by_a, inner, sums_.ctypes.data, sizes.ctypes.data)
            start = row * last + first
            if finish_sums(out[start : start + WIDTH], sums_, none, sizes, depth, WIDTH) > 0:
                for j in range(block - first, WIDTH):
                    _, ok = finish_sum(sums_[j], 0.0, sizes[j], depth)
                    if not ok:
                        flagged[flags] = start + j
                        flags += 1
    return flags


def plain_kernel(layout: Array, operands: int) -> Any:
    """The kernel for sums of one operand's numbers or of two operands' products, or None if there is none.

    Args:
        layout: of the fold.
        operands: 1 or 2, in the order of the code.
    """
    n_out, n_fold = int(layout[0]), int(layout[FOLD_REDUCE])
    ats = [FOLD_OPERANDS + FOLD_OPERAND_WIDTH * q for q in range(operands)]
    if layout[FOLD_REDUCE_SIZES + n_fold - 1] >= WIDTH and _beside(
        layout, [at + 9 + n_fold - 1 for at in ats]
    ):
        return sum_along
    columns = layout[n_out] >= WIDTH and layout[FOLD_TERMS] >= TERMS_LEAST
    return sum_columns if columns and _beside(layout, [at + n_out for at in ats]) else None


def _beside(layout: Array, places: Sequence[int]) -> bool:
    return all(layout[place] == 1 for place in places)
