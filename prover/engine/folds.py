"""Sum folds: binary64 products with an error bound, TwoSum with proof, superaccumulator (N-1, N-14).

Tier 1, `ProductStep`, is a matrix product in binary64 whose elements are certified by a bound on their error.
Tier 2 is TwoSum, first for all other folds. Tier 3 is an integer superaccumulator and leaves nothing open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from prover.engine import kernels
from prover.engine.codegen_sums import SumKernels
from prover.engine.layout import Layout, fold_layout, map_layout, merge, row_major, split
from prover.engine.steps import PARALLEL_POINTS, TIER2, TIER3, Environment, Runtime, Step

if TYPE_CHECKING:
    import torch

PRODUCT_TERMS = 1 << 13
"""Multiplications from which a matrix product pays for packing."""

PACKED_MOST = 1 << 24
"""Binary64 numbers of one packed operand or product; larger nodes are done in pieces."""

_SMALLEST_SIDE = 4
_UNIT = 2.0**-53
_ALL = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldOperand:
    """Words at offset + output strides . output loops + fold strides . fold loops.

    Attributes:
        source: place in the environment.
        offset, outer, inner: in words.
    """

    source: int
    offset: int
    outer: tuple[int, ...]
    inner: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """A fold's loops and operands, merged."""

    out: tuple[int, ...]
    reduce: tuple[int, ...]
    operands: tuple[FoldOperand, ...]

    @classmethod
    def merged(cls, out: Sequence[int], reduce: Sequence[int], operands: Sequence[FoldOperand]) -> Nest:
        """The nest with loops merged within the output loops and within the fold loops."""
        new_out, outer = merge(out, [o.outer for o in operands])
        new_reduce, inner = merge(reduce, [o.inner for o in operands])
        return cls(
            out=new_out,
            reduce=new_reduce,
            operands=tuple(
                FoldOperand(source=o.source, offset=o.offset, outer=a, inner=b)
                for o, a, b in zip(operands, outer, inner, strict=True)
            ),
        )

    @property
    def size(self) -> int:
        """Number of outputs."""
        return int(np.prod(self.out, dtype=np.int64))

    @property
    def terms(self) -> int:
        """K."""
        return int(np.prod(self.reduce, dtype=np.int64))

    def part(self, start: int, stop: int) -> Nest:
        """The outputs with outermost index start to stop - 1."""
        return Nest(
            out=(stop - start, *self.out[1:]),
            reduce=self.reduce,
            operands=tuple(
                FoldOperand(
                    source=o.source, offset=o.offset + start * o.outer[0], outer=o.outer, inner=o.inner
                )
                for o in self.operands
            ),
        )

    def parts(self, count: int) -> list[tuple[int, int, Nest]]:
        """At most `count` pieces: first output, last output + 1, nest."""
        row = self.size // self.out[0]
        return [(a * row, b * row, self.part(a, b)) for a, b in split(self.out, count)]

    def layout(self) -> Layout:
        """As the fold kernels take it."""
        return fold_layout(self.out, self.reduce, [(o.offset, o.outer, o.inner) for o in self.operands])


class TwoSum:
    """Tiers 2 and 3 of one nest."""

    def __init__(self, nest: Nest, code: SumKernels, node: int, runtime: Runtime) -> None:
        self._code, self._node, self._runtime = code, node, runtime
        self._layout = nest.layout()
        self._size = nest.size
        self._scratch = nest.terms * code.entries
        lanes = "".join({0: "0", 1: "1"}.get(o.outer[-1], "s") for o in nest.operands)
        self._by_terms = code.over_terms("".join("1" if o.inner[-1] == 1 else "s" for o in nest.operands))
        self._by_outputs = code.over_outputs(lanes) if _vectorises(nest, lanes) else None

    def run(self, out: Words, arrays: Sequence[Words]) -> None:
        """Write all outputs."""
        open_ = np.empty(self._size, np.int64)
        kernel = self._by_outputs or self._by_terms
        count = kernel(out, *arrays, self._layout, _ALL, -1, open_)
        if count:
            self._settle(out, arrays, open_[:count])

    def resolve(self, out: Words, arrays: Sequence[Words], positions: NDArray[np.int64]) -> None:
        """Write the outputs at these positions."""
        open_ = np.empty(positions.size, np.int64)
        self._runtime.flags[self._node, TIER2] += positions.size
        count = self._by_terms(out, *arrays, self._layout, positions, positions.size, open_)
        if count:
            self._settle(out, arrays, open_[:count])

    def _settle(self, out: Words, arrays: Sequence[Words], positions: NDArray[np.int64]) -> None:
        self._runtime.flags[self._node, TIER3] += positions.size
        scratch = np.empty(self._scratch, np.float64)
        self._code.exactly()(out, *arrays, self._layout, positions, positions.size, scratch)


