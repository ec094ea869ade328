"""Convolutions and pooling: windows are addresses with bounds and divisors (lowering.md, L-65 to L-67)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from protocol.numerics.opcodes import Fold, Op
from protocol.program.descriptor import Leaf
from prover.capture.builder import index_leaf
from prover.capture.lowering.context import FLOAT, Context, Rule
from prover.capture.lowering.reductions import sum_of
from prover.capture.views import Shape, View, contiguous_strides

_MINUS_INFINITY = 0xFF800000
_NOWHERE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class _Windows:
    """How windows of a kernel lie over an input: in = out * stride + tap * dilation - padding."""

    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape

    @classmethod
    def of(
        cls,
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int] = (1,),
    ) -> _Windows:
        n = len(kernel)

        def full(values: Sequence[int]) -> Shape:
            return tuple(values) * n if len(values) == 1 else tuple(values)

        return cls(
            kernel=tuple(kernel),
            stride=full(stride or kernel),
            padding=full(padding),
            dilation=full(dilation),
        )

    @property
    def rank(self) -> int:
        return len(self.kernel)


_Row = tuple[int, dict[int, int], int]
"""One dimension of an address: offset, stride by loop, divisor."""


def _leaf(view: View, rows: Sequence[_Row], loops: int, fill: int = 0) -> Leaf:
    """Operand leaf over a dense view, one row per dimension."""
    return Leaf(
        source=view.source,
        source_id=view.source_id,
        fill=fill,
        offsets=tuple(offset for offset, _, _ in rows),
        sizes=view.shape,
        divisors=tuple(divisor for _, _, divisor in rows),
        strides=tuple(tuple(by.get(j, 0) for j in range(loops)) for _, by, _ in rows),
    )


def _gathering(w: _Windows, out: int, taps: int) -> list[_Row]:
    """Input positions of windows: loops `out`.. walk windows, loops `taps`.. the kernel."""
    return [(-w.padding[d], {out + d: w.stride[d], taps + d: w.dilation[d]}, 1) for d in range(w.rank)]


def _spreading(w: _Windows, position: int, taps: int) -> list[_Row]:
    """Windows that hold an input position at a tap, by exact division with the stride."""
    return [(w.padding[d], {position + d: 1, taps + d: -w.dilation[d]}, w.stride[d]) for d in range(w.rank)]


def _plain(*loops: int) -> list[_Row]:
    return [(0, {j: 1}, 1) for j in loops]


def _grouped(group: int, within: int, size: int) -> _Row:
    """Channel group * size + within."""
    return 0, {group: size, within: 1}, 1


def _product(c: Context, leaves: Sequence[Leaf], out: Shape, reduce: Shape, shape: Shape) -> View:
    result = c.builder.node([0, 1, Op.MUL], leaves, out, dtype=FLOAT, reduce=reduce, fold=Fold.SUM)
    return result.reshape(shape) or result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Convolution:
    """A convolution with its groups; the transposed one is the same with its two directions exchanged.

    Attributes:
        first, second: channels of a group in the first two dimensions of the weight [groups * first, second].
    """

    windows: _Windows
    groups: int
    first: int
    second: int

    def spread(self, c: Context, a: View, weight: View, shape: Shape, *, windows: bool) -> View:
        """[batch, channels, positions] from [batch, channels, ...] over channels and taps.

        Args:
            windows: every position sums its window of `a`; else, the windows of `a` that it lies in.
        """
        w, n = self.windows, self.windows.rank
        wanted, summed = (self.first, self.second) if windows else (self.second, self.first)
        loops, taps = 4 + 2 * n, 4 + n  # batch, group, wanted channel, positions; summed channel, taps
        places = _gathering(w, 3, taps) if windows else _spreading(w, 3, taps)
        major, minor = (2, 3 + n) if windows else (3 + n, 2)
        leaves = [
            _leaf(a, [*_plain(0), _grouped(1, 3 + n, summed), *places], loops),
            _leaf(weight, [_grouped(1, major, self.first), *_plain(minor, *range(taps, taps + n))], loops),
        ]
        out = (shape[0], self.groups, wanted, *shape[2:])
        return _product(c, leaves, out, (summed, *w.kernel), shape)

    def weight_gradient(self, c: Context, plain: View, windowed: View, shape: Shape) -> View:
        """[groups * first, second, taps]: over batch and positions, `plain` times its windows."""
        w, n = self.windows, self.windows.rank
        loops, positions = 4 + 2 * n, 4 + n  # group, first, second, taps; batch, positions
        leaves = [
            _leaf(
                plain, [*_plain(3 + n), _grouped(0, 1, self.first), *_plain(*range(positions, loops))], loops
            ),
            _leaf(
                windowed,
                [*_plain(3 + n), _grouped(0, 2, self.second), *_gathering(w, positions, 3)],
                loops,
            ),
        ]
        out = (self.groups, self.first, self.second, *w.kernel)
        return _product(c, leaves, out, (plain.shape[0], *plain.shape[2:]), shape)


def _convolution(
    c: Context,
    weight: View,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> _Convolution:
    w = _Windows.of(weight.shape[2:], stride, padding, dilation)
    if w.rank > 2:
        raise c.unsupported(
            "only convolutions of one or two dimensions have a formula; fold a dimension into the batch"
        )
    first = weight.shape[0] // groups
    return _Convolution(windows=w, groups=groups, first=first, second=weight.shape[1])


def convolution(
    c: Context,
    a: View,
    weight: View,
    bias: View | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> View:
    """Every element one exact sum over the channels of its group and taps, rounded once; then + bias."""
    del output_padding  # the result's shape says how far positions go
    made = _convolution(c, weight, stride, padding, dilation, groups)
    dense_a, dense_w = c.builder.dense(a), c.builder.dense(weight)
    result = made.spread(c, dense_a, dense_w, c.shape, windows=not transposed)
    if bias is None:
        return result
    return c.add(result, bias.reshape((bias.numel, *(1,) * made.windows.rank)) or bias)


def convolution_backward(
    c: Context,
    grad: View,
    a: View,
    weight: View,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    mask: Sequence[bool],
) -> list[View | None]:
    """Gradients of input, weight and bias, each element one exact sum."""
    del bias_sizes, output_padding
    made = _convolution(c, weight, stride, padding, dilation, groups)
    dense_g, dense_a, dense_w = (c.builder.dense(v) for v in (grad, a, weight))
    plain, windowed = (dense_a, dense_g) if transposed else (dense_g, dense_a)
    return [
        made.spread(c, dense_g, dense_w, a.shape, windows=transposed) if mask[0] else None,
        made.weight_gradient(c, plain, windowed, weight.shape) if mask[1] else None,
        sum_of(c, grad, [d for d in range(grad.rank) if d != 1]) if mask[2] else None,
    ]


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
    w = _Windows.of(_pair(kernel), stride, padding, dilation)
    source = _planes(c, a)
    leaf = _leaf(source, [*_plain(0), *_gathering(w, 1, 3)], 5, _MINUS_INFINITY)
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
    w = _Windows.of(_pair(kernel), stride, padding, dilation)
    dense_g, dense_p = _planes(c, grad), _planes(c, places)
    out = (dense_g.shape[0], *a.shape[-2:])
    address = [*_plain(0), *_spreading(w, 1, 3)]
    zero = c.number(0.0, FLOAT).broadcast((*out, *w.kernel)).leaf()
    leaves = [
        _leaf(dense_p, address, 5, _NOWHERE),
        index_leaf((0, 0, 0, *contiguous_strides(w.kernel))),
        _leaf(dense_g, address, 5),
        zero,
    ]
    code = [0, 1, Op.IEQ, 2, 3, Op.SELECT]
    result = c.builder.node(code, leaves, out, dtype=FLOAT, reduce=w.kernel, fold=Fold.SUM)
    return result.reshape(a.shape) or result


def _divisor(
    c: Context, w: _Windows, ceil_mode: bool, count_include_pad: bool, override: int | None
) -> float:
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
    w = _Windows.of(_pair(kernel), stride, padding)
    divisor = _divisor(c, w, ceil_mode, count_include_pad, divisor_override)
    source = _planes(c, a)
    leaf = _leaf(source, [*_plain(0), *_gathering(w, 1, 3)], 5)
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
    w = _Windows.of(_pair(kernel), stride, padding)
    divisor = _divisor(c, w, ceil_mode, count_include_pad, divisor_override)
    dense_g = _planes(c, grad)
    out = (dense_g.shape[0], *a.shape[-2:])
    leaf = _leaf(dense_g, [*_plain(0), *_spreading(w, 1, 3)], 5)
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
    leaf = _leaf(
        source := _planes(c, grad), [*_plain(0), (0, {1: cell[0], 3: 1}, 1), (0, {2: cell[1], 4: 1}, 1)], 5
    )
    out = (source.shape[0], *shape[-2:])
    total = c.builder.node([0], [leaf], out, dtype=FLOAT, reduce=cell, fold=Fold.SUM)
    return total.reshape(tuple(shape)) or total


def _pair(kernel: Sequence[int]) -> Sequence[int]:
    return tuple(kernel) * 2 if len(kernel) == 1 else kernel


RULES: dict[str, Rule] = {
    "aten.convolution.default": convolution,
    "aten.convolution_backward.default": convolution_backward,
    "aten.max_pool2d_with_indices.default": max_pool,
    "aten.max_pool2d_with_indices_backward.default": max_pool_backward,
    "aten.avg_pool2d.default": avg_pool,
    "aten.avg_pool2d_backward.default": avg_pool_backward,
    "aten._adaptive_avg_pool2d.default": adaptive_avg_pool,
    "aten._adaptive_avg_pool2d_backward.default": adaptive_avg_pool_backward,
    "aten.upsample_nearest2d.default": upsample_nearest,
    "aten.upsample_nearest2d_backward.default": upsample_nearest_backward,
}
