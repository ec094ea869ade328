"""Normalisation with two-pass statistics, and norms (lowering.md, L-60 to L-63)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from protocol.numerics.opcodes import Fold, Op
from prover.capture.lowering.context import FLOAT, Context, Rule
from prover.capture.lowering.reductions import dimensions, fold, mean_of, sum_of, variance_of
from prover.capture.views import View


def _reciprocal_deviation(c: Context, variance: View, eps: float) -> View:
    return c.unary(Op.RSQRT, c.add(variance, eps))


def _normalised(c: Context, a: View, mean: View, rstd: View) -> View:
    return c.mul(c.sub(a, mean), rstd)


def _scaled(c: Context, a: View, weight: View | None, bias: View | None) -> View:
    scaled = a if weight is None else c.mul(a, weight)
    return scaled if bias is None else c.add(scaled, bias)


def _mean_product(c: Context, a: View, b: View, dims: Sequence[int]) -> View:
    total = fold(c, Fold.SUM, [Op.MUL], [a, b], dims, keepdim=True)
    return c.div(total, float(math.prod(a.shape[d] for d in dims)))


def _input_gradient(c: Context, g: View, x_hat: View, rstd: View, dims: Sequence[int]) -> View:
    """rstd * ((g - mean(g)) - x_hat * mean(g * x_hat))."""
    centred = c.sub(g, mean_of(c, g, dims, keepdim=True))
    return c.mul(rstd, c.sub(centred, c.mul(x_hat, _mean_product(c, g, x_hat, dims))))


def _sum_product(c: Context, a: View, b: View, dims: Sequence[int]) -> View:
    return fold(c, Fold.SUM, [Op.MUL], [a, b], dims) if dims else c.mul(a, b)


def layer_norm(
    c: Context, a: View, shape: Sequence[int], weight: View | None, bias: View | None, eps: float
) -> list[View]:
    """((a - mean) * (1 / sqrt(var + eps))) * weight + bias, each rounded."""
    dims = list(range(a.rank - len(shape), a.rank))
    mean = mean_of(c, a, dims, keepdim=True)
    rstd = _reciprocal_deviation(c, variance_of(c, a, dims, 0, keepdim=True), eps)
    return [_scaled(c, _normalised(c, a, mean, rstd), weight, bias), mean, rstd]


def layer_norm_backward(
    c: Context,
    grad: View,
    a: View,
    shape: Sequence[int],
    mean: View,
    rstd: View,
    weight: View | None,
    bias: View | None,
    mask: Sequence[bool],
) -> list[View | None]:
    """Gradients of the input, the weight and the bias."""
    del bias
    lead = list(range(a.rank - len(shape)))
    dims = list(range(a.rank - len(shape), a.rank))
    x_hat = _normalised(c, a, mean, rstd)
    g = grad if weight is None else c.mul(grad, weight)
    return [
        _input_gradient(c, g, x_hat, rstd, dims) if mask[0] else None,
        _sum_product(c, grad, x_hat, lead) if mask[1] else None,
        sum_of(c, grad, lead) if mask[2] else None,
    ]


def _channel(view: View, rank: int) -> View:
    """[C] as [1, C, 1, ...]."""
    return view.reshape((1, view.numel, *(1,) * (rank - 2))) or view


def batch_norm(
    c: Context,
    a: View,
    weight: View | None,
    bias: View | None,
    running_mean: View | None,
    running_var: View | None,
    training: bool,
    momentum: float,
    eps: float,
) -> list[View]:
    """As layer_norm, over all dimensions but the channels; running statistics as L-63 says."""
    dims = [d for d in range(a.rank) if d != 1]
    if training or running_mean is None or running_var is None:
        mean, variance = mean_of(c, a, dims), variance_of(c, a, dims, 0, keepdim=False)
        if training and running_mean is not None and running_var is not None:
            unbiased = variance_of(c, a, dims, 1, keepdim=False)
            for place, new, old in ((3, mean, running_mean), (4, unbiased, running_var)):
                c.rebind(place, c.add(c.mul(momentum, new), c.mul(1 - momentum, old)))
    else:
        mean, variance = running_mean, running_var
    rstd = _reciprocal_deviation(c, variance, eps)
    x_hat = _normalised(c, a, _channel(mean, a.rank), _channel(rstd, a.rank))
    scale = None if weight is None else _channel(weight, a.rank)
    shift = None if bias is None else _channel(bias, a.rank)
    return [_scaled(c, x_hat, scale, shift), mean, rstd]


def batch_norm_backward(
    c: Context,
    grad: View,
    a: View,
    weight: View | None,
    running_mean: View | None,
    running_var: View | None,
    save_mean: View | None,
    save_rstd: View | None,
    training: bool,
    eps: float,
    mask: Sequence[bool],
) -> list[View | None]:
    """Gradients of the input, the weight and the bias."""
    dims = [d for d in range(a.rank) if d != 1]
    mean = save_mean if training else running_mean
    rstd = save_rstd
    if not training and running_var is not None:
        rstd = _reciprocal_deviation(c, running_var, eps)
    if mean is None or rstd is None:
        raise c.unsupported("it has neither batch nor running statistics")
    wide_rstd = _channel(rstd, a.rank)
    x_hat = _normalised(c, a, _channel(mean, a.rank), wide_rstd)
    g = grad if weight is None else c.mul(grad, _channel(weight, a.rank))
    if training:
        d_input = _input_gradient(c, g, x_hat, wide_rstd, dims) if mask[0] else None
    else:
        d_input = c.mul(g, wide_rstd) if mask[0] else None
    return [
        d_input,
        _sum_product(c, grad, x_hat, dims) if mask[1] else None,
        sum_of(c, grad, dims) if mask[2] else None,
    ]


def group_norm(
    c: Context,
    a: View,
    weight: View | None,
    bias: View | None,
    n: int,
    channels: int,
    inner: int,
    groups: int,
    eps: float,
) -> list[View]:
    """As layer_norm, over the channels of a group and what is inside them."""
    del channels, inner
    shape = (n, groups, a.numel // (n * groups))
    parts = a.reshape(shape) or c.builder.copy(a).reshape(shape) or a
    mean = mean_of(c, parts, [2], keepdim=True)
    rstd = _reciprocal_deviation(c, variance_of(c, parts, [2], 0, keepdim=True), eps)
    x_hat = _normalised(c, parts, mean, rstd).reshape(a.shape) or a
    scale = None if weight is None else _channel(weight, a.rank)
    shift = None if bias is None else _channel(bias, a.rank)
    return [_scaled(c, x_hat, scale, shift), mean.squeeze([2]), rstd.squeeze([2])]


def group_norm_backward(
    c: Context,
    grad: View,
    a: View,
    mean: View,
    rstd: View,
    weight: View | None,
    n: int,
    channels: int,
    inner: int,
    groups: int,
    mask: Sequence[bool],
) -> list[View | None]:
    """Gradients of the input, the weight and the bias."""
    del channels, inner
    shape = (n, groups, a.numel // (n * groups))
    parts = a.reshape(shape) or c.builder.copy(a).reshape(shape) or a
    wide_rstd = rstd.unsqueeze(2)
    x_hat = _normalised(c, parts, mean.unsqueeze(2), wide_rstd)
    g = grad if weight is None else c.mul(grad, _channel(weight, a.rank))
    g_parts = g.reshape(shape) or c.builder.copy(g).reshape(shape) or g
    dims = [d for d in range(a.rank) if d != 1]
    whole = x_hat.reshape(a.shape) or a
    d_input = _input_gradient(c, g_parts, x_hat, wide_rstd, [2]) if mask[0] else None
    return [
        None if d_input is None else d_input.reshape(a.shape),
        _sum_product(c, grad, whole, dims) if mask[1] else None,
        sum_of(c, grad, dims) if mask[2] else None,
    ]


def vector_norm(
    c: Context,
    a: View,
    order: float = 2,
    dims: int | Sequence[int] | None = None,
    keepdim: bool = False,
    **_: object,
) -> View:
    """round(sqrt(round(sum of a * a))) for order 2, round(sum of |a|) for order 1, max of |a| for
    infinity.
    """
    chosen = dimensions(a, dims)
    if order == 2:
        return c.sqrt(fold(c, Fold.SUM, [Op.MUL], [a, a], chosen, keepdim=keepdim))
    magnitude = c.builder.map(Op.ABS, a)
    if order == 1:
        return sum_of(c, magnitude, chosen, keepdim=keepdim)
    if order == math.inf:
        return fold(c, Fold.MAX, [], [magnitude], chosen, keepdim=keepdim, dtype=FLOAT)
    raise c.unsupported(f"the norm of order {order} has no formula; 1, 2 and infinity do")


def norm(
    c: Context, a: View, order: float | None = 2, dims: Sequence[int] | None = None, keepdim: bool = False
) -> View:
    """`torch.norm`, whose order may be left out."""
    return vector_norm(c, a, 2 if order is None else order, dims, keepdim)


RULES: dict[str, Rule] = {
    "aten.native_layer_norm.default": layer_norm,
    "aten.native_layer_norm_backward.default": layer_norm_backward,
    "aten.native_batch_norm.default": batch_norm,
    "aten._native_batch_norm_legit.default": batch_norm,
    "aten.native_batch_norm_backward.default": batch_norm_backward,
    "aten.native_group_norm.default": group_norm,
    "aten.native_group_norm_backward.default": group_norm_backward,
    "aten.norm.Scalar": norm,
    "aten.norm.ScalarOpt_dim": norm,
    "aten.linalg_vector_norm.default": vector_norm,
}