def _runs(size: int, stride: int) -> tuple[int, int]:
    """How well a loop reads memory when it is innermost: longest contiguous run, then shortest stride."""
    return (size if stride == 1 else 1), (-abs(stride) if stride else -(1 << 62))


def _vectorises(nest: Nest, lanes: str) -> bool:
    """Whether the last output loop is worth vector lanes: contiguous or constant, and long enough."""
    return nest.out[-1] >= 8 and "s" not in lanes and "1" in lanes


class SumStep(Step):
    """A sum fold by TwoSum."""

    def __init__(self, *, target: int, nest: Nest, code: SumKernels, runtime: Runtime) -> None:
        self.target = self.node = target
        self.reads = tuple(o.source for o in nest.operands)
        self._runtime, self._size = runtime, nest.size
        parallel = runtime.threads if nest.size * nest.terms >= PARALLEL_POINTS else 1
        self._parts = [(a, b, TwoSum(piece, code, target, runtime)) for a, b, piece in nest.parts(parallel)]

    def run(self, environment: Environment) -> None:
        out = np.empty(self._size, np.uint32)
        arrays = [environment[place] for place in self.reads]

        def work(part: int) -> None:
            start, stop, two_sum = self._parts[part]
            two_sum.run(out[start:stop], arrays)

        self._runtime.each(work, len(self._parts))
        environment[self.target] = out


