"""Sums, extremes, products of matrices, softmax (lowering.md, L-40 to L-49)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from protocol.numerics.opcodes import Fold, Op
from prover.capture.builder import index_leaf
from prover.capture.lowering.context import FLOAT, Context, Operand, Rule
from prover.capture.views import View

Dims = int | Sequence[int] | None


def dimensions(a: View, dims: Dims) -> list[int]:
    """Return dimension numbers from the front; none given means all."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return list(range(a.rank))
    return sorted({a.axis(d) for d in ([dims] if isinstance(dims, int) else dims)}) if a.rank else []


def fold(
    c: Context,
    kind: Fold,
    code: Sequence[Op],
    operands: Sequence[View],
    dims: Sequence[int],
    *,
    keepdim: bool = False,
    dtype: torch.dtype = FLOAT,
) -> View:
    """Add a fold over some dimensions of operands that share one shape."""
    first = operands[0]
    kept = [d for d in range(first.rank) if d not in dims]
    out, reduce = tuple(first.shape[d] for d in kept), tuple(first.shape[d] for d in dims)
    moved = [view.permute([*kept, *dims]) for view in operands]
    if kind is Fold.SUM or math.prod(reduce) > 1 or dtype != FLOAT:
        result = c.builder.expression(code, moved, out, dtype=dtype, reduce=reduce, fold=kind)
    else:
        result = moved[0].reshape(out) or moved[0]
    if keepdim:
        for d in dims:
            result = result.unsqueeze(d)
    return result


def sum_of(c: Context, a: View, dims: Sequence[int], *, keepdim: bool = False) -> View:
    """Return the exact sum over some dimensions, rounded once; a sum of one term is the term."""
    if math.prod(a.shape[d] for d in dims) == 1 and a.dtype == FLOAT:
        view = a.squeeze(list(dims)) if dims else a
        for d in dims if keepdim else ():
            view = view.unsqueeze(d)
        return view
    return fold(c, Fold.SUM, [] if a.dtype == FLOAT else [Op.I2F], [a], dims, keepdim=keepdim)


def sum_(c: Context, a: View, dims: Dims = None, keepdim: bool = False, **_: Any) -> View:
    """round(sum of a). A count of bools is exact below 2**24 and stays a float word."""
    if a.dtype == torch.bool and a.numel < 1 << 24:
        return sum_of(c, a, dimensions(a, dims), keepdim=keepdim)
    if c.dtype != FLOAT:
        raise c.unsupported("sums of integers have no node; convert the tensor to float32 first")
    return sum_of(c, a, dimensions(a, dims), keepdim=keepdim)


def mean_of(c: Context, a: View, dims: Sequence[int], *, keepdim: bool = False) -> View:
    """Return round(round(sum of a) / n)."""
    count = math.prod(a.shape[d] for d in dims)
    total = sum_of(c, a, dims, keepdim=keepdim)
    return total if count == 1 else c.div(total, float(count))


def mean(c: Context, a: View, dims: Dims = None, keepdim: bool = False, **_: Any) -> View:
    """round(round(sum of a) / n)."""
    return mean_of(c, c.cast(a, FLOAT), dimensions(a, dims), keepdim=keepdim)


def variance_of(c: Context, a: View, dims: Sequence[int], correction: float, *, keepdim: bool) -> View:
    """Return the two-pass variance: round(round(sum of d * d) / (n - correction)) with d = a - mean."""
    centred = c.sub(a, mean_of(c, a, dims, keepdim=True))
    total = fold(c, Fold.SUM, [Op.MUL], [centred, centred], dims, keepdim=keepdim)
    divisor = max(math.prod(a.shape[d] for d in dims) - correction, 0.0)
    return c.div(total, divisor)


def variance(
    c: Context, a: View, dims: Dims = None, *, correction: float | None = 1, keepdim: bool = False
) -> View:
    """Two passes."""
    return variance_of(c, a, dimensions(a, dims), 1 if correction is None else correction, keepdim=keepdim)


def deviation(
    c: Context, a: View, dims: Dims = None, *, correction: float | None = 1, keepdim: bool = False
) -> View:
    """Square root of the variance."""
    return c.sqrt(variance(c, a, dims, correction=correction, keepdim=keepdim))


