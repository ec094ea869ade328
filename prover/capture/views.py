"""Strided views: where a traced tensor lives, so that layout operators cost no node (lowering.md, L-3).

A view names words of one node output, state slot or input by offset + sum of stride * index, exactly as
PyTorch does
over a contiguous storage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from protocol.errors import UnsupportedError
from protocol.program.descriptor import Leaf, Source

Shape = tuple[int, ...]


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """Return the row-major strides of a shape, in words."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A tensor whose words are read through an affine address.

    Attributes:
        source: tree that holds the words; ``source_id`` the tensor in it; ``extent`` the words of that
            tensor.
        offset: flat address of the element with all indices zero.
        shape: sizes of the dimensions; strides: words per step of each.
        dtype: as PyTorch sees it; words are binary32 for float32, two's complement or 0/1 otherwise.
    """

    source: Source
    source_id: int
    extent: int
    offset: int = 0
    shape: Shape
    strides: Shape
    dtype: torch.dtype

    @classmethod
    def dense(cls, source: Source, source_id: int, shape: Sequence[int], dtype: torch.dtype) -> View:
        """Return the view of a whole tensor, row-major."""
        return cls(
            source=source,
            source_id=source_id,
            extent=math.prod(shape),
            shape=tuple(shape),
            strides=contiguous_strides(shape),
            dtype=dtype,
        )

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether the view is its whole source in row-major order."""
        return self.offset == 0 and self.numel == self.extent and self.is_contiguous

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements are consecutive words in row-major order."""
        wanted = contiguous_strides(self.shape)
        return all(n == 1 or s == w for n, s, w in zip(self.shape, self.strides, wanted, strict=True))

    def axis(self, dim: int) -> int:
        """Return a dimension number counted from the front."""
        return dim % max(self.rank, 1)

    def permute(self, dims: Sequence[int]) -> View:
        """Return the view with its dimensions reordered."""
        order = [self.axis(d) for d in dims]
        return replace(
            self,
            shape=tuple(self.shape[d] for d in order),
            strides=tuple(self.strides[d] for d in order),
        )

    def transpose(self, first: int, second: int) -> View:
        """Return the view with two dimensions exchanged."""
        order = list(range(self.rank))
        if self.rank:
            a, b = self.axis(first), self.axis(second)
            order[a], order[b] = order[b], order[a]
        return self.permute(order)

    def slice(self, dim: int, start: int, length: int, step: int) -> View:
        """Return `length` elements of one dimension from `start`, `step` apart."""
        d = self.axis(dim)
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + start * strides[d]
        shape[d], strides[d] = length, strides[d] * step
        return replace(self, offset=offset, shape=tuple(shape), strides=tuple(strides))

    def select(self, dim: int, index: int) -> View:
        """Return one index of a dimension, which goes away."""
        d = self.axis(dim)
        return replace(
            self,
            offset=self.offset + index % self.shape[d] * self.strides[d],
            shape=self.shape[:d] + self.shape[d + 1 :],
            strides=self.strides[:d] + self.strides[d + 1 :],
        )

    def unsqueeze(self, dim: int) -> View:
        """Return the view with a dimension of size 1 put in."""
        d = dim % (self.rank + 1)
        return replace(
            self,
            shape=(*self.shape[:d], 1, *self.shape[d:]),
            strides=(*self.strides[:d], 0, *self.strides[d:]),
        )

    def squeeze(self, dims: Sequence[int]) -> View:
        """Return the view without those of the dimensions that have size 1."""
        gone = {self.axis(d) for d in dims}
        kept = [d for d in range(self.rank) if d not in gone or self.shape[d] != 1]
        return self.permute(kept)

    def broadcast(self, shape: Sequence[int]) -> View:
        """Return the view expanded to a shape by PyTorch's broadcasting; -1 keeps a size.

        Raises:
            UnsupportedError: the shapes do not broadcast.
        """
        lead = len(shape) - self.rank
        sizes, strides = list(shape), [0] * len(shape)
        if lead < 0:
            raise UnsupportedError(f"shape {self.shape} does not expand to {tuple(shape)}")
        for d, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            wanted = sizes[lead + d]
            if wanted in (-1, size):
                sizes[lead + d], strides[lead + d] = size, stride if size != 1 else 0
            elif size != 1:
                raise UnsupportedError(f"shape {self.shape} does not expand to {tuple(shape)}")
        return replace(self, shape=tuple(sizes), strides=tuple(strides))

    def reshape(self, shape: Sequence[int]) -> View | None:
        """Return the view in another shape, or None where no strides express it."""
        strides = _reshaped_strides(self.shape, self.strides, tuple(shape))
        if strides is None:
            return None
        return replace(self, shape=tuple(shape), strides=strides)

    def diagonal(self, first: int, second: int, shift: int) -> View:
        """Return the diagonal of two dimensions as a new last one (`torch.diagonal`)."""
        a, b = self.axis(first), self.axis(second)
        offset = self.offset + (shift * self.strides[b] if shift >= 0 else -shift * self.strides[a])
        length = min(self.shape[a] - max(-shift, 0), self.shape[b] - max(shift, 0))
        kept = [d for d in range(self.rank) if d not in (a, b)]
        return replace(
            self,
            offset=offset,
            shape=(*(self.shape[d] for d in kept), length),
            strides=(*(self.strides[d] for d in kept), self.strides[a] + self.strides[b]),
        )

    def addresses(self) -> NDArray[np.int64]:
        """Return the flat address of every element, in the view's shape."""
        address = np.full(self.shape, self.offset, dtype=np.int64)
        for d, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            line = np.arange(size, dtype=np.int64) * stride
            address += line.reshape([size if i == d else 1 for i in range(self.rank)])
        return address

    def leaf(self, *, shift: int = 0) -> Leaf:
        """Return the operand leaf that reads the view, one loop per dimension (P-4).

        Addresses are flat, of rank 1, or of rank 0 where the one word is word 0.
        """
        offset = self.offset + shift
        if offset == 0 and not any(self.strides):
            return Leaf(source=self.source, source_id=self.source_id)
        return Leaf(
            source=self.source,
            source_id=self.source_id,
            offsets=(offset,),
            sizes=(self.extent,),
            divisors=(1,),
            strides=(self.strides,),
        )


def _reshaped_strides(old: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides of a reshaped view: each run of mergeable old dimensions is split into new ones."""
    runs: list[tuple[int, int]] = []  # (elements, innermost stride), outermost run first
    for size, stride in zip(old, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == size * stride:
            runs[-1] = (runs[-1][0] * size, stride)
        else:
            runs.append((size, stride))
    result: list[int] = []
    left, step = 1, 0
    for size in reversed(new):
        if size == 1:
            result.append(0)
            continue
        if left == 1:
            if not runs:
                return None
            left, step = runs.pop()
        if left % size:
            return None
        result.append(step)
        left //= size
        step *= size
    return tuple(reversed(result)) if left == 1 and not runs else None


def broadcast_shape(*shapes: Sequence[int]) -> Shape:
    """Return the shape that all shapes broadcast to."""
    shape: Shape = tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]
    return shape