class ProductStep(Step):
    """A sum of products as matrix products in binary64; `eligible` says when."""

    def __init__(self, *, target: int, nest: Nest, code: SumKernels, runtime: Runtime) -> None:
        self.target = self.node = target
        self.reads = tuple(o.source for o in nest.operands)
        self._size, self._runtime = nest.size, runtime
        pieces = -(-max(_Product.elements(nest)) // PACKED_MOST)
        self._parts = [
            (a, b, _Product(piece), TwoSum(piece, code, target, runtime))
            for a, b, piece in nest.parts(pieces)
        ]
        largest = max(product.scratch for _, _, product, _ in self._parts)
        if runtime.workspace.size < largest:
            runtime.workspace = np.empty(largest, np.float64)

    @staticmethod
    def eligible(nest: Nest) -> bool:
        """Whether the nest has rows, columns and terms enough for a matrix product."""
        if len(nest.operands) != 2:
            return False
        batch, left, right = (int(np.prod(g, dtype=np.int64)) for g in _Product.groups(nest)[0])
        return (
            min(left, right, nest.terms) >= _SMALLEST_SIDE
            and batch * left * right * nest.terms >= PRODUCT_TERMS
        )

    def run(self, environment: Environment) -> None:
        out = np.empty(self._size, np.uint32)
        arrays = [environment[place] for place in self.reads]
        for start, stop, product, two_sum in self._parts:
            piece = out[start:stop]
            flagged = np.empty(stop - start, np.int64)
            count = product.run(piece, arrays, self._runtime.workspace, flagged)
            if count:
                two_sum.resolve(piece, arrays, flagged[:count])
        environment[self.target] = out


class _Product:
    """One batched matrix product: pack both operands, multiply, certify."""

    def __init__(self, nest: Nest) -> None:
        sizes, members = self.groups(nest)
        # The operand that walks the last output loop is the right one, so that its norms run with the output.
        self._swapped = self._is_swapped(nest)
        order = (1, 0) if self._swapped else (0, 1)
        batch, left, right = (int(np.prod(group, dtype=np.int64)) for group in sizes)
        terms = nest.terms
        self._batch, self._terms = batch, terms
        self._rows = (left, right)
        self._packs = []
        for side, q in enumerate(order):
            operand = nest.operands[q]
            loops = members[0] + members[1 + side]
            rows, (outer,) = merge([nest.out[j] for j in loops], [[operand.outer[j] for j in loops]])
            reduce, (inner,) = merge(nest.reduce, [operand.inner])
            transposed = _runs(rows[-1], outer[-1]) > _runs(reduce[-1], inner[-1])
            self._packs.append((q, fold_layout(rows, reduce, [(operand.offset, outer, inner)]), transposed))
        self._factor = (terms + 2) * _UNIT * (1.0 + (2 * terms + 16) * _UNIT)
        self._certificate = self._output_layout(nest, sizes, members)
        self._bound: NDArray[np.float64] | None = None
        self._buffers: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        self._matrices: list[torch.Tensor] = []

    @staticmethod
    def groups(nest: Nest) -> tuple[list[list[int]], list[list[int]]]:
        """Sizes and numbers of the output loops that are batch, left only, right only (after the swap)."""
        swapped = _Product._is_swapped(nest)
        members: list[list[int]] = [[], [], []]
        for j in range(len(nest.out)):
            first, second = (nest.operands[q].outer[j] != 0 for q in ((1, 0) if swapped else (0, 1)))
            members[0 if first and second else 2 if second else 1].append(j)
        return [[nest.out[j] for j in group] for group in members], members

    @staticmethod
    def _is_swapped(nest: Nest) -> bool:
        return nest.operands[1].outer[-1] == 0

    @staticmethod
    def elements(nest: Nest) -> tuple[int, int, int]:
        """Elements of the packed operands and of the product."""
        batch, left, right = (int(np.prod(g, dtype=np.int64)) for g in _Product.groups(nest)[0])
        return batch * left * nest.terms, batch * right * nest.terms, batch * left * right

    @property
    def scratch(self) -> int:
        """Binary64 numbers of workspace: both packed operands and their norms."""
        return sum(self._batch * rows * (self._terms + 1) for rows in self._rows)

    def run(
        self,
        out: Words,
        arrays: Sequence[Words],
        workspace: NDArray[np.float64],
        flagged: NDArray[np.int64],
    ) -> int:
        """Write the outputs; list those that are not certified and return their number."""
        import torch

        if self._bound is not workspace:
            self._bind(workspace)
        for (packed, norms), (q, layout, transposed) in zip(self._buffers, self._packs, strict=True):
            kernels.pack(packed, norms, arrays[q], layout, transposed)
        # A fresh result each time: no stale number can enter through beta = 0.
        product = torch.matmul(*self._matrices).reshape(-1).numpy()
        (_, left), (_, right) = self._buffers
        return int(
            kernels.certify_products(out, product, left, right, self._factor, self._certificate, flagged)
        )

    def _bind(self, workspace: NDArray[np.float64]) -> None:
        import torch

        buffers, matrices, used = [], [], 0
        for rows, (_, _, transposed) in zip(self._rows, self._packs, strict=True):
            total = self._batch * rows
            packed = workspace[used : used + total * self._terms]
            norms = workspace[used + packed.size : used + packed.size + total]
            used += packed.size + total
            matrix = torch.from_numpy(packed)
            if transposed:
                matrix = matrix.view(self._terms, self._batch, rows).permute(1, 2, 0)
            else:
                matrix = matrix.view(self._batch, rows, self._terms)
            buffers.append((packed, norms))
            matrices.append(matrix[0] if self._batch == 1 else matrix)
        matrices[1] = matrices[1].transpose(-1, -2)
        self._bound, self._buffers, self._matrices = workspace, buffers, matrices

    @staticmethod
    def _output_layout(nest: Nest, sizes: list[list[int]], members: list[list[int]]) -> Layout:
        vectors = [[0] * len(nest.out) for _ in range(3)]
        for vector, chosen in zip(vectors, ((0, 1, 2), (0, 1), (0, 2)), strict=True):
            loops = [j for group in chosen for j in members[group]]
            dense = row_major([size for group in chosen for size in sizes[group]])
            for j, stride in zip(loops, dense, strict=True):
                vector[j] = stride
        loops_, strides = merge(nest.out, vectors)
        return map_layout(loops_, [(0, s) for s in strides])
