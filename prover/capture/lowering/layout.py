"""Layout operators: those in addresses (lowering.md, L-3), and those that move words (L-58, L-59)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from protocol.numerics.opcodes import Op
from protocol.program.descriptor import Leaf
from prover.capture.builder import index_leaf
from prover.capture.lowering.context import FLOAT, Context, Operand, Rule
from prover.capture.views import View


def same(c: Context, a: View, *_: Any, **__: Any) -> View:
    """The tensor itself."""
    del c
    return a


def reshape(c: Context, a: View, shape: Any, **__: Any) -> View:
    """Another shape of the same words; a copy where no strides express it."""
    del shape  # the result's shape has the -1 resolved
    view = a.reshape(c.shape)
    if view is not None:
        return view
    copied = c.builder.copy(a).reshape(c.shape)
    return copied if copied is not None else a


def transpose(c: Context, a: View, first: int = 0, second: int = 1) -> View:
    """Two dimensions exchanged (`t` leaves vectors alone)."""
    del c
    return a if a.rank < 2 else a.transpose(first, second)


def permute(c: Context, a: View, dims: Sequence[int]) -> View:
    """Dimensions reordered."""
    del c
    return a.permute(dims)


def expand(c: Context, a: View, size: Sequence[int], **__: Any) -> View:
    """Sizes of 1 repeated."""
    del size
    return a.broadcast(c.shape)


def slice_(
    c: Context, a: View, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> View:
    """A range of one dimension."""
    del end
    d, size = a.axis(dim), a.shape[a.axis(dim)]
    first = 0 if start is None else min(max(start + size if start < 0 else start, 0), size)
    return a.slice(d, first, c.shape[d], step)


def select(c: Context, a: View, dim: int, index: int) -> View:
    """One index of a dimension."""
    del c
    return a.select(dim, index)


def unsqueeze(c: Context, a: View, dim: int) -> View:
    """A new dimension of size 1."""
    del c
    return a.unsqueeze(dim)


def squeeze(c: Context, a: View, dims: int | Sequence[int] | None = None) -> View:
    """Dimensions of size 1 dropped."""
    del c
    chosen = range(a.rank) if dims is None else [dims] if isinstance(dims, int) else dims
    return a.squeeze(list(chosen))


def diagonal(c: Context, a: View, offset: int = 0, dim1: int = 0, dim2: int = 1) -> View:
    """A diagonal as the last dimension."""
    del c
    return a.diagonal(dim1, dim2, offset)


def split(c: Context, a: View, sizes: int | Sequence[int], dim: int = 0) -> list[View]:
    """Consecutive ranges of one dimension."""
    del c
    total = a.shape[a.axis(dim)]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - begin) for begin in range(0, total, sizes)]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [a.slice(dim, start, size, 1) for start, size in zip(starts, sizes, strict=True)]


def unbind(c: Context, a: View, dim: int = 0) -> list[View]:
    """Every index of a dimension."""
    del c
    return [a.select(dim, i) for i in range(a.shape[a.axis(dim)])]


def cat(c: Context, tensors: Sequence[View], dim: int = 0) -> View:
    """Neighbours joined in pairs until one is left: the words of the left one below its size."""
    parts = [c.cast(t, c.dtype) for t in tensors if t.numel]
    while len(parts) > 1:
        pairs = [(parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2)]
        parts = [_joined(c, a, b, a.axis(dim)) for a, b in pairs] + parts[2 * len(pairs) :]
    return parts[0]


def stack(c: Context, tensors: Sequence[View], dim: int = 0) -> View:
    """Tensors joined along a new dimension."""
    return cat(c, [t.unsqueeze(dim) for t in tensors], dim)


def _joined(c: Context, left: View, right: View, dim: int) -> View:
    size = left.shape[dim]
    shape = list(left.shape)
    shape[dim] += right.shape[dim]
    axis = index_leaf([int(d == dim) for d in range(len(shape))])
    limit = c.number(size, torch.int64).broadcast(shape).leaf()
    narrow = [n if d == dim else 1 for d, n in enumerate(shape)]
    first = c.builder.node([0, 1, Op.ILT], [axis, limit], tuple(narrow), dtype=torch.bool)
    leaves = [
        first.broadcast(shape).leaf(),
        left.leaf(),
        right.leaf(shift=-size * right.strides[dim]),
    ]
    return c.builder.node([0, 1, 2, Op.SELECT], leaves, tuple(shape), dtype=left.dtype)


def placed(c: Context, a: View, shape: Sequence[int], dim: int, start: int, step: int, fill: int = 0) -> View:
    """Return `fill` words with `a` standing in one dimension from `start`, `step` apart (P-4)."""
    dense = c.builder.dense(a)
    before, after = math.prod(a.shape[:dim]), math.prod(a.shape[dim + 1 :])
    out = (before, shape[dim], after)
    leaf = Leaf(
        source=dense.source,
        source_id=dense.source_id,
        fill=fill,
        offsets=(0, -start, 0),
        sizes=(before, a.shape[dim], after),
        divisors=(1, step, 1),
        strides=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    )
    node = c.builder.node([0, Op.COPY], [leaf], out, dtype=a.dtype)
    return node.reshape(tuple(shape)) or node


def slice_backward(
    c: Context, grad: View, sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> View:
    """Zeros of the input's sizes with the gradient in the range."""
    del end
    d, size = grad.axis(dim), sizes[grad.axis(dim)]
    first = min(max(start + size if start < 0 else start, 0), size)
    return placed(c, grad, sizes, d, first, step)


