"""Operators whose address holds an integer tensor: gathers, and their gradients as sums (lowering.md, L-55
to L-59).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from protocol.numerics.opcodes import Fold, Op
from prover.capture.builder import index_leaf
from prover.capture.lowering.context import FLOAT, Context, Rule, gather_rows
from prover.capture.views import View


def _rows_at(c: Context, table: View, indices: View) -> View:
    """Rows of a table by an integer tensor: indices.shape + table.shape[1:]."""
    flat = indices.reshape((indices.numel,)) or c.builder.copy(indices).reshape((indices.numel,)) or indices
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
    where = indices.reshape((n,)) or c.builder.copy(indices).reshape((n,)) or indices
    values = grad.reshape((n, width)) or c.builder.copy(grad).reshape((n, width)) or grad
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


def index_backward(
    c: Context, a: View, indices: Sequence[View | None], values: View, accumulate: bool = False, *_: Any
) -> View:
    """`index_put` that adds into zeros along the first dimension: a sum of what stands at each row."""
    if not accumulate or len(indices) != 1 or indices[0] is None or a.rank != 2:
        raise c.unsupported(
            "writing at indices has a meaning only as a sum into rows of a matrix; use torch.where"
        )
    where = indices[0]
    n, width = where.numel, a.shape[1]
    flat = where.reshape((n,)) or c.builder.copy(where).reshape((n,)) or where
    wide = values.broadcast((*where.shape, width))
    rows = wide.reshape((n, width)) or c.builder.copy(wide).reshape((n, width)) or wide
    return c.add(a, scattered_sum(c, rows, flat, a.shape[0]))


RULES: dict[str, Rule] = {
    "aten.embedding.default": embedding,
    "aten.embedding_dense_backward.default": embedding_backward,
    "aten.index_select.default": index_select,
    "aten.index.Tensor": index,
    "aten.gather.default": gather,
    "aten.index_put.default": index_backward,
}
