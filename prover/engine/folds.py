"""Sum folds: plain sums, TwoSum, then an integer superaccumulator that leaves nothing open (N-1, N-14).

Sums of products go through tiles in binary64 first (products.py); here is what their certificate leaves open,
and all other folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from protocol.numerics.opcodes import Op
from prover.engine.codegen_sums import SumKernels
from prover.engine.layout import Layout, fold_layout, merge, split
from prover.engine.plain_sums import plain_kernel
from prover.engine.steps import TIER2, TIER3, Environment, Runtime, Step

_LANES_FROM = 512
"""Terms from which it pays to keep one sum per lane."""

_FEW_TERMS = 64
"""Terms up to which outputs stand in vector lanes though their operands lie apart."""

_ALL = np.empty(0, np.int64)

_PLAIN = {bytes([0]): (0,), bytes([0, 0, Op.MUL]): (0, 0), bytes([0, 1, Op.MUL]): (0, 1)}
"""Codes whose terms are numbers or products of two, and of which operands."""


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

    def picked(self, which: Sequence[int]) -> Nest:
        """The nest with these operands."""
        return Nest(out=self.out, reduce=self.reduce, operands=tuple(self.operands[q] for q in which))

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
        inner = "".join({0: "0", 1: "1"}.get(o.inner[-1], "s") for o in nest.operands)
        self._by_terms = (
            code.over_lanes(inner)
            if _vectorises(nest.reduce, inner) and nest.terms >= _LANES_FROM
            else code.over_terms(inner.replace("0", "s"))
        )
        few = nest.terms <= _FEW_TERMS and nest.size >= _FEW_TERMS
        self._by_outputs = (
            code.over_outputs(lanes) if _vectorises(nest.out, lanes) else code.over_points() if few else None
        )

    def run(self, out: Words, arrays: Sequence[Words]) -> NDArray[np.int64]:
        """Write all outputs; return the places of those that are not certified."""
        open_ = np.empty(self._size, np.int64)
        kernel = self._by_outputs or self._by_terms
        return open_[: kernel(out, *arrays, self._layout, _ALL, -1, open_)]

    def resolve(self, out: Words, arrays: Sequence[Words], positions: NDArray[np.int64]) -> None:
        """Write the outputs at these positions."""
        self._runtime.flags[self._node, TIER2] += positions.size
        parts = split((positions.size,), self._runtime.threads)
        found: list[NDArray[np.int64]] = []

        def work(part: int) -> None:
            start, stop = parts[part]
            own = positions[start:stop]
            open_ = np.empty(own.size, np.int64)
            count = self._by_terms(out, *arrays, self._layout, own, own.size, open_)
            found.append(open_[:count])

        self._runtime.each(work, len(parts))
        self.settle(out, arrays, np.concatenate(found))

    def settle(self, out: Words, arrays: Sequence[Words], positions: NDArray[np.int64]) -> None:
        """Write the outputs at these positions, if any, by the tier that leaves nothing open."""
        if not positions.size:
            return
        self._runtime.flags[self._node, TIER3] += positions.size
        exactly = self._code.exactly()
        parts = split((positions.size,), self._runtime.threads)

        def work(part: int) -> None:
            start, stop = parts[part]
            scratch = np.empty(self._scratch, np.float64)
            exactly(out, *arrays, self._layout, positions[start:stop], stop - start, scratch)

        self._runtime.each(work, len(parts))


def _vectorises(loops: Sequence[int], strides: str) -> bool:
    """Whether the last of some loops is worth vector lanes: contiguous or constant, and long enough."""
    return loops[-1] >= 8 and "s" not in strides and "1" in strides


class SumStep(Step):
    """A sum fold: numbers and products in plain binary64 where they lie side by side, else by TwoSum."""

    def __init__(self, *, target: int, nest: Nest, code: SumKernels, runtime: Runtime) -> None:
        self.target = self.node = target
        self.reads = tuple(o.source for o in nest.operands)
        self._runtime, self._size = runtime, nest.size
        parallel = runtime.parts(nest.size * nest.terms)
        self._parts = [(a, b, TwoSum(piece, code, target, runtime)) for a, b, piece in nest.parts(parallel)]
        self._factors = _PLAIN.get(code.code, ())
        self._layouts = [piece.picked(self._factors).layout() for _, _, piece in nest.parts(parallel)]
        # The first part is the shortest: what suits it suits all.
        self._plain = plain_kernel(self._layouts[0], len(self._factors)) if self._factors else None

    def run(self, environment: Environment) -> None:
        out = np.empty(self._size, np.uint32)
        arrays = [environment[place] for place in self.reads]
        found = [_ALL] * len(self._parts)

        def work(part: int) -> None:
            start, stop, two_sum = self._parts[part]
            if self._plain is None:
                found[part] = two_sum.run(out[start:stop], arrays)
                return
            open_ = np.empty(stop - start, np.int64)
            numbers = [arrays[q].view(np.float32) for q in self._factors]
            two = len(numbers) > 1
            layout = self._layouts[part]
            found[part] = open_[: self._plain(out[start:stop], numbers[0], numbers[-1], two, layout, open_)]

        self._runtime.each(work, len(self._parts))
        for (start, stop, two_sum), open_ in zip(self._parts, found, strict=True):
            if open_.size:
                finish = two_sum.settle if self._plain is None else two_sum.resolve
                finish(out[start:stop], arrays, open_)
        environment[self.target] = out
