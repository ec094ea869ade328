"""From a program to the steps of a run: each node is given its kernel once (program.md, P-1 to P-6).

Every operand is brought to an *affine* one, an array read at offset + strides . loops. In-bounds leaves are
that already. Leaves with bounds, divisors or a gather are first read into an array of their own: over the box
of their coordinates (padding, dilation), or over those loops of the nest that they depend on. Integer leaves
are tables. What fits none of this is left to the reference, which is right for every descriptor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.numerics.expression import is_well_formed
from protocol.numerics.opcodes import Fold, Op
from protocol.program.address import WORD_MASK, capacity
from protocol.program.descriptor import NO_GATHER, Leaf, LeafKind, Node, Source
from protocol.program.program import Program
from prover.engine.codegen import SCALAR_KERNELS, map_kernel
from prover.engine.codegen_sums import SumKernels, sum_kernels
from prover.engine.folds import FoldOperand, Nest, SumStep
from prover.engine.layout import Operand, merge, read_layout, row_major
from prover.engine.products import ProductStep
from prover.engine.reads import BoxReadStep, BoxTables
from prover.engine.steps import (
    ConstantStep,
    MapStep,
    MaxStep,
    ReadStep,
    ReferenceStep,
    Runtime,
    Step,
)

TABLE_MOST = 1 << 24
"""Words of a table of an integer leaf."""

READ_MOST = 1 << 28
"""Words of a leaf that is read before its node runs."""

_COORDINATE_MOST = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Words start, start + 1, ... of an integer leaf (P-3), made anew each step unless INDEX."""

    place: int
    kind: LeafKind
    start: int
    size: int


class _NoKernelError(Exception):
    """The node has a meaning, but no kernel; it goes to the reference."""


