"""Losses and their gradients (lowering.md, L-50 to L-54)."""

from __future__ import annotations

from dataclasses import replace

from protocol.numerics.opcodes import Fold, Op
from protocol.program.descriptor import Leaf
from prover.capture.builder import index_leaf
from prover.capture.lowering.context import FLOAT, Context, Rule
from prover.capture.lowering.indexing import flattened
from prover.capture.lowering.reductions import fold, mean_of, sum_of
from prover.capture.views import View

NONE, MEAN, SUM = 0, 1, 2


def _picked(c: Context, table: View, loops: int) -> Leaf:
    """Leaf that reads table[n, y[n]] (or table[y[n]]) where leaf 0 is y[n]; 0 where that is no class."""
    dense = c.builder.dense(table)
    rank, rest = dense.rank, (0,) * (loops - 1)
    return replace(
        Leaf(source=dense.source, source_id=dense.source_id),
        gather_dim=rank - 1,
        gather_leaf=0,
        offsets=(0,) * rank,
        sizes=dense.shape,
        divisors=(1,) * rank,
        strides=((0, *rest),) if rank == 1 else ((1, *rest), (0, *rest)),
    )


def nll_loss(
    c: Context, log_p: View, target: View, weight: View | None, reduction: int, ignore: int
) -> list[View]:
    """-sum of w[y] * log_p[n, y] over round(sum of w[y]) for mean; rows with y = ignore count nothing."""
    rows, classes = _rows(c, log_p, target)
    inside = 0 <= ignore < classes
    labels = target.broadcast((rows,))
    leaves = [labels.leaf(), _picked(c, log_p, 1)]
    term = [1, Op.NEG]
    if weight is not None:
        leaves.append(_picked(c, weight, 1))
        term = [1, 2, Op.MUL, Op.NEG]
    if inside:
        if weight is not None:
            raise c.unsupported("class weights with an ignore_index that is a class take too many operands")
        ignored = c.number(ignore, target.dtype).broadcast((rows,)).leaf()
        zero = c.number(0.0, FLOAT).broadcast((rows,)).leaf()
        leaves += [ignored, zero]
        term = [0, 2, Op.IEQ, 3, *term, Op.SELECT]
    if reduction == NONE:
        losses = c.builder.node(term, leaves, (rows,), dtype=FLOAT, fold=Fold.SUM)
        return [losses.reshape(target.shape) or losses, c.number(0.0, FLOAT)]
    total = c.builder.node(term, leaves, (), dtype=FLOAT, reduce=(rows,), fold=Fold.SUM)
    counted = _total_weight(c, labels, weight, ignore)
    return [c.div(total, counted) if reduction == MEAN else total, counted]


def _total_weight(c: Context, labels: View, weight: View | None, ignore: int) -> View:
    rows = labels.shape[0]
    if weight is not None:
        picked = _picked(c, weight, 1)
        return c.builder.node([1], [labels.leaf(), picked], (), dtype=FLOAT, reduce=(rows,), fold=Fold.SUM)
    constants = (c.number(ignore, labels.dtype), c.number(0.0, FLOAT), c.number(1.0, FLOAT))
    leaves = [labels.leaf(), *(v.broadcast((rows,)).leaf() for v in constants)]
    code = [0, 1, Op.IEQ, 2, 3, Op.SELECT]
    return c.builder.node(code, leaves, (), dtype=FLOAT, reduce=(rows,), fold=Fold.SUM)


