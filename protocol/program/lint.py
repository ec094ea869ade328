"""What a party checks before it follows a job (program.md, P-11).

The contract gives every program a meaning; these checks keep out programs whose meaning nobody intended, and
the few that would make a proof dear.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol.commitments.canonical import Words, is_canonical_f32
from protocol.errors import MalformedError
from protocol.numerics.expression import is_well_formed
from protocol.program.descriptor import CARRIED, NO_GATHER, Leaf, LeafKind, Node, Source
from protocol.program.interpreter import input_height, tensor_height
from protocol.program.program import Program, TensorSpec

MAX_TENSOR_HEIGHT = 26
"""The most that the board opens a job with (U-1); keeps 64 opened pages with paths in one witness (P-12)."""

MAX_COORDINATE = 1 << 62
"""Keeps coordinates, and what is gathered, inside the 64-bit integers of fast kernels, where they wrap to
addresses that are not the contract's."""


def check_program(program: Program) -> None:
    """Check every descriptor and the links.

    Raises:
        MalformedError: naming the node or slot and what is wrong with it.
    """
    _check_tables(program)
    if max(tensor_height(program), input_height(program)) > MAX_TENSOR_HEIGHT:
        raise MalformedError(
            f"the largest tensor has {max(program.largest_extent, program.largest_input)} words, "
            f"more than a tree of height {MAX_TENSOR_HEIGHT} holds; split it"
        )
    for number, (node, label) in enumerate(zip(program.nodes, program.labels, strict=True)):
        try:
            _check_node(program, number, node)
        except MalformedError as error:
            raise MalformedError(f"node {number} ({label}): {error}") from error


def check_descriptor(data: bytes) -> Node:
    """Return the node in 1024 bytes that are its only encoding (P-2).

    Raises:
        MalformedError: malformed by P-6, or a byte that is not used is not zero.
    """
    node = Node.decode(data)
    if node.encode() != data:
        raise MalformedError("an unused byte of the descriptor is not zero; encode the node again")
    return node


def check_values(program: Program, *, inputs: Sequence[Words], state: Sequence[Words]) -> None:
    """Check that inputs and an initial state fit the program and are canonical (N-4, P-9).

    Args:
        inputs, state: flat uint32 words per input (the link table first) and per slot.

    Raises:
        MalformedError: naming the tensor and what is wrong with it.
    """
    for kind, specs, arrays in (("input", program.inputs, inputs), ("slot", program.slots, state)):
        if len(specs) != len(arrays):
            raise MalformedError(f"{len(arrays)} tensors for the {len(specs)} {kind}s of the program")
        for spec, words in zip(specs, arrays, strict=True):
            _check_tensor(kind, spec, words)
    if [int(word) for word in inputs[0]] != list(program.links):
        raise MalformedError(f"input 0 ({program.inputs[0].name}) is not the program's link table (P-9)")


def _check_tensor(kind: str, spec: TensorSpec, words: Words) -> None:
    if words.dtype != np.uint32 or words.shape != (spec.extent,):
        raise MalformedError(
            f"{kind} {spec.name}: {words.dtype}{words.shape} is not {spec.extent} flat uint32 words"
        )
    if spec.dtype == "f32" and not is_canonical_f32(words):
        raise MalformedError(
            f"{kind} {spec.name}: holds -0 or an uncommon NaN; write it in canonical form (N-4)"
        )


def _check_tables(program: Program) -> None:
    if not program.nodes or not program.slots or not program.inputs:
        raise MalformedError("a program needs at least one node, one slot and the link table")
    if len(program.labels) != len(program.nodes):
        raise MalformedError(f"{len(program.labels)} labels for {len(program.nodes)} nodes; give one each")
    if not 0 <= program.loss < len(program.nodes):
        raise MalformedError(f"the loss is node {program.loss}, which does not exist")
    n_slots = len(program.slots)
    if len(program.links) != n_slots or program.inputs[0].extent != n_slots:
        raise MalformedError(f"the link table needs one word for each of the {n_slots} slots (P-9)")
    for spec, link in zip(program.slots, program.links, strict=True):
        if link == CARRIED:
            continue
        if not 0 <= link < len(program.nodes):
            raise MalformedError(f"slot {spec.name}: linked to node {link}, which does not exist")
        if program.nodes[link].extent != spec.extent:
            raise MalformedError(
                f"slot {spec.name}: has {spec.extent} words, node {link} linked to it writes "
                f"{program.nodes[link].extent}"
            )


def _check_node(program: Program, number: int, node: Node) -> None:
    check_descriptor(node.encode())
    if not is_well_formed(node.fold, node.code, len(node.leaves)):
        raise MalformedError(f"code {node.code.hex()} is malformed (N-8 to N-11)")
    for i, leaf in enumerate(node.leaves):
        if leaf.kind == LeafKind.OPERAND:
            _check_operand(program, number, node, i, leaf)
        elif leaf.rank > 1 or leaf.gather_dim != NO_GATHER:
            raise MalformedError(f"leaf {i}: an integer leaf has one dimension and gathers nothing (P-3)")
        elif leaf.kind == LeafKind.ROW and node.reduce:
            raise MalformedError(
                f"leaf {i}: a ROW leaf under a fold makes a range dear; give it its own node"
            )


def _check_operand(program: Program, number: int, node: Node, i: int, leaf: Leaf) -> None:
    extents = {
        Source.NODE: [earlier.extent for earlier in program.nodes[:number]],
        Source.STATE: [spec.extent for spec in program.slots],
        Source.INPUT: [spec.extent for spec in program.inputs],
    }[leaf.source]
    if leaf.source_id >= len(extents):
        raise MalformedError(f"leaf {i}: {leaf.source.name} {leaf.source_id} does not exist before the node")
    if leaf.gather_dim != NO_GATHER and leaf.gather_leaf >= i:
        raise MalformedError(f"leaf {i}: gathers with leaf {leaf.gather_leaf}, which is not an earlier leaf")
    if _farthest(node, leaf) >= MAX_COORDINATE:
        raise MalformedError(f"leaf {i}: a coordinate may lie {_farthest(node, leaf)} from 0, past 62 bits")
    largest = _largest_address(node, leaf)
    if largest is not None and largest >= extents[leaf.source_id]:
        raise MalformedError(
            f"leaf {i}: may read word {largest} of {leaf.source.name} {leaf.source_id}, which has "
            f"{extents[leaf.source_id]}"
        )


def _farthest(node: Node, leaf: Leaf) -> int:
    """Return how far from 0 a coordinate of the leaf can lie before what it gathers is added."""
    loops = node.out + node.reduce
    return max(
        (
            abs(offset) + sum(abs(stride) * n for stride, n in zip(strides, loops, strict=True))
            for offset, strides in zip(leaf.offsets, leaf.strides, strict=True)
        ),
        default=0,
    )


def _largest_address(node: Node, leaf: Leaf) -> int | None:
    """Return a bound of the flat addresses that the leaf reads, or None if it always reads its fill word."""
    loops = node.out + node.reduce
    if 0 in loops:
        return None
    flat = 0
    for d, size in enumerate(leaf.sizes):
        reach = [stride * (n - 1) for stride, n in zip(leaf.strides[d], loops, strict=True)]
        low = leaf.offsets[d] + sum(r for r in reach if r < 0)
        high = leaf.offsets[d] + sum(r for r in reach if r > 0)
        divisor = max(leaf.divisors[d], 1)
        last = size - 1
        if d != leaf.gather_dim:
            last = min(last, high // divisor)
            if last < 0 or low > last * divisor:
                return None
        flat = flat * size + last
    return None if 0 in leaf.sizes else flat
