"""What a run executes, step after step: reads, maps, max folds, and the reference for what has no kernel.

A step takes words from the environment of a run, a list of flat uint32 arrays, and puts one array back. Steps
are made once per program (lowering.py).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from protocol.numerics.primitives import apply
from protocol.program import evaluation
from protocol.program.descriptor import Node, Source
from protocol.program.evaluation import StepContext
from prover.engine import kernels
from prover.engine.layout import Layout, Operand, map_layout, merge, split

Environment = list[Words]

TIER2, TIER3, REFERENCE = 0, 1, 2
"""Columns of the counters: elements left open by the certificates of products, of TwoSum, of exp and log."""

PARALLEL_POINTS = 1 << 16
"""Points of a loop nest above which threads share it."""

_NONE = np.empty(0, np.int64)
_LINE = 64


@dataclass(slots=True, kw_only=True)
class Runtime:
    """What steps share.

    Attributes:
        threads: how many threads may work on one step.
        pool: of ``threads`` - 1, where those are several: who calls is one more.
        flags: int64[nodes, 3], elements by tier since the executor was made.
        device: on which torch multiplies (device.py); None for tiles on the processor.
    """

    threads: int
    pool: ThreadPoolExecutor | None
    flags: NDArray[np.int64]
    device: str | None = None
    _scratch: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def scratch(self, size: int, part: int = -1) -> NDArray[np.float64]:
        """Memory for so many numbers, aligned to cache lines; the next call gives the same memory again.

        Args:
            size: in numbers.
            part: of `each`, for which it is; -1: all parts'.
        """
        if part not in self._scratch or self._scratch[part].size < size:
            memory = np.empty(size + _LINE // 8, np.float64)
            self._scratch[part] = memory[-memory.ctypes.data % _LINE // 8 :]
        return self._scratch[part][:size]

    def parts(self, points: int) -> int:
        """Into how many parts work on so many points is cut."""
        return self.threads if points >= PARALLEL_POINTS else 1

    def each(self, work: Callable[[int], None], count: int) -> None:
        """Run work(0) ... work(count - 1) here, and on the pool if there are several."""
        parts = itertools.count()

        def take() -> None:
            while (part := next(parts)) < count:
                work(part)

        others = [self.pool.submit(take) for _ in range(min(self.threads, count) - 1)] if self.pool else []
        try:
            take()
        finally:
            # Who has not begun by now would find nothing left to do.
            begun = [other for other in others if not other.cancel()]
            wait(begun)
        for other in begun:
            other.result()


class Step(ABC):
    """One array of the environment, or several, made from earlier ones.

    Attributes:
        target: place in the environment that the step writes.
        node: the node that it works for.
        reads: places that it reads.
    """

    target: int
    node: int
    reads: tuple[int, ...]

    @property
    def targets(self) -> tuple[int, ...]:
        """Places that the step writes."""
        return (self.target,)

    @abstractmethod
    def run(self, environment: Environment) -> None:
        """Write the target."""


class ReadStep(Step):
    """The words of one operand leaf over a nest, by `kernels.read_leaf`."""

    def __init__(
        self, *, target: int, node: int, source: int, index: int | None, points: int, layout: Layout
    ) -> None:
        self.target, self.node = target, node
        self._source, self._index, self._points, self._layout = source, index, points, layout
        self.reads = (source,) if index is None else (source, index)

    def run(self, environment: Environment) -> None:
        out = np.empty(self._points, np.uint32)
        source = environment[self._source]
        index = source if self._index is None else environment[self._index]
        kernels.read_leaf(out, source, index, self._layout)
        environment[self.target] = out


class MapStep(Step):
    """One primitive over affine operands; what its certificate leaves open goes to the reference.

    Attributes:
        op, sizes, operands: of the node; size: its points.
        flags: whether there is a certificate.
    """

    def __init__(
        self,
        *,
        target: int,
        op: int,
        kernel: Callable[..., int],
        sizes: Sequence[int],
        operands: Sequence[Operand],
        runtime: Runtime,
        flags: bool,
    ) -> None:
        self.target = self.node = target
        self.reads = tuple(operand.source for operand in operands)
        self.op, self.sizes, self.operands, self.flags = int(op), tuple(sizes), tuple(operands), flags
        self._kernel, self._runtime = kernel, runtime
        loops, strides = merge(sizes, [operand.strides for operand in operands])
        inner = int(np.prod(loops[1:], dtype=np.int64))
        self.size = loops[0] * inner
        self._parts = [
            (
                start * inner,
                stop * inner,
                map_layout(
                    (stop - start, *loops[1:]),
                    [(o.offset + start * s[0], s) for o, s in zip(operands, strides, strict=True)],
                ),
            )
            for start, stop in split(loops, runtime.parts(self.size))
        ]
        self._alone = self._parts[0][2] if len(self._parts) == 1 and not flags else None

    def run(self, environment: Environment) -> None:
        out = np.empty(self.size, np.uint32)
        operands = [environment[place] for place in self.reads]
        if self._alone is not None:
            self._kernel(out, *operands, self._alone, self.op, _NONE)
        else:
            self._runtime.each(lambda part: self._run_part(part, out, operands), len(self._parts))
        environment[self.target] = out

    def _run_part(self, part: int, out: Words, operands: list[Words]) -> None:
        start, stop, layout = self._parts[part]
        piece = out[start:stop]
        flagged = np.empty(stop - start if self.flags else 0, np.int64)
        count = self._kernel(piece, *operands, layout, self.op, flagged)
        if count:
            # Only scalar functions flag, at few words of all (specs/certificates): each is answered once, so
            # a tensor full of them does not go through the reference element by element.
            where = flagged[:count]
            words, places = np.unique(operands[0][_addresses(layout, where)], return_inverse=True)
            answers = [apply(self.op, word) for word in words.tolist()]
            piece[where] = np.array(answers, np.uint32)[places]
            self._runtime.flags[self.node, REFERENCE] += count


class MaxStep(Step):
    """Max or first argmax (N-10)."""

    def __init__(
        self,
        *,
        target: int,
        operand: int,
        parts: Sequence[tuple[int, int, Layout]],
        argmax: bool,
        runtime: Runtime,
    ) -> None:
        self.target = self.node = target
        self.reads = (operand,)
        self._parts, self._argmax, self._runtime = parts, argmax, runtime

    def run(self, environment: Environment) -> None:
        out = np.empty(self._parts[-1][1], np.uint32)
        source = environment[self.reads[0]]

        def work(part: int) -> None:
            start, stop, layout = self._parts[part]
            kernels.fold_max(out[start:stop], source, layout, self._argmax)

        self._runtime.each(work, len(self._parts))
        environment[self.target] = out


class ConstantStep(Step):
    """Zero words: a node of extent 0, or a fold over nothing (N-11)."""

    def __init__(self, *, target: int, size: int) -> None:
        self.target = self.node = target
        self.reads = ()
        self._size = size

    def run(self, environment: Environment) -> None:
        environment[self.target] = np.zeros(self._size, np.uint32)


class ReferenceStep(Step):
    """A node evaluated word by word by the reference: right for every descriptor, and slow.

    `context` is set by the executor before each run.
    """

    context: StepContext

    def __init__(
        self,
        *,
        target: int,
        node: Node,
        size: int,
        places: Callable[[Source, int], int],
        reads: tuple[int, ...],
    ) -> None:
        self.target = self.node = target
        self.reads = reads
        self._descriptor, self._size, self._places = node, size, places

    def run(self, environment: Environment) -> None:
        def read(leaf: int, source: Source, source_id: int, flat: int) -> int:
            del leaf
            words = environment[self._places(source, source_id)]
            return int(words[flat]) if flat < words.size else 0

        environment[self.target] = np.array(
            [
                evaluation.word(self._descriptor, self.target, index, self.context, read)
                for index in range(self._size)
            ],
            dtype=np.uint32,
        )


def _addresses(layout: Layout, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Addresses that the first operand of a map kernel has at positions of the nest."""
    at = kernels.MAP_OPERANDS
    rest, addresses = positions, np.full(positions.size, layout[at], np.int64)
    for d in range(int(layout[0]) - 1, -1, -1):
        rest, index = np.divmod(rest, layout[kernels.MAP_SIZES + d])
        addresses += index * layout[at + 1 + d]
    return addresses
