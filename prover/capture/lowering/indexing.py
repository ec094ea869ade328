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
    """`a[..., i, ...]` with one integer tensor."""
    given = [(d, i) for d, i in enumerate(indices) if i is not None]
    if len(given) != 1 or given[0][1].dtype.is_floating_point or "bool" in str(given[0][1].dtype):
        raise c.unsupported("only one integer tensor can index; masks have no fixed shape, use torch.where")
    d, where = given[0]
    rows = _rows_at(c, a.permute([d, *(i for i in range(a.rank) if i != d)]), where)
    lead = list(range(where.rank, where.rank + d))
    return rows.permute([*lead, *range(where.rank), *range(where.rank + d, rows.rank)])


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
    """a + for every index of one dimension the exact sum of the values written there, if they accumulate."""
    given = [(d, i) for d, i in enumerate(indices) if i is not None]
    if not accumulate or len(given) != 1 or given[0][1].dtype in (torch.bool, torch.uint8):
        raise c.unsupported(
            "writing at indices has a meaning only as a sum by one integer tensor; use torch.where"
        )
    return _summed_into(c, a, *given[0], values)


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
    "aten.index_select.default": index_select,
    "aten.index.Tensor": index,
    "aten.gather.default": gather,
    "aten.index_put.default": index_put,
    "aten.index_add.default": index_add,
    "aten.scatter.src": scatter,
    "aten.scatter.value": scatter,
    "aten.scatter_add.default": scatter_add,
}
