"""What the ghost knows of proofs: streams, and what they show (program.md, P-13 to P-16)."""

from __future__ import annotations

from dataclasses import dataclass

from tests.stateful.ghost_base import ZERO, Refused, climb, height, leads, sha
from tests.stateful.ghost_program import INPUT, NODE, STATE, Node, Shape

STEPS_KIND, NODES_KIND, TENSOR, PAGE, STATES, FOLD = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Context:
    """What the court hands to the verifier (P-15)."""

    program_root: bytes
    inputs_root: bytes
    seed: bytes
    nodes_root: bytes
    pre_state: bytes
    fold_root: bytes
    cursor: bytes
    kind: int
    cursor_height: int
    cursor_index: int
    node: int
    word_index: int
    step: int
    shape: Shape


class Stream:
    """Bytes that are read front to back and used up exactly."""

    def __init__(self, data: bytes) -> None:
        """Begin at the front."""
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if self.at + count > len(self.data):
            raise Refused("verifier: short stream")
        self.at += count
        return self.data[self.at - count : self.at]

    def path(self, levels: int) -> list[bytes]:
        """Siblings, lowest first."""
        return [self.take(32) for _ in range(levels)]

    def end(self) -> None:
        """Nothing may be left."""
        if self.at < len(self.data):
            raise Refused("verifier: trailing bytes")


class Operands:
    """The words of operands, opened by the stream (P-13)."""

    def __init__(self, context: Context, stream: Stream) -> None:
        """Read from the stream, under the roots of the context."""
        self.context, self.stream = context, stream
        self.roots: dict[int, bytes] = {}
        self.pages: dict[int, tuple[int, bytes]] = {}

    def word(self, leaf: int, source: int, source_id: int, flat: int) -> int:
        """The word at a flat address, opening what this leaf has not opened yet."""
        if leaf not in self.roots:
            self.roots[leaf] = self.root(source, source_id, "verifier: operand root")
        number, place = divmod(flat, 64)
        if leaf not in self.pages or self.pages[leaf][0] != number:
            levels = self.context.shape.input_height if source == INPUT else self.context.shape.tensor_height
            page = self.page(self.roots[leaf], number, levels, "verifier: operand page")
            self.pages[leaf] = number, page
        return int.from_bytes(self.pages[leaf][1][4 * place : 4 * place + 4], "big")

    def root(self, source: int, source_id: int, reason: str) -> bytes:
        """A tensor root with its path under the tree of its source."""
        shape = self.context.shape
        tree, leaves = {
            NODE: (self.context.nodes_root, shape.n_nodes + 1),
            STATE: (self.context.pre_state, shape.n_slots),
            INPUT: (self.context.inputs_root, shape.n_inputs),
        }[source]
        root, path = self.stream.take(32), self.stream.path(height(leaves))
        if not leads(root, source_id, path, height(leaves), tree):
            raise Refused(reason)
        return root

    def page(self, root: bytes, number: int, levels: int, reason: str) -> bytes:
        """A page, or nothing for an absent one, with its path to a tensor root; 256 bytes."""
        tag = self.stream.take(1)[0]
        if tag > 1:
            raise Refused("verifier: page tag")
        page = self.stream.take(256) if tag else bytes(256)
        if not leads(sha(page) if tag else ZERO, number, self.stream.path(levels), levels, root):
            raise Refused(reason)
        return page


def faulty(context: Context, index: int, witness: bytes) -> bool:
    """Whether a proof shows a fault (P-14, P-15).

    Raises:
        Refused: it is no proof.
    """
    judge = {TENSOR: _zero_page, PAGE: _word, STATES: _slot, FOLD: _range}.get(context.kind)
    if judge is None:
        raise Refused("verifier: cursor kind")
    if index >= 1 << (6 if context.kind == PAGE else context.cursor_height):
        raise Refused("verifier: index")
    stream = Stream(witness)
    fault = judge(context, index, stream)
    stream.end()
    return fault


def _descriptor(context: Context, stream: Stream) -> Node:
    return descriptor(context.program_root, context.node, context.shape, stream)


def descriptor(program_root: bytes, node: int, shape: Shape, stream: Stream) -> Node:
    """A descriptor with its path to the program root (C-8)."""
    data, levels = stream.take(1024), height(shape.n_nodes + 1)
    if not leads(sha(data), node, stream.path(levels), levels, program_root):
        raise Refused("verifier: descriptor")
    return Node(data, shape)


def _leaf(context: Context, index: int, stream: Stream) -> bytes:
    """The leaf below the cursor, as it was committed."""
    leaf, path = stream.take(32), stream.path(context.cursor_height)
    if climb(leaf, index, path) != context.cursor:
        raise Refused("verifier: leaf")
    return leaf


def _place(context: Context, index: int) -> int:
    return (context.cursor_index << context.cursor_height) + index


def _zero_page(context: Context, index: int, stream: Stream) -> bool:
    node = _descriptor(context, stream)
    leaf = _leaf(context, index, stream)
    if 64 * _place(context, index) >= node.extent:
        return leaf != ZERO
    if leaf != ZERO:
        raise Refused("verifier: page within the extent")
    return True


def _word(context: Context, index: int, stream: Stream) -> bool:
    node = _descriptor(context, stream)
    page = stream.take(256)
    if sha(page) != context.cursor:
        raise Refused("verifier: page")
    word = int.from_bytes(page[4 * index : 4 * index + 4], "big")
    place = context.cursor_index * 64 + index
    if place >= node.extent:
        return word != 0
    if node.terms > node.range:
        raise Refused("verifier: fold is bisected")
    return word != node.result(context.node, place, context.step, context.seed, Operands(context, stream))


def _slot(context: Context, index: int, stream: Stream) -> bool:
    leaf, slot = _leaf(context, index, stream), _place(context, index)
    shape, operands = context.shape, Operands(context, stream)
    if slot >= shape.n_slots:
        return leaf != ZERO
    table = operands.root(INPUT, 0, "verifier: link table")
    page = operands.page(table, slot // 64, shape.input_height, "verifier: link page")
    link = int.from_bytes(page[4 * (slot % 64) :][:4], "big")
    named = (NODE, link) if link < shape.n_nodes else (STATE, slot)
    return leaf != operands.root(*named, "verifier: link root")


def _range(context: Context, index: int, stream: Stream) -> bool:
    node = _descriptor(context, stream)
    leaf, number = _leaf(context, index, stream), _place(context, index)
    if not 1 <= number <= node.ranges:
        raise Refused("verifier: range")
    before, levels = stream.take(97), height(node.ranges + 1)
    if not leads(sha(before), number - 1, stream.path(levels), levels, context.fold_root):
        raise Refused("verifier: accumulator")
    terms = range((number - 1) * node.range, min(number * node.range, node.terms))
    operands = Operands(context, stream)
    after = node.total(
        context.node, context.word_index, terms, context.step, context.seed, operands, start=before
    )
    return leaf != sha(after)


def fold_shape(program_root: bytes, node: int, shape: Shape, word: int, opening: bytes) -> tuple[int, int]:
    """P-16: the fold and the number of ranges of a word that may be bisected.

    Raises:
        Refused: it may not.
    """
    stream = Stream(opening)
    found = descriptor(program_root, node, shape, stream)
    stream.end()
    reasons = ["verifier: word past the extent"] if word >= found.extent else []
    reasons += ["verifier: fold is whole"] if found.terms <= found.range else []
    if reasons:
        raise Refused(*reasons)
    return found.fold, found.ranges