def select_backward(c: Context, grad: View, sizes: Sequence[int], dim: int, index: int) -> View:
    """Zeros of the input's sizes with the gradient at the index."""
    d = dim % len(sizes)
    return placed(c, grad.unsqueeze(d), sizes, d, index % sizes[d], 1)


def pad(c: Context, a: View, padding: Sequence[int], value: float = 0) -> View:
    """The tensor within words of one value; negative padding cuts."""
    word = c.number(value, c.dtype)
    fill = int(c.builder.words[word.source_id][0])
    result = a
    for i in range(len(padding) // 2):
        d = a.rank - 1 - i
        before, behind = padding[2 * i], padding[2 * i + 1]
        shape = list(result.shape)
        shape[d] += before + behind
        result = placed(c, result, shape, d, before, 1, fill)
    return result


def slice_scatter(
    c: Context,
    a: View,
    source: View,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> View:
    """The tensor with a range of one dimension replaced."""
    del end
    d, size = a.axis(dim), a.shape[a.axis(dim)]
    first = 0 if start is None else min(max(start + size if start < 0 else start, 0), size)
    return _replaced(c, a, source, d, first, step)


def select_scatter(c: Context, a: View, source: View, dim: int, index: int) -> View:
    """The tensor with one index of a dimension replaced."""
    d = a.axis(dim)
    return _replaced(c, a, source.unsqueeze(d), d, index % a.shape[d], 1)


def _replaced(c: Context, a: View, source: View, d: int, start: int, step: int) -> View:
    """Where a line of ones placed in zeros is not 0 stands the source, elsewhere the tensor."""
    narrow = [n if i == d else 1 for i, n in enumerate(a.shape)]
    ones = c.number(1, torch.int64).broadcast([source.shape[i] if i == d else 1 for i in range(a.rank)])
    inside = placed(c, ones, narrow, d, start, step)
    return c.select(inside, placed(c, c.cast(source, a.dtype), a.shape, d, start, step), a)


def flip(c: Context, a: View, dims: Sequence[int]) -> View:
    """Dimensions walked backwards."""
    del c
    result = a
    for d in (a.axis(dim) for dim in dims):
        result = result.slice(d, a.shape[d] - 1, a.shape[d], -1)
    return result


def repeat(c: Context, a: View, times: Sequence[int]) -> View:
    """The tensor side by side with itself."""
    lead = len(times) - a.rank
    view = a
    for d in range(a.rank):
        view = view.unsqueeze(2 * d)
    shape = (*times[:lead], *(n for d in range(a.rank) for n in (times[lead + d], a.shape[d])))
    return reshape(c, view.broadcast(shape), c.shape)


def roll(c: Context, a: View, shifts: Sequence[int], dims: Sequence[int] = ()) -> View:
    """Words moved along dimensions, those that fall out coming in again."""
    if not dims:
        raise c.unsupported("name the dimensions to roll")
    result = a
    for shift, dim in zip(shifts, dims, strict=True):
        d, size = a.axis(dim), a.shape[a.axis(dim)]
        k = shift % size
        if k:
            result = _joined(c, result.slice(d, size - k, k, 1), result.slice(d, 0, size - k, 1), d)
    return result


def full(c: Context, *_: Any, value: Operand, **__: Any) -> View:
    """One number in every element."""
    return c.operand(value, c.dtype).broadcast(c.shape)


def filled(value: float) -> Rule:
    """Return the rule of an operator that makes a tensor of one number."""

    def rule(c: Context, *_: Any, **__: Any) -> View:
        return full(c, value=value)

    return rule


def full_size(c: Context, size: Any, value: Operand, **__: Any) -> View:
    """`full` and `full_like`: the number comes second."""
    del size
    return full(c, value=value)


def scalar(c: Context, value: Operand, **__: Any) -> View:
    """A number as a tensor."""
    return full(c, value=value)


def fill(c: Context, a: View, value: Operand) -> View:
    """Every element replaced by one number."""
    del a
    return full(c, value=value)


def overwrite(c: Context, a: View, source: View, *_: Any) -> View:
    """The source in the dtype and shape of the destination."""
    del a
    return c.cast(source, c.dtype).broadcast(c.shape)


def arange(c: Context, *bounds: float, **__: Any) -> View:
    """start + step * index."""
    start, step = (0, 1) if len(bounds) == 1 else (bounds[0], bounds[2] if len(bounds) > 2 else 1)
    if start != int(start) or step != int(step):
        raise c.unsupported("only whole numbers count up exactly; scale the result of arange instead")
    leaf = index_leaf((int(step),), int(start))
    if c.dtype == FLOAT:
        return c.builder.node([0, Op.I2F], [leaf], c.shape, dtype=FLOAT)
    if c.dtype not in (torch.int64, torch.int32):
        raise c.unsupported(f"it has no meaning on {c.dtype}")
    return c.builder.node([0, Op.COPY], [leaf], c.shape, dtype=c.dtype)


def triangle(*, upper: bool) -> Rule:
    """Return the rule of `tril` or `triu`: zero outside."""

    def rule(c: Context, a: View, diagonal: int = 0) -> View:
        strides = [0] * (a.rank - 2) + ([1, -1] if upper else [-1, 1])
        # kept: upper row - column + diagonal < 1; lower column - row - diagonal < 1
        index = index_leaf(strides, diagonal if upper else -diagonal)
        one = c.number(1, torch.int64).broadcast(a.shape).leaf()
        kept = c.builder.node([0, 1, Op.ILT], [index, one], a.shape, dtype=torch.bool)
        return c.select(kept, a, c.number(0, c.dtype))

    return rule


def alias_dtype(c: Context, a: View, dtype: torch.dtype) -> View:
    """`view.dtype`: refused, for it would read words as what they are not."""
    if a.dtype == dtype:
        return a
    raise c.unsupported("reinterpreting words has no meaning here")


def as_strided(
    c: Context, a: View, size: Sequence[int], stride: Sequence[int], offset: int | None = None
) -> View:
    """Strides over the whole storage, given that the tensor is all of it in row-major order."""
    if not a.is_dense:
        raise c.unsupported("strides over a view of a view have no address; make the tensor contiguous first")
    return replace(a, offset=offset or 0, shape=tuple(size), strides=tuple(stride))


_OVERLOADS: dict[str, Rule] = {
    "detach.default alias.default clone.default contiguous.default lift_fresh_copy.default "
    "lift_fresh.default "
    "lift.default": same,
    "view.default _unsafe_view.default reshape.default _reshape_alias.default": reshape,
    "t.default transpose.int": transpose,
    "permute.default": permute,
    "expand.default": expand,
    "slice.Tensor": slice_,
    "select.int": select,
    "unsqueeze.default": unsqueeze,
    "squeeze.default squeeze.dim squeeze.dims": squeeze,
    "diagonal.default": diagonal,
    "split.Tensor split_with_sizes.default unsafe_split.Tensor unsafe_split_with_sizes.default": split,
    "unbind.int": unbind,
    "cat.default": cat,
    "stack.default": stack,
    "slice_backward.default": slice_backward,
    "select_backward.default": select_backward,
    "constant_pad_nd.default": pad,
    "zeros_like.default zeros.default new_zeros.default zero.default": filled(0.0),
    "ones_like.default ones.default new_ones.default": filled(1.0),
    "full.default full_like.default new_full.default": full_size,
    "scalar_tensor.default": scalar,
    "fill.Scalar fill.Tensor": fill,
    "copy.default": overwrite,
    "arange.default arange.start arange.start_step": arange,
    "tril.default": triangle(upper=False),
    "triu.default": triangle(upper=True),
    "view.dtype": alias_dtype,
    "as_strided.default": as_strided,
    "slice_scatter.default": slice_scatter,
    "select_scatter.default": select_scatter,
    "flip.default": flip,
    "repeat.default": repeat,
    "roll.default": roll,
}

RULES: dict[str, Rule] = {
    f"aten.{name}": rule for names, rule in _OVERLOADS.items() for name in names.split()
}
