"""Addresses that hold an integer tensor: gathers, their gradients as sums (lowering.md, L-55 to L-57)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from protocol.numerics.opcodes import Fold, Op
from protocol.program.descriptor import Leaf
from prover.capture.builder import index_leaf
from prover.capture.lowering.context import FLOAT, Context, Rule, gather_rows
from prover.capture.views import Shape, View


def _rows_at(c: Context, table: View, indices: View) -> View:
    """Rows of a table by an integer tensor: indices.shape + table.shape[1:]."""
    flat = flattened(c, indices, (indices.numel,))
    row = flat.unsqueeze(1).broadcast((flat.numel, c.builder.dense(table).extent // table.shape[0])).leaf()
    result = gather_rows(c.builder, c.builder.dense(table), row, (flat.numel,))
    return result.reshape((*indices.shape, *table.shape[1:])) or result


def embedding(c: Context, weight: View, indices: View, *_: Any) -> View:
    """Rows of the weight."""
    return _rows_at(c, weight, indices)


def index_select(c: Context, a: View, dim: int, indices: View) -> View:
    """Indices of one dimension."""
    d = a.axis(dim)
    order = [d, *(i for i in range(a.rank) if i != d)]
    return _rows_at(c, a.permute(order), indices).permute([order.index(i) for i in range(a.rank)])


def index(c: Context, a: View, indices: Sequence[View | None]) -> View:
    """`a[..., i, j, ...]` with integer tensors that broadcast against each other."""
    where, dims = _indexed(c, a.shape, indices)
    rest = [d for d in range(a.rank) if d not in dims]
    table = a.permute([*dims, *rest])
    count = math.prod(a.shape[d] for d in dims)
    rows = _rows_at(c, flattened(c, table, (count, *table.shape[len(dims) :])), where)
    return rows.permute(_placement(where.rank, dims, a.rank))


def _placement(rank: int, dims: Sequence[int], total: int) -> list[int]:
    """Where dimensions of the index stand in the result: in place if they were neighbours, else in front."""
    before = dims[0] if dims[-1] - dims[0] == len(dims) - 1 else 0
    rest = list(range(rank, rank + total - len(dims)))
    return [*rest[:before], *range(rank), *rest[before:]]


def _indexed(c: Context, shape: Shape, indices: Sequence[View | None]) -> tuple[View, list[int]]:
    """One integer tensor that counts row-major over the dimensions that are indexed, and those dimensions."""
    given = [(d, i) for d, i in enumerate(indices) if i is not None]
    if not given or any(i.dtype not in (torch.int64, torch.int32) for _, i in given):
        raise c.unsupported("only integer tensors can index; masks have no fixed shape, use torch.where")
    total: View | None = None
    for d, i in given:
        size = shape[d]
        place = _from_front(c, i, size)
        if total is not None:
            scaled = c.builder.map(Op.IMUL, total, c.number(size, torch.int64), dtype=torch.int64)
            place = c.builder.map(Op.IADD, scaled, place, dtype=torch.int64)
        total = place
    return total or given[0][1], [d for d, _ in given]


def _from_front(c: Context, i: View, size: int) -> View:
    """Negative indices count from the end."""
    if c.builder.never_negative(i):
        return i
    below = c.builder.map(Op.ILT, i, c.number(0, torch.int64))
    turned = c.builder.map(Op.IADD, i, c.number(size, torch.int64), dtype=i.dtype)
    return c.select(below, turned, i)


def embedding_backward(
    c: Context, grad: View, indices: View, rows: int, padding: int, scale_by_frequency: bool
) -> View:
    """For every row the exact sum of the gradients whose index it is; the padding row gets 0."""
    if scale_by_frequency:
        raise c.unsupported("scale_grad_by_freq has no formula; leave it off")
    n, width = indices.numel, grad.shape[-1]
    where, values = flattened(c, indices, (n,)), flattened(c, grad, (n, width))
    result = scattered_sum(c, values, where, rows)
    if padding >= 0:
        keep = c.builder.node(
            [0, 1, Op.IEQ],
            [index_leaf((1,)), c.number(padding, indices.dtype).broadcast((rows,)).leaf()],
            (rows,),
            dtype=indices.dtype,
        )
        result = c.select(keep.unsqueeze(1), c.number(0.0, FLOAT), result)
    return result


def _bags(c: Context, indices: View, offsets: View, bags: int) -> tuple[View, int]:
    """Indices as [bags, size], and the size, given offsets that are known to be 0, size, 2 * size, ..."""
    size = indices.numel // bags
    if not c.builder.counts_by(offsets, size) or size * bags != indices.numel:
        raise c.unsupported("bags have a formula where all are of one size; give indices [batch, size]")
    return flattened(c, indices, (bags, size)), size


def embedding_bag(
    c: Context,
    weight: View,
    indices: View,
    offsets: View,
    scale_by_frequency: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample: View | None = None,
    include_last: bool = False,
    padding: int = -1,
) -> list[View]:
    """For every bag the exact sum of its rows (times their weights), rounded; / size for means."""
    del scale_by_frequency, sparse, include_last  # matter to the gradient, and to the result's shape
    bags = c.shape[0]
    where, size = _bags(c, indices, offsets, bags)
    if mode not in (0, 1) or padding >= 0:
        raise c.unsupported("only sums and means of bags without a padding index have a formula")
    table = c.builder.dense(weight)
    rows, width = table.shape
    loops = (bags, width, size)
    leaves = [
        where.unsqueeze(1).broadcast(loops).leaf(),
        replace(
            table.leaf(),
            gather_dim=0,
            gather_leaf=0,
            offsets=(0, 0),
            sizes=(rows, width),
            divisors=(1, 1),
            strides=((0, 0, 0), (0, 1, 0)),
        ),
    ]
    code: list[int] = [1]
    if per_sample is not None:
        leaves.append(flattened(c, per_sample, (bags, size)).unsqueeze(1).broadcast(loops).leaf())
        code = [1, 2, Op.MUL]
    total = c.builder.node(code, leaves, (bags, width), dtype=FLOAT, reduce=(size,), fold=Fold.SUM)
    result = c.div(total, float(size)) if mode == 1 else total
    return [result, indices, offsets, offsets]


def embedding_bag_backward(
    c: Context,
    grad: View,
    indices: View,
    offsets: View,
    bag_of: View,
    sizes: View,
    largest: View,
    rows: int,
    scale_by_frequency: bool,
    mode: int,
    sparse: bool,
    per_sample: View | None,
    padding: int = -1,
) -> View:
    """For every row the exact sum of the gradients of the bags that it is in."""
    del bag_of, sizes, largest, padding
    bags = grad.shape[0]
    _, size = _bags(c, indices, offsets, bags)
    if scale_by_frequency or sparse or per_sample is not None:
        raise c.unsupported(
            "only dense gradients without scale_grad_by_freq and per_sample_weights have a formula"
        )
    each = c.div(grad, float(size)) if mode == 1 else grad
    wide = each.unsqueeze(1).broadcast((bags, size, grad.shape[1]))
    values = flattened(c, wide, (bags * size, grad.shape[1]))
    return scattered_sum(c, values, flattened(c, indices, (bags * size,)), rows)


def scattered_sum(c: Context, values: View, where: View, rows: int) -> View:
    """Return [rows, width]: row r is the exact sum of values[n] with where[n] = r (design section 2)."""
    n, width = values.shape
    loops = (rows, width, n)
    leaves = [
        index_leaf((1, 0, 0)),
        where.broadcast(loops).leaf(),
        values.transpose(0, 1).broadcast(loops).leaf(),
        c.number(0.0, FLOAT).broadcast(loops).leaf(),
    ]
    code = [0, 1, Op.IEQ, 2, 3, Op.SELECT]
    return c.builder.node(code, leaves, (rows, width), dtype=FLOAT, reduce=(n,), fold=Fold.SUM)


def gather(c: Context, a: View, dim: int, indices: View, sparse_grad: bool = False) -> View:
    """a[..., indices[...], ...] in one dimension, the others walked together."""
    del sparse_grad
    d = a.axis(dim)
    if any(indices.shape[i] != a.shape[i] for i in range(a.rank) if i != d):
        raise c.unsupported("the other dimensions of input and index differ; slice the input first")
    if a.rank > 4:
        raise c.unsupported("at most four dimensions can be addressed; merge some")
    dense = c.builder.dense(a)
    unit = [tuple(int(i == j and i != d) for j in range(a.rank)) for i in range(a.rank)]
    leaf = replace(
        dense.leaf(),
        gather_dim=d,
        gather_leaf=0,
        offsets=(0,) * a.rank,
        sizes=dense.shape,
        divisors=(1,) * a.rank,
        strides=tuple(unit),
    )
    return c.builder.node([1, Op.COPY], [indices.leaf(), leaf], indices.shape, dtype=a.dtype)


def index_put(
    c: Context, a: View, indices: Sequence[View | None], values: View, accumulate: bool = False, *_: Any
) -> View:
    """a + for every index the exact sum of the values written there, if they accumulate.

    One value written where a mask holds is a select.
    """
    mask = indices[0]
    if mask is not None and mask.dtype == torch.bool and len(indices) == 1 and not accumulate:
        if values.numel != 1:
            raise c.unsupported("only one value can be written where a mask holds; use torch.where")
        wide = mask.reshape((*mask.shape, *(1,) * (a.rank - mask.rank))) or mask
        return c.select(wide, c.cast(values, a.dtype), a)
    if not accumulate:
        raise c.unsupported("writing at indices has no meaning where two are equal; use torch.where or a sum")
    where, dims = _indexed(c, a.shape, indices)
    rest = [d for d in range(a.rank) if d not in dims]
    count, width = math.prod(a.shape[d] for d in dims), math.prod(a.shape[d] for d in rest)
    order = _placement(where.rank, dims, a.rank)
    shape = [0] * len(order)
    for place, source in enumerate(order):
        sizes = (*where.shape, *(a.shape[d] for d in rest))
        shape[place] = sizes[source]
    wide = values.broadcast(shape).permute([order.index(i) for i in range(len(order))])
    rows = flattened(c, wide, (where.numel, width))
    sums = scattered_sum(c, rows, flattened(c, where, (where.numel,)), count)
    moved = sums.reshape(tuple(a.shape[d] for d in (*dims, *rest))) or sums
    return c.add(a, moved.permute([[*dims, *rest].index(i) for i in range(a.rank)]))


def index_add(c: Context, a: View, dim: int, where: View, source: View, alpha: float = 1) -> View:
    """a + for every index of a dimension the exact sum of what alpha * source adds there."""
    return _summed_into(c, a, a.axis(dim), where, c.mul(source, alpha))


def _summed_into(c: Context, a: View, d: int, where: View, values: View) -> View:
    rest = [i for i in range(a.rank) if i != d]
    n, width = where.numel, math.prod(a.shape[i] for i in rest)
    shape = (*a.shape[:d], *where.shape, *a.shape[d + 1 :])
    wide = values.broadcast(shape)
    order = [*range(d, d + where.rank), *range(d), *range(d + where.rank, len(shape))]
    rows = flattened(c, wide.permute(order), (n, width))
    sums = scattered_sum(c, rows, flattened(c, where, (n,)), a.shape[d])
    moved = sums.reshape((a.shape[d], *(a.shape[i] for i in rest))) or sums
    return c.add(a, moved.permute([[d, *rest].index(i) for i in range(a.rank)]))


def scatter(c: Context, a: View, dim: int, indices: View, source: View | float, **options: Any) -> View:
    """The source where its index says, in a dimension with one index, so that no word is written twice."""
    d = a.axis(dim)
    others = [i for i in range(a.rank) if i != d]
    if options or indices.shape[d] != 1 or any(indices.shape[i] != a.shape[i] for i in others):
        raise c.unsupported("writing at several indices has no meaning where two are equal; use scatter_add")
    value = c.operand(source, a.dtype)
    if isinstance(source, View):
        value = value.slice(d, 0, 1, 1)
    axis = index_leaf([int(i == d) for i in range(a.rank)])
    here = c.builder.node(
        [0, 1, Op.IEQ], [axis, indices.broadcast(a.shape).leaf()], a.shape, dtype=torch.bool
    )
    return c.select(here, value.broadcast(a.shape), a)


def scatter_add(c: Context, a: View, dim: int, indices: View, source: View) -> View:
    """a + for every index the exact sum of the source words that name it."""
    d = a.axis(dim)
    if any(indices.shape[i] != a.shape[i] for i in range(a.rank) if i != d):
        raise c.unsupported("the other dimensions of input and index differ; slice the input first")
    count = indices.shape[d]
    loops = (*a.shape, count)

    def terms(view: View) -> Leaf:
        moved = view.slice(d, 0, count, 1).unsqueeze(a.rank).transpose(d, a.rank)
        return moved.broadcast(loops).leaf()

    leaves = [
        index_leaf([*(int(i == d) for i in range(a.rank)), 0]),
        terms(indices),
        terms(source),
        c.number(0.0, FLOAT).broadcast(loops).leaf(),
    ]
    code = [0, 1, Op.IEQ, 2, 3, Op.SELECT]
    return c.add(a, c.builder.node(code, leaves, a.shape, dtype=FLOAT, reduce=(count,), fold=Fold.SUM))


def flattened(c: Context, view: View, shape: Shape) -> View:
    """Return the view in a shape, copied where no strides express it."""
    return view.reshape(shape) or c.builder.copy(view).reshape(shape) or view


RULES: dict[str, Rule] = {
    "aten.embedding.default": embedding,
    "aten.embedding_dense_backward.default": embedding_backward,
    "aten._embedding_bag.default": embedding_bag,
    "aten._embedding_bag_backward.default": embedding_bag_backward,
    "aten.index_select.default": index_select,
    "aten.index.Tensor": index,
    "aten.gather.default": gather,
    "aten.index_put.default": index_put,
    "aten.index_add.default": index_add,
    "aten.scatter.src": scatter,
    "aten.scatter.value": scatter,
    "aten.scatter_add.default": scatter_add,
}
