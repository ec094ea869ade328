"""Which nodes of a step are computed in shares, and the program of one share (specs/trainer.md, K-7).

The leading loop of what a batch is read into is cut into shares. A node is *local* if its own leading loop
can be cut likewise and at least one operand that is held in shares is then read within the own share alone. A
sum over such an operand is *combined*: each process folds its part of the terms. All other nodes are computed
*whole* by every process. Whatever is read beyond a share is gathered first. All of it follows from the affine
addresses by interval arithmetic, so every process comes to the same plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from protocol.numerics.expression import is_well_formed
from protocol.numerics.opcodes import Fold
from protocol.program.descriptor import Leaf, LeafKind, Node, Source
from protocol.program.program import Program


class Mode(Enum):
    """How the processes compute a node."""

    LOCAL = "local"
    COMBINED = "combined"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a program is shared.

    Attributes:
        parts: into so many equal parts leading loops are cut before they are dealt out.
        world: processes.
        modes: per node.
        loops: per combined node the number of the loop that is cut.
        within: per node the leaves that read within the own share.
        gathered: local nodes that somebody reads whole.
    """

    parts: int
    world: int
    modes: tuple[Mode, ...]
    loops: dict[int, int]
    within: tuple[frozenset[int], ...]
    gathered: frozenset[int]

    def share(self, rank: int, size: int) -> tuple[int, int]:
        """First and last + 1 of a leading size, a multiple of `parts`, that a process has."""
        unit = size // self.parts
        return unit * (self.parts * rank // self.world), unit * (self.parts * (rank + 1) // self.world)

    def counts(self) -> dict[str, int]:
        """How many nodes there are of each mode, and how many are gathered."""
        found = {mode.value: self.modes.count(mode) for mode in Mode}
        return {**found, "gathered": len(self.gathered)}


def make_plan(program: Program, world: int) -> Plan:
    """Decide for every node of a program."""
    parts = _parts(program)
    planner = _Planner(program, parts, world)
    for number, node in enumerate(program.nodes):
        planner.take(number, node)
    ends = [link for link in (*program.links, program.loss) if link < len(program.nodes)]
    planner.gathered |= {link for link in ends if planner.modes[link] is Mode.LOCAL}
    return Plan(
        parts=parts,
        world=world,
        modes=tuple(planner.modes),
        loops=planner.loops,
        within=tuple(planner.within),
        gathered=frozenset(planner.gathered),
    )


def _parts(program: Program) -> int:
    """The greatest common divisor of the leading loops of all that reads rows of the dataset."""
    sizes = [
        node.out[loop]
        for node in program.nodes
        if any(leaf.kind == LeafKind.ROW for leaf in node.leaves) and (loop := leading(node.out)) is not None
    ]
    return math.gcd(*sizes) if sizes else 1


def leading(sizes: Sequence[int]) -> int | None:
    """The first loop that is longer than 1."""
    return next((j for j, size in enumerate(sizes) if size > 1), None)


class _Planner:
    def __init__(self, program: Program, parts: int, world: int) -> None:
        self.modes: list[Mode] = []
        self.loops: dict[int, int] = {}
        self.within: list[frozenset[int]] = []
        self.gathered: set[int] = set()
        self._program = program
        self._shape = Plan(parts=parts, world=world, modes=(), loops={}, within=(), gathered=frozenset())

    def take(self, number: int, node: Node) -> None:
        """Decide for the next node."""
        mode, loop, within = self._decided(number, node)
        self.modes.append(mode)
        self.within.append(within)
        if mode is Mode.COMBINED and loop is not None:
            self.loops[number] = loop
        read = {
            leaf.source_id
            for i, leaf in enumerate(node.leaves)
            if self._is_held_in_shares(number, leaf) and i not in within
        }
        self.gathered |= read

    def _decided(self, number: int, node: Node) -> tuple[Mode, int | None, frozenset[int]]:
        whole = (Mode.WHOLE, None, frozenset[int]())
        if not is_well_formed(node.fold, node.code, len(node.leaves)) or 0 in node.out + node.reduce:
            return whole
        loop = leading(node.out)
        if loop is not None and self._can_cut(node, loop):
            within = self._within(number, node, loop)
            rows = any(leaf.kind == LeafKind.ROW and leaf.strides[0][loop] for leaf in node.leaves)
            if within or rows:
                return Mode.LOCAL, loop, within
        if node.fold == Fold.SUM:
            for inner in range(len(node.out), len(node.out) + len(node.reduce)):
                within = self._within(number, node, inner) if self._can_cut(node, inner) else frozenset()
                if within:
                    return Mode.COMBINED, inner, within
        return whole

    def _can_cut(self, node: Node, loop: int) -> bool:
        sizes = node.out + node.reduce
        return self._shape.parts >= self._shape.world > 1 and sizes[loop] % self._shape.parts == 0

    def _is_held_in_shares(self, number: int, leaf: Leaf) -> bool:
        return (
            leaf.kind == LeafKind.OPERAND
            and leaf.source == Source.NODE
            and leaf.source_id < number
            and self.modes[leaf.source_id] is Mode.LOCAL
        )

    def _within(self, number: int, node: Node, loop: int) -> frozenset[int]:
        """The leaves held in shares that every process reads within its own if this loop is cut."""
        return frozenset(
            i
            for i, leaf in enumerate(node.leaves)
            if self._is_held_in_shares(number, leaf)
            and all(self._stays(node, leaf, loop, rank) for rank in range(self._shape.world))
        )

    def _stays(self, node: Node, leaf: Leaf, loop: int, rank: int) -> bool:
        extent = self._program.nodes[leaf.source_id].extent
        bounds = leading_rows(self._shape, leaf, extent, rank)
        d = leading(leaf.sizes)
        if bounds is None or d is None or leaf.gather_dim == d:
            return False
        sizes = list(node.out + node.reduce)
        start, stop = self._shape.share(rank, sizes[loop])
        low = high = leaf.offsets[d]
        for j, stride in enumerate(leaf.strides[d]):
            first, last = (start, stop - 1) if j == loop else (0, sizes[j] - 1)
            low += min(stride * first, stride * last)
            high += max(stride * first, stride * last)
        divisor = max(leaf.divisors[d], 1)
        # What lies outside the operand reads the fill word, in shares as in the whole.
        least = max(-(-low // divisor), 0)
        greatest = min(high // divisor, leaf.sizes[d] - 1)
        return least > greatest or (bounds[0] <= least and greatest < bounds[1])


def leading_rows(plan: Plan, leaf: Leaf, extent: int, rank: int) -> tuple[int, int] | None:
    """Indices of the leading dimension of an operand that lie in the own share of its source, or None.

    Args:
        extent: of the source.
    """
    d = leading(leaf.sizes)
    if d is None or math.prod(leaf.sizes) != extent:
        return None
    row = math.prod(leaf.sizes[d + 1 :])
    start, stop = plan.share(rank, extent)
    if start % row or stop % row:
        return None
    return start // row, stop // row


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The program of one process.

    Attributes:
        program: same slots and inputs; links and loss name whole words.
        gathers: by number the node here whose shares of all processes it puts together.
        combines: nodes here that are sums over all processes, with the number of terms of all.
        sizes: by gathering node, words of each process's share.
    """

    program: Program
    gathers: dict[int, int]
    combines: dict[int, int]
    sizes: dict[int, tuple[int, ...]]


def share_program(program: Program, plan: Plan, rank: int) -> Shared:
    """Return what one process runs: nodes of its share, and a node after each that has to be gathered."""
    nodes: list[Node] = []
    labels: list[str] = []
    own: list[int] = []
    whole: list[int] = []
    gathers: dict[int, int] = {}
    combines: dict[int, int] = {}
    sizes: dict[int, tuple[int, ...]] = {}
    for number, node in enumerate(program.nodes):
        if plan.modes[number] is Mode.COMBINED:
            combines[len(nodes)] = node.terms
        own.append(len(nodes))
        nodes.append(_cut(program, plan, rank, number, own, whole))
        labels.append(program.labels[number])
        if number in plan.gathered:
            gathers[len(nodes)] = own[-1]
            spans = (plan.share(other, node.extent) for other in range(plan.world))
            sizes[len(nodes)] = tuple(stop - start for start, stop in spans)
            nodes.append(Node(fold=Fold.SUM, out=(node.extent,), reduce=(0,), leaves=(), code=b""))
            labels.append(f"gathered {program.labels[number]}")
        whole.append(len(nodes) - 1)
    count = len(program.nodes)
    return Shared(
        program=replace(
            program,
            nodes=tuple(nodes),
            labels=tuple(labels),
            links=tuple(whole[link] if link < count else link for link in program.links),
            loss=whole[program.loss],
        ),
        gathers=gathers,
        combines=combines,
        sizes=sizes,
    )


def _cut(
    program: Program, plan: Plan, rank: int, number: int, own: Sequence[int], whole: Sequence[int]
) -> Node:
    """A node with its loop cut to the own share, reading shares where it stays within them."""
    node, mode = program.nodes[number], plan.modes[number]
    n_out = len(node.out)
    loop = leading(node.out) if mode is Mode.LOCAL else plan.loops.get(number)
    sizes = list(node.out + node.reduce)
    start = 0
    if loop is not None and mode is not Mode.WHOLE:
        start, stop = plan.share(rank, sizes[loop])
        sizes[loop] = stop - start
    leaves = []
    for i, leaf in enumerate(node.leaves):
        offsets = leaf.offsets
        if start and loop is not None:
            offsets = tuple(
                offset + start * strides[loop] for offset, strides in zip(offsets, leaf.strides, strict=True)
            )
        moved = replace(leaf, offsets=offsets)
        if leaf.kind == LeafKind.OPERAND and leaf.source == Source.NODE and leaf.source_id < number:
            names = own if i in plan.within[number] else whole
            moved = replace(moved, source_id=names[leaf.source_id])
            if i in plan.within[number]:
                moved = _narrowed(plan, moved, program.nodes[leaf.source_id].extent, rank)
        leaves.append(moved)
    return replace(node, out=tuple(sizes[:n_out]), reduce=tuple(sizes[n_out:]), leaves=tuple(leaves))


def _narrowed(plan: Plan, leaf: Leaf, extent: int, rank: int) -> Leaf:
    """The leaf as it reads an array that holds the own share alone."""
    rows, d = leading_rows(plan, leaf, extent, rank), leading(leaf.sizes)
    if rows is None or d is None:  # the plan has looked
        return leaf
    first, last = rows
    sizes, offsets = list(leaf.sizes), list(leaf.offsets)
    sizes[d] = last - first
    offsets[d] -= first * max(leaf.divisors[d], 1)
    return replace(leaf, sizes=tuple(sizes), offsets=tuple(offsets))