class Lowering:
    """Lowers one program. The environment holds node outputs, slots, inputs, then tables and read leaves.

    Attributes:
        steps: in order.
        tables: of integer leaves.
        places: number of arrays in the environment.
    """

    def __init__(self, program: Program, tensor_height: int, runtime: Runtime) -> None:
        self.steps: list[Step] = []
        self.tables: list[Table] = []
        self._runtime = runtime
        self._program = program
        self._capacity = capacity(tensor_height)
        self._starts = (0, len(program.nodes), len(program.nodes) + len(program.slots))
        self._counts = (len(program.nodes), len(program.slots), len(program.inputs))
        self.places = sum(self._counts)
        self._extents = [min(node.extent, self._capacity) for node in program.nodes]
        self._extents += [spec.extent for spec in (*program.slots, *program.inputs)]
        for number, node in enumerate(program.nodes):
            mark = (len(self.steps), len(self.tables), self.places)
            try:
                self._lower(number, node)
            except _NoKernelError:
                del self.steps[mark[0] :], self.tables[mark[1] :]
                self.places = mark[2]
                self._fall_back(number, node)

    def place(self, source: Source, source_id: int) -> int:
        """Place of an operand's array in the environment."""
        return self._starts[source] + source_id

    def _fall_back(self, number: int, node: Node) -> None:
        reads = tuple(
            self.place(leaf.source, leaf.source_id)
            for leaf in node.leaves
            if leaf.kind == LeafKind.OPERAND and self._exists(number, leaf)
        )
        size = self._extents[number]
        self.steps.append(ReferenceStep(target=number, node=node, size=size, places=self.place, reads=reads))

    def _exists(self, number: int, leaf: Leaf) -> bool:
        count = number if leaf.source == Source.NODE else self._counts[leaf.source]
        return leaf.source_id < count

    def _lower(self, number: int, node: Node) -> None:
        malformed = not is_well_formed(node.fold, node.code, len(node.leaves))
        if malformed or 0 in node.out + node.reduce:
            self.steps.append(ConstantStep(target=number, size=self._extents[number]))
        elif node.extent > self._capacity:
            raise _NoKernelError
        elif node.fold == Fold.NONE:
            self._lower_map(number, node)
        else:
            self._lower_fold(number, node)

    def _lower_map(self, number: int, node: Node) -> None:
        op = node.code[-1]
        if op == Op.COPY and self._read_copy(number, node):
            return
        leaves: dict[int, Operand] = {}
        for i in node.code[:-1]:
            if i not in leaves:
                leaves[i] = self._operand(number, node, i)
        self.steps.append(
            MapStep(
                target=number,
                op=op,
                kernel=map_kernel(op),
                sizes=node.out,
                operands=[leaves[i] for i in node.code[:-1]],
                runtime=self._runtime,
                flags=op in SCALAR_KERNELS,
            )
        )

    def _lower_fold(self, number: int, node: Node) -> None:
        code, used = _renumbered(node.code)
        n_out = len(node.out)
        operands = []
        for i in used:
            operand = self._operand(number, node, i)
            operands.append(
                FoldOperand(
                    source=operand.source,
                    offset=operand.offset,
                    outer=operand.strides[:n_out],
                    inner=operand.strides[n_out:],
                )
            )
        nest = Nest.merged(node.out, node.reduce, operands)
        if node.fold != Fold.SUM:
            parallel = self._runtime.parts(nest.size * nest.terms)
            self.steps.append(
                MaxStep(
                    target=number,
                    operand=operands[0].source,
                    parts=[(a, b, piece.layout()) for a, b, piece in nest.parts(parallel)],
                    argmax=node.fold == Fold.ARGMAX,
                    runtime=self._runtime,
                )
            )
            return
        self.steps.append(self._sum(number, nest, sum_kernels(code)))

    def _sum(self, number: int, nest: Nest, code: SumKernels) -> Step:
        if not code.entries:
            return ConstantStep(target=number, size=self._extents[number])
        if code.code == bytes([0, 1, Op.MUL]) and ProductStep.eligible(nest):
            return self._product(number, nest, code)
        return SumStep(target=number, nest=nest, code=code, runtime=self._runtime)

    def _product(self, number: int, nest: Nest, code: SumKernels) -> Step:
        if self._runtime.device is None:
            return ProductStep(target=number, nest=nest, code=code, runtime=self._runtime)
        from prover.engine.device import DeviceProductStep, check_device

        device = check_device(self._runtime.device)
        return DeviceProductStep(target=number, nest=nest, code=code, runtime=self._runtime, device=device)

    def _operand(self, number: int, node: Node, i: int) -> Operand:
        """The leaf as an affine operand over all loops of the node, read into an array first if needed."""
        leaf = node.leaves[i]
        loops = node.out + node.reduce
        if leaf.kind != LeafKind.OPERAND:
            return self._table(leaf, loops)
        reach = self._reach(number, i, leaf, loops)
        if leaf.gather_dim == NO_GATHER:
            affine = _in_bounds(leaf, reach)
            if affine is not None:
                offset, strides = affine
                return Operand(
                    source=self.place(leaf.source, leaf.source_id),
                    offset=offset,
                    strides=strides or (0,) * len(loops),
                )
            volume = math.prod(high - low + 1 for low, high in reach)
            if volume < math.prod(_depends(leaf, loops, None)[1]):
                return self._read_box(number, leaf, loops, reach, volume)
        index = self._operand(number, node, leaf.gather_leaf) if leaf.gather_dim != NO_GATHER else None
        kept, sizes = _depends(leaf, loops, index)
        place = self._read(number, leaf, loops, kept, index, self._new_place())
        dense = dict(zip(kept, row_major(sizes), strict=True))
        return Operand(source=place, offset=0, strides=tuple(dense.get(j, 0) for j in range(len(loops))))

    def _read_copy(self, number: int, node: Node) -> bool:
        """A copy whose leaf has to be read anyway, over all loops, is that read."""
        leaf = node.leaves[node.code[0]]
        if leaf.kind != LeafKind.OPERAND:
            return False
        reach = self._reach(number, node.code[0], leaf, node.out)
        index = None
        if leaf.gather_dim != NO_GATHER:
            index = self._operand(number, node, leaf.gather_leaf)
        elif _in_bounds(leaf, reach) is not None:
            return False
        self._read(number, leaf, node.out, list(range(len(node.out))), index, number)
        return True

    def _read(
        self,
        number: int,
        leaf: Leaf,
        loops: Sequence[int],
        kept: Sequence[int],
        index: Operand | None,
        target: int,
    ) -> int:
        """A step that reads the leaf over some of the loops, the others being 0 or of no matter."""
        sizes = [loops[j] for j in kept]
        if math.prod(sizes) > READ_MOST:
            raise _NoKernelError
        vectors = [[row[j] for j in kept] for row in leaf.strides]
        if index is not None:
            vectors.append([index.strides[j] for j in kept])
        nest, strides = merge(sizes, vectors)
        source, points = self.place(leaf.source, leaf.source_id), math.prod(sizes)
        tables = BoxTables.of(nest, leaf, strides) if index is None else None
        if tables is not None:
            box = BoxReadStep(
                target=target,
                node=number,
                source=source,
                points=points,
                fill=leaf.fill,
                tables=tables,
                runtime=self._runtime,
            )
            self.steps.append(box)
            return target
        along = None if index is None else (index.offset, strides[-1])
        self.steps.append(
            ReadStep(
                target=target,
                node=number,
                source=source,
                index=None if index is None else index.source,
                points=points,
                layout=read_layout(nest, leaf, strides[: leaf.rank], along),
            )
        )
        return target

    def _read_box(
        self, number: int, leaf: Leaf, loops: Sequence[int], reach: Sequence[tuple[int, int]], volume: int
    ) -> Operand:
        """The leaf over the box of its coordinates, so that padding and dilation become affine."""
        if volume > READ_MOST:
            raise _NoKernelError
        sizes = [high - low + 1 for low, high in reach]
        unit = [tuple(int(d == j) for j in range(leaf.rank)) for d in range(leaf.rank)]
        box = Leaf(
            source=leaf.source,
            source_id=leaf.source_id,
            fill=leaf.fill,
            offsets=tuple(low for low, _ in reach),
            sizes=leaf.sizes,
            divisors=leaf.divisors,
            strides=tuple(unit),
        )
        place = self._read(number, box, sizes, list(range(leaf.rank)), None, self._new_place())
        dense = row_major(sizes)
        offset = sum((leaf.offsets[d] - low) * dense[d] for d, (low, _) in enumerate(reach))
        strides = tuple(
            sum(leaf.strides[d][j] * dense[d] for d in range(leaf.rank)) for j in range(len(loops))
        )
        return Operand(source=place, offset=offset, strides=strides)

    def _reach(self, number: int, i: int, leaf: Leaf, loops: Sequence[int]) -> list[tuple[int, int]]:
        """Least and greatest coordinate per dimension, without the gather.

        Raises:
            _NoKernelError: a rule of P-6 may bite.
        """
        gathers = leaf.gather_dim != NO_GATHER
        reach = [_range(leaf.offsets[d], leaf.strides[d], loops) for d in range(leaf.rank)]
        largest = 0
        for d, (_, high) in enumerate(reach):
            last = leaf.sizes[d] - 1
            if d != leaf.gather_dim:
                last = min(last, high // max(leaf.divisors[d], 1))
            largest = largest * leaf.sizes[d] + max(last, 0)
        if not self._exists(number, leaf) or (gathers and leaf.gather_leaf >= i):
            raise _NoKernelError
        if any(max(-low, high) > _COORDINATE_MOST for low, high in reach):
            raise _NoKernelError
        if largest >= self._extents[self.place(leaf.source, leaf.source_id)]:
            raise _NoKernelError
        return reach

    def _table(self, leaf: Leaf, loops: Sequence[int]) -> Operand:
        strides = leaf.strides[0] if leaf.rank else (0,) * len(loops)
        offset = leaf.offsets[0] if leaf.rank else 0
        low, high = _range(offset, strides, loops)
        if high - low >= TABLE_MOST:
            raise _NoKernelError
        key = (leaf.kind, low & WORD_MASK, high - low + 1)
        for table in self.tables:
            if (table.kind, table.start, table.size) == key:
                return Operand(source=table.place, offset=offset - low, strides=strides)
        table = Table(place=self._new_place(), kind=key[0], start=key[1], size=key[2])
        self.tables.append(table)
        return Operand(source=table.place, offset=offset - low, strides=strides)

    def _new_place(self) -> int:
        self.places += 1
        return self.places - 1


def _range(offset: int, strides: Sequence[int], loops: Sequence[int]) -> tuple[int, int]:
    """Least and greatest value of an affine form over non-empty loops."""
    ends = [stride * (size - 1) for stride, size in zip(strides, loops, strict=True)]
    return offset + sum(min(e, 0) for e in ends), offset + sum(max(e, 0) for e in ends)


def _in_bounds(leaf: Leaf, reach: Sequence[tuple[int, int]]) -> tuple[int, tuple[int, ...]] | None:
    """Flat (offset, strides) of a leaf that never reads its fill word, or None; no strides with rank 0."""
    offset, strides = 0, [0] * (len(leaf.strides[0]) if leaf.rank else 0)
    for d, (low, high) in enumerate(reach):
        divisor = max(leaf.divisors[d], 1)
        numbers = (leaf.offsets[d], *leaf.strides[d])
        if any(n % divisor for n in numbers) or low < 0 or high // divisor >= leaf.sizes[d]:
            return None
        offset = offset * leaf.sizes[d] + numbers[0] // divisor
        strides = [s * leaf.sizes[d] + n // divisor for s, n in zip(strides, numbers[1:], strict=True)]
    return offset, tuple(strides)


def _depends(leaf: Leaf, loops: Sequence[int], index: Operand | None) -> tuple[list[int], list[int]]:
    """Loops that the leaf's word depends on, and their sizes."""
    vectors = [*leaf.strides, *([] if index is None else [index.strides])]
    kept = [j for j in range(len(loops)) if any(vector[j] for vector in vectors)]
    return kept, [loops[j] for j in kept]


def _renumbered(code: bytes) -> tuple[bytes, list[int]]:
    """The code with its leaves numbered in order of first use, and the leaves in that order."""
    used: list[int] = []
    new = bytearray()
    for op in code:
        if op <= Op.LEAF3:
            if op not in used:
                used.append(op)
            new.append(used.index(op))
        else:
            new.append(op)
    return bytes(new), used