def nll_loss_backward(
    c: Context,
    grad: View,
    log_p: View,
    target: View,
    weight: View | None,
    reduction: int,
    ignore: int,
    total_weight: View,
) -> View:
    """-(grad / total) * w[y] at class y of each row, 0 elsewhere and in ignored rows."""
    rows, classes = _rows(c, log_p, target)
    labels = target.broadcast((rows,))
    scale = c.neg(c.div(grad, total_weight) if reduction == MEAN else grad)
    scale = scale.broadcast((rows,)) if scale.numel == 1 or scale.rank == 1 else scale
    if weight is not None:
        leaves = [labels.leaf(), _picked(c, weight, 1)]
        scale = c.mul(c.builder.node([1, Op.COPY], leaves, (rows,), dtype=FLOAT), scale)
    if 0 <= ignore < classes:
        ignored = c.builder.map(Op.IEQ, labels, c.number(ignore, target.dtype))
        scale = c.select(ignored, c.number(0.0, FLOAT), scale)
    loops = (rows, classes)
    leaves = [
        index_leaf((0, 1)),
        labels.unsqueeze(1).broadcast(loops).leaf(),
        scale.broadcast((rows,)).unsqueeze(1).broadcast(loops).leaf(),
        c.number(0.0, FLOAT).broadcast(loops).leaf(),
    ]
    code = [0, 1, Op.IEQ, 2, 3, Op.SELECT]
    result = c.builder.node(code, leaves, loops, dtype=FLOAT, fold=Fold.SUM)
    return result.reshape(log_p.shape) or result


def _flat(log_p: View, target: View, c: Context) -> tuple[View, View]:
    """[N, C, ...] and [N, ...] with all positions as rows."""
    count = target.numel
    moved = log_p.permute([0, *range(2, log_p.rank), 1])
    return flattened(c, moved, (count, log_p.shape[1])), flattened(c, target, (count,))


def nll_loss2d(
    c: Context, log_p: View, target: View, weight: View | None, reduction: int, ignore: int
) -> list[View]:
    """nll_loss over all positions."""
    losses, counted = nll_loss(c, *_flat(log_p, target, c), weight, reduction, ignore)
    return [losses.reshape(target.shape) or losses if reduction == NONE else losses, counted]


def nll_loss2d_backward(
    c: Context,
    grad: View,
    log_p: View,
    target: View,
    weight: View | None,
    reduction: int,
    ignore: int,
    total_weight: View,
) -> View:
    """nll_loss_backward over all positions."""
    rows, labels = _flat(log_p, target, c)
    flat = flattened(c, grad, (target.numel,)) if reduction == NONE else grad
    result = nll_loss_backward(c, flat, rows, labels, weight, reduction, ignore, total_weight)
    moved = result.reshape((*target.shape, log_p.shape[1])) or result
    return moved.permute([0, log_p.rank - 1, *range(1, log_p.rank - 1)])


def _rows(c: Context, log_p: View, target: View) -> tuple[int, int]:
    if log_p.rank not in (1, 2) or target.dtype.is_floating_point:
        raise c.unsupported(
            "scores are [batch, classes] and targets class numbers; flatten other dimensions first"
        )
    return (log_p.shape[0] if log_p.rank == 2 else 1), log_p.shape[-1]


def _reduced(c: Context, losses: View, reduction: int) -> View:
    dims = list(range(losses.rank))
    if reduction == NONE:
        return losses
    return mean_of(c, losses, dims) if reduction == MEAN else sum_of(c, losses, dims)


def mse_loss(c: Context, a: View, b: View, reduction: int = MEAN) -> View:
    """d = a - b: round(sum of d * d) / n for mean."""
    d = c.sub(a, b)
    if reduction == NONE:
        return c.mul(d, d)
    total = fold(c, Fold.SUM, [Op.MUL], [d, d], list(range(d.rank)))
    return c.div(total, float(d.numel)) if reduction == MEAN else total


def mse_loss_backward(c: Context, grad: View, a: View, b: View, reduction: int) -> View:
    """((2 / n) * (a - b)) * grad, each rounded; 2 / n in binary64."""
    d = c.sub(a, b)
    return c.mul(c.mul(2.0 / d.numel if reduction == MEAN else 2.0, d), grad)


def smooth_l1_loss(c: Context, a: View, b: View, reduction: int = MEAN, beta: float = 1.0) -> View:
    """z = |a - b|: ((0.5 * z) * z) / beta where z < beta, else z - 0.5 * beta."""
    z = c.builder.map(Op.ABS, c.sub(a, b))
    inner = c.div(c.mul(c.mul(0.5, z), z), beta)
    below = c.builder.map(Op.LT, z, c.number(beta, FLOAT))
    return _reduced(c, c.select(below, inner, c.sub(z, 0.5 * beta)), reduction)


