"""Convolutions, with groups and transposed (lowering.md, L-65)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.numerics.opcodes import Fold, Op
from protocol.program.descriptor import Leaf
from prover.capture.lowering.context import FLOAT, Context, Rule
from prover.capture.lowering.reductions import sum_of
from prover.capture.lowering.windows import Row, Windows, gathering, spreading, walked, window_leaf
from prover.capture.views import Shape, View


def _grouped(group: int, within: int, size: int) -> Row:
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

    windows: Windows
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
        places = gathering(w, 3, taps) if windows else spreading(w, 3, taps)
        major, minor = (2, 3 + n) if windows else (3 + n, 2)
        leaves = [
            window_leaf(a, [*walked(0), _grouped(1, 3 + n, summed), *places], loops),
            window_leaf(
                weight, [_grouped(1, major, self.first), *walked(minor, *range(taps, taps + n))], loops
            ),
        ]
        out = (shape[0], self.groups, wanted, *shape[2:])
        return _product(c, leaves, out, (summed, *w.kernel), shape)

    def weight_gradient(self, c: Context, plain: View, windowed: View, shape: Shape) -> View:
        """[groups * first, second, taps]: over batch and positions, `plain` times its windows."""
        w, n = self.windows, self.windows.rank
        loops, positions = 4 + 2 * n, 4 + n  # group, first, second, taps; batch, positions
        leaves = [
            window_leaf(
                plain, [*walked(3 + n), _grouped(0, 1, self.first), *walked(*range(positions, loops))], loops
            ),
            window_leaf(
                windowed,
                [*walked(3 + n), _grouped(0, 2, self.second), *gathering(w, positions, 3)],
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
    w = Windows.of(weight.shape[2:], stride, padding, dilation)
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


RULES: dict[str, Rule] = {
    "aten.convolution.default": convolution,
    "aten.convolution_backward.default": convolution_backward,
}