def amax(c: Context, a: View, dims: Dims = None, keepdim: bool = False) -> View:
    """The largest; NaN wins."""
    return _largest(c, a, dimensions(a, dims), keepdim)


def amin(c: Context, a: View, dims: Dims = None, keepdim: bool = False) -> View:
    """-max(-a)."""
    return c.neg(_largest(c, c.neg(a), dimensions(a, dims), keepdim))


def _largest(c: Context, a: View, dims: Sequence[int], keepdim: bool) -> View:
    if a.dtype != FLOAT:
        raise c.unsupported("folds of integers have no node; convert the tensor to float32 first")
    return fold(c, Fold.MAX, [], [a], dims, keepdim=keepdim)


def max_dim(c: Context, a: View, dim: int, keepdim: bool = False) -> list[View]:
    """The largest and where it first stands."""
    dims = dimensions(a, dim)
    return [_largest(c, a, dims, keepdim), argmax(c, a, dim, keepdim)]


def min_dim(c: Context, a: View, dim: int, keepdim: bool = False) -> list[View]:
    """The smallest and where it first stands, as those of -a."""
    value, place = max_dim(c, c.neg(a), dim, keepdim)
    return [c.neg(value), place]


def var_mean(
    c: Context, a: View, dims: Dims = None, *, correction: float | None = 1, keepdim: bool = False
) -> list[View]:
    """Variance and mean."""
    mean_view = mean_of(c, a, dimensions(a, dims), keepdim=keepdim)
    return [variance(c, a, dims, correction=correction, keepdim=keepdim), mean_view]


def argmax(c: Context, a: View, dim: int | None = None, keepdim: bool = False) -> View:
    """Where the largest first stands."""
    if a.dtype != FLOAT:
        raise c.unsupported("folds of integers have no node; convert the tensor to float32 first")
    return fold(c, Fold.ARGMAX, [], [a], dimensions(a, dim), keepdim=keepdim, dtype=torch.int64)


def product(c: Context, a: View, b: View) -> View:
    """Return the matrix product over the last of a and the last but one of b, leading dimensions alike."""
    lead = a.shape[:-2]
    out = (*lead, a.shape[-2], b.shape[-1])
    left = a.unsqueeze(-2)  # ... m 1 k
    right = b.transpose(-1, -2).unsqueeze(-3)  # ... 1 n k
    return c.builder.expression(
        [Op.MUL], [left, right], out, dtype=FLOAT, reduce=(a.shape[-1],), fold=Fold.SUM
    )


def mm(c: Context, a: View, b: View) -> View:
    """Every element one exact dot product, rounded once."""
    return product(c, *c.floats(a, b))


def dot(c: Context, a: View, b: View) -> View:
    """One exact dot product."""
    return product(c, a.unsqueeze(0), b.unsqueeze(1)).reshape(()) or a


def mv(c: Context, a: View, b: View) -> View:
    """Matrix times vector."""
    return product(c, a, b.unsqueeze(1)).squeeze([1])


def addmm(c: Context, bias: View, a: View, b: View, *, beta: float = 1, alpha: float = 1) -> View:
    """round(beta * bias + alpha * round(a @ b)), each rounded."""
    return c.add(c.mul(product(c, a, b), alpha), c.mul(bias, beta))


def softmax(c: Context, a: View, dim: int, half: bool = False) -> View:
    """e = exp(a - max): e / sum of e."""
    del half
    if a.rank == 0:
        return c.number(1.0, FLOAT)
    e = c.exp(c.sub(a, _largest(c, a, [a.axis(dim)], keepdim=True)))
    return c.div(e, sum_of(c, e, [a.axis(dim)], keepdim=True))


def safe_softmax(c: Context, a: View, dim: int, dtype: torch.dtype | None = None) -> View:
    """softmax, and 0 in rows whose maximum is -inf."""
    del dtype
    largest = _largest(c, a, [a.axis(dim)], keepdim=True)
    masked = c.builder.map(Op.EQ, largest, c.number(-math.inf, FLOAT))
    return c.select(masked, c.number(0.0, FLOAT), softmax(c, a, dim))