def smooth_l1_loss_backward(c: Context, grad: View, a: View, b: View, reduction: int, beta: float) -> View:
    """norm = 1 / n for mean: (norm * min(max((a - b) / beta, -1), 1)) * grad."""
    x = c.div(c.sub(a, b), beta)
    inside = c.builder.map(Op.MAX, x, c.number(-1.0, FLOAT))
    inside = c.builder.map(Op.MIN, inside, c.number(1.0, FLOAT))
    return c.mul(c.mul(1.0 / x.numel if reduction == MEAN else 1.0, inside), grad)


def binary_cross_entropy(
    c: Context, p: View, y: View, weight: View | None = None, reduction: int = MEAN
) -> View:
    """(y - 1) * max(log(1 - p), -100) - y * max(log(p), -100), times the weight, reduced."""
    floor = c.number(-100.0, FLOAT)
    no = c.builder.map(Op.MAX, c.builder.map(Op.LOG, c.sub(1.0, p)), floor)
    yes = c.builder.map(Op.MAX, c.builder.map(Op.LOG, p), floor)
    losses = c.sub(c.mul(c.sub(y, 1.0), no), c.mul(y, yes))
    return _reduced(c, losses if weight is None else c.mul(losses, weight), reduction)


def binary_cross_entropy_backward(
    c: Context, grad: View, p: View, y: View, weight: View | None = None, reduction: int = MEAN
) -> View:
    """grad * (p - y) / max((1 - p) * p, 1e-12), times the weight, / n for mean."""
    below = c.builder.map(Op.MAX, c.mul(c.sub(1.0, p), p), c.number(1e-12, FLOAT))
    value = c.div(c.mul(grad, c.sub(p, y)), below)
    value = value if weight is None else c.mul(value, weight)
    return c.div(value, float(p.numel)) if reduction == MEAN else value


def huber_loss(c: Context, a: View, b: View, reduction: int = MEAN, delta: float = 1.0) -> View:
    """z = |a - b|: (0.5 * z) * z where z < delta, else delta * (z - 0.5 * delta)."""
    z = c.builder.map(Op.ABS, c.sub(a, b))
    inner = c.mul(c.mul(0.5, z), z)
    outer = c.mul(c.sub(z, 0.5 * delta), delta)
    return _reduced(c, c.select(c.builder.map(Op.LT, z, c.number(delta, FLOAT)), inner, outer), reduction)


def huber_loss_backward(c: Context, grad: View, a: View, b: View, reduction: int, delta: float) -> View:
    """norm = 1 / n for mean: (norm * min(max(a - b, -delta), delta)) * grad."""
    x = c.sub(a, b)
    inside = c.builder.map(Op.MAX, x, c.number(-delta, FLOAT))
    inside = c.builder.map(Op.MIN, inside, c.number(delta, FLOAT))
    return c.mul(c.mul(1.0 / x.numel if reduction == MEAN else 1.0, inside), grad)


RULES: dict[str, Rule] = {
    "aten.nll_loss_forward.default": nll_loss,
    "aten.nll_loss_backward.default": nll_loss_backward,
    "aten.nll_loss2d_forward.default": nll_loss2d,
    "aten.nll_loss2d_backward.default": nll_loss2d_backward,
    "aten.mse_loss.default": mse_loss,
    "aten.mse_loss_backward.default": mse_loss_backward,
    "aten.smooth_l1_loss.default": smooth_l1_loss,
    "aten.smooth_l1_loss_backward.default": smooth_l1_loss_backward,
    "aten.binary_cross_entropy.default": binary_cross_entropy,
    "aten.binary_cross_entropy_backward.default": binary_cross_entropy_backward,
    "aten.huber_loss.default": huber_loss,
    "aten.huber_loss_backward.default": huber_loss_backward,
}
