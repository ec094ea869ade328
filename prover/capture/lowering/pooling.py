"""Pooling and upsampling (lowering.md, L-66 to L-68)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from protocol.numerics.opcodes import Fold, Op
from prover.capture.builder import index_leaf
from prover.capture.lowering.context import FLOAT, Context, Rule
from prover.capture.lowering.windows import Windows, gathering, spreading, walked, window_leaf
from prover.capture.views import Shape, View, contiguous_strides

_MINUS_INFINITY = 0xFF800000
_NOWHERE = 0xFFFFFFFF


def _planes(c: Context, a: View) -> View:
    """[..., H, W] as [planes, H, W] of a dense tensor."""
    shape = (math.prod(a.shape[:-2]), *a.shape[-2:])
    return c.builder.dense(a).reshape(shape) or a


def max_pool(
    c: Context,
    a: View,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> list[View]:
    """Max over each window, outside -inf; the second result is the first winner's place in the window."""
    del ceil_mode  # the result's shape says how many windows there are
    w = Windows.of(_pair(kernel), stride, padding, dilation)
    source = _planes(c, a)
    leaf = window_leaf(source, [*walked(0), *gathering(w, 1, 3)], 5, _MINUS_INFINITY)
    out = (source.shape[0], *c.shape[-2:])
    results = [
        c.builder.node([0], [leaf], out, dtype=dtype, reduce=w.kernel, fold=kind)
        for kind, dtype in ((Fold.MAX, FLOAT), (Fold.ARGMAX, torch.int64))
    ]
    for user in c.users(1):
        if "pool2d_with_indices_backward" not in user:
            raise c.unsupported(f"its indices are places within windows and have no other use ({user})")
    return [result.reshape(c.shape) or result for result in results]


def max_pool_backward(
    c: Context,
    grad: View,
    a: View,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    places: View,
) -> View:
    """For every position the exact sum of the gradients of the windows that it won."""
    del ceil_mode
    w = Windows.of(_pair(kernel), stride, padding, dilation)
    dense_g, dense_p = _planes(c, grad), _planes(c, places)
    out = (dense_g.shape[0], *a.shape[-2:])
    address = [*walked(0), *spreading(w, 1, 3)]
    zero = c.number(0.0, FLOAT).broadcast((*out, *w.kernel)).leaf()
    leaves = [
        window_leaf(dense_p, address, 5, _NOWHERE),
        index_leaf((0, 0, 0, *contiguous_strides(w.kernel))),
        window_leaf(dense_g, address, 5),
        zero,
    ]
    code = [0, 1, Op.IEQ, 2, 3, Op.SELECT]
    result = c.builder.node(code, leaves, out, dtype=FLOAT, reduce=w.kernel, fold=Fold.SUM)
    return result.reshape(a.shape) or result


def _divisor(c: Context, w: Windows, ceil_mode: bool, count_include_pad: bool, override: int | None) -> float:
    if ceil_mode or (any(w.padding) and not count_include_pad):
        raise c.unsupported("windows of different sizes have no formula; use ceil_mode=False and no padding")
    return float(override or math.prod(w.kernel))


def avg_pool(
    c: Context,
    a: View,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> View:
    """round(round(sum over the window) / elements of the window)."""
    w = Windows.of(_pair(kernel), stride, padding)
    divisor = _divisor(c, w, ceil_mode, count_include_pad, divisor_override)
    source = _planes(c, a)
    leaf = window_leaf(source, [*walked(0), *gathering(w, 1, 3)], 5)
    out = (source.shape[0], *c.shape[-2:])
    total = c.builder.node([0], [leaf], out, dtype=FLOAT, reduce=w.kernel, fold=Fold.SUM)
    return c.div(total.reshape(c.shape) or total, divisor)


def avg_pool_backward(
    c: Context,
    grad: View,
    a: View,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> View:
    """For every position round(round(sum of the gradients of its windows) / elements of a window)."""
    w = Windows.of(_pair(kernel), stride, padding)
    divisor = _divisor(c, w, ceil_mode, count_include_pad, divisor_override)
    dense_g = _planes(c, grad)
    out = (dense_g.shape[0], *a.shape[-2:])
    leaf = window_leaf(dense_g, [*walked(0), *spreading(w, 1, 3)], 5)
    total = c.builder.node([0], [leaf], out, dtype=FLOAT, reduce=w.kernel, fold=Fold.SUM)
    return c.div(total.reshape(a.shape) or total, divisor)


def _cells(c: Context, outer: Shape, inner: Shape) -> Shape:
    """Sizes of the cells that a coarser grid cuts a finer one into."""
    if any(o % i for o, i in zip(outer, inner, strict=True)):
        raise c.unsupported(
            f"{outer} does not fall into {inner} equal windows; only whole multiples have a formula"
        )
    return tuple(o // i for o, i in zip(outer, inner, strict=True))


def adaptive_avg_pool(c: Context, a: View, size: Sequence[int]) -> View:
    """avg_pool with the windows that cut the input into a grid of that size."""
    del size
    return avg_pool(c, a, _cells(c, a.shape[-2:], c.shape[-2:]))


def adaptive_avg_pool_backward(c: Context, grad: View, a: View) -> View:
    """Its gradient."""
    return avg_pool_backward(
        c, grad, a, _cells(c, a.shape[-2:], grad.shape[-2:]), (), (0,), False, True, None
    )


def upsample_nearest(c: Context, a: View, size: Sequence[int], *_: object) -> View:
    """Every element repeated over a cell."""
    del size
    cell = _cells(c, c.shape[-2:], a.shape[-2:])
    view = a.unsqueeze(a.rank).unsqueeze(a.rank - 1)
    wide = view.broadcast((*a.shape[:-1], cell[0], a.shape[-1], cell[1]))
    return wide.reshape(c.shape) or c.builder.copy(wide).reshape(c.shape) or wide


def upsample_nearest_backward(
    c: Context, grad: View, size: Sequence[int], shape: Sequence[int], *_: object
) -> View:
    """The exact sum of the gradients of a cell."""
    del size
    cell = _cells(c, grad.shape[-2:], tuple(shape[-2:]))
    leaf = window_leaf(
        source := _planes(c, grad), [*walked(0), (0, {1: cell[0], 3: 1}, 1), (0, {2: cell[1], 4: 1}, 1)], 5
    )
    out = (source.shape[0], *shape[-2:])
    total = c.builder.node([0], [leaf], out, dtype=FLOAT, reduce=cell, fold=Fold.SUM)
    return total.reshape(tuple(shape)) or total


def _pair(kernel: Sequence[int]) -> Sequence[int]:
    return tuple(kernel) * 2 if len(kernel) == 1 else kernel


RULES: dict[str, Rule] = {
    "aten.max_pool2d_with_indices.default": max_pool,
    "aten.max_pool2d_with_indices_backward.default": max_pool_backward,
    "aten.avg_pool2d.default": avg_pool,
    "aten.avg_pool2d_backward.default": avg_pool_backward,
    "aten._adaptive_avg_pool2d.default": adaptive_avg_pool,
    "aten._adaptive_avg_pool2d_backward.default": adaptive_avg_pool_backward,
    "aten.upsample_nearest2d.default": upsample_nearest,
    "aten.upsample_nearest2d_backward.default": upsample_nearest_backward,
}