def logsumexp(c: Context, a: View, dims: Dims, keepdim: bool = False) -> View:
    """m = max: log(sum of exp(a - m)) + m, with m = 0 where it is infinite."""
    chosen = dimensions(a, dims)
    m = _largest(c, a, chosen, keepdim=True)
    size = c.builder.map(Op.ABS, m)
    zero = c.number(0.0, FLOAT)
    m = c.select(c.builder.map(Op.EQ, size, c.number(math.inf, FLOAT)), zero, m)
    total = sum_of(c, c.exp(c.sub(a, m)), chosen, keepdim=True)
    result = c.add(c.builder.map(Op.LOG, total), m)
    return result if keepdim else result.squeeze(chosen)


def log_softmax(c: Context, a: View, dim: int, half: bool = False) -> View:
    """s = a - max: s - log(sum of exp(s))."""
    del half
    shifted = c.sub(a, _largest(c, a, [a.axis(dim)], keepdim=True))
    total = sum_of(c, c.exp(shifted), [a.axis(dim)], keepdim=True)
    return c.sub(shifted, c.builder.map(Op.LOG, total))


def softmax_backward(c: Context, grad: View, out: View, dim: int, dtype: torch.dtype) -> View:
    """(grad - round(sum of grad * out)) * out."""
    del dtype
    total = fold(c, Fold.SUM, [Op.MUL], [grad, out], [out.axis(dim)], keepdim=True)
    return c.mul(c.sub(grad, total), out)


def log_softmax_backward(c: Context, grad: View, out: View, dim: int, dtype: torch.dtype) -> View:
    """grad - exp(out) * round(sum of grad)."""
    del dtype
    return c.sub(grad, c.mul(c.exp(out), sum_of(c, grad, [out.axis(dim)], keepdim=True)))


def cumsum(c: Context, a: View, dim: int, **_: Any) -> View:
    """Every prefix an exact sum, rounded once."""
    if a.rank == 0 or a.dtype != FLOAT:
        raise c.unsupported("prefix sums are of float32 tensors with dimensions")
    moved = a.transpose(dim, -1)
    size = moved.shape[-1]
    loops = (*moved.shape, size)
    ahead = index_leaf([*(0,) * (a.rank - 1), 1, -1])  # output index - fold index, below 0 past the prefix
    zero = c.number(0.0, FLOAT).broadcast(loops).leaf()
    values = moved.unsqueeze(-2).broadcast(loops).leaf()
    code = [0, 1, Op.ILT, 1, 2, Op.SELECT]
    result = c.builder.node(
        code, [ahead, zero, values], moved.shape, dtype=FLOAT, reduce=(size,), fold=Fold.SUM
    )
    return result.transpose(dim, -1)


def outer(c: Context, a: Operand, b: Operand) -> View:
    """The product of every pair."""
    x, y = c.floats(a, b)
    return c.mul(x.unsqueeze(1), y.unsqueeze(0))


_OVERLOADS: dict[str, Rule] = {
    "sum.default sum.dim_IntList": sum_,
    "mean.default mean.dim": mean,
    "var.correction": variance,
    "std.correction": deviation,
    "amax.default max.default": amax,
    "amin.default min.default": amin,
    "max.dim": max_dim,
    "min.dim": min_dim,
    "var_mean.correction": var_mean,
    "_safe_softmax.default": safe_softmax,
    "logsumexp.default": logsumexp,
    "argmax.default": argmax,
    "mm.default bmm.default": mm,
    "dot.default vdot.default": dot,
    "mv.default": mv,
    "addmm.default baddbmm.default": addmm,
    "_softmax.default": softmax,
    "_log_softmax.default": log_softmax,
    "_softmax_backward_data.default": softmax_backward,
    "_log_softmax_backward_data.default": log_softmax_backward,
    "outer.default": outer,
    "cumsum.default": cumsum,
}

RULES: dict[str, Rule] = {
    f"aten.{name}": rule for names, rule in _OVERLOADS.items() for name in names.split()
}
