"""The leaf that ends a dispute, judged as the contract judges it (program.md, P-13 to P-16).

`verdict` is the Python mirror of contracts_vyper/StepVerifier.vy: same stream, same order of checks, same
reasons. A prover runs it before it pays for a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from protocol.commitments.tensor import PAGE_BYTES, PAGE_WORDS
from protocol.commitments.tree import HASH_BYTES, ZERO, fold_path, height
from protocol.errors import MalformedError, RefusedError
from protocol.numerics.accumulator import Accumulator
from protocol.program import evaluation
from protocol.program.address import extent, n_ranges, range_length
from protocol.program.descriptor import DESCRIPTOR_BYTES, Node, Source
from protocol.program.evaluation import StepContext

ACCUMULATOR_BYTES = 97


class CursorKind(IntEnum):
    """What subtree a dispute has come to (P-15); the numbers are those of dispute.md."""

    TENSOR = 3
    PAGE = 4
    STATE = 5
    FOLD = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofContext:
    """What the court hands to the verifier (P-15); a struct of contracts_vyper/interfaces/ICourtContext.vyi.

    Attributes:
        program_root, inputs_root: of the job (C-7, C-8); seed: of its schedule (P-7).
        nodes_root: n, the trainer's commitment to the step's nodes (C-11); pre_state: p, the accepted state
            root before the step; fold_root: the commitment to one word's fold (C-12), or zero.
        cursor, kind, cursor_height, cursor_index: the subtree that the dispute has come to, 32 bytes, a
            `CursorKind`, its height and its index among the subtrees of that height.
        node, word_index, step: which element of which step.
        n_nodes, n_slots, n_inputs, n_rows, batch, tensor_height, input_height, range_log2: of the job.
    """

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
    n_nodes: int
    n_slots: int
    n_inputs: int
    n_rows: int
    batch: int
    tensor_height: int
    input_height: int
    range_log2: int

    @property
    def step_context(self) -> StepContext:
        """The part that an element's value depends on."""
        return StepContext(
            step=self.step,
            seed=self.seed,
            n_rows=self.n_rows,
            batch=self.batch,
            n_slots=self.n_slots,
            n_inputs=self.n_inputs,
            tensor_height=self.tensor_height,
            input_height=self.input_height,
        )

    def source_root(self, source: Source) -> bytes:
        """Return the root of the tree that operands of this source stand in (P-13)."""
        return (self.nodes_root, self.pre_state, self.inputs_root)[source]

    def source_height(self, source: Source) -> int:
        """Return the height of that tree (P-15)."""
        return height(max((self.n_nodes + 1, self.n_slots, self.n_inputs)[source], 1))


def verdict(context: ProofContext, index: int, witness: bytes) -> bool:
    """Return whether the witness shows the commitment under attack to be wrong (P-14).

    Args:
        index: of the leaf below the cursor.
        witness: the byte stream of P-15.

    Raises:
        RefusedError: the witness is no proof, with the contract's reason.
    """
    stream = _Stream(witness)
    judge = {
        CursorKind.TENSOR: _zero_page,
        CursorKind.PAGE: _word,
        CursorKind.STATE: _slot,
        CursorKind.FOLD: _range,
    }.get(context.kind)  # type: ignore[call-overload]
    if judge is None:
        raise RefusedError("verifier: cursor kind")
    below = 6 if context.kind == CursorKind.PAGE else context.cursor_height
    _require(index >> below == 0, "verifier: index")
    fault: bool = judge(context, (context.cursor_index << below) + index, index, stream)
    _require(stream.used_up, "verifier: trailing bytes")
    return fault


def fold_shape(
    *,
    program_root: bytes,
    n_nodes: int,
    node: int,
    range_log2: int,
    tensor_height: int,
    word_index: int,
    opening: bytes,
) -> tuple[int, int]:
    """Return (fold, number of ranges R) of a node whose word's fold is to be bisected (P-16).

    Args:
        opening: the descriptor (1024 bytes) and its path under the program root.

    Raises:
        RefusedError: the opening is none, the word lies past the extent, or the fold is recomputed whole.
    """
    _require(n_nodes < 1 << 64, "verifier: number too large")
    stream = _Stream(opening)
    descriptor = _descriptor(stream, program_root, n_nodes, node)
    _require(stream.used_up, "verifier: trailing bytes")
    if descriptor is None or word_index >= extent(descriptor, tensor_height):
        raise RefusedError("verifier: word past the extent")
    if descriptor.terms <= range_length(descriptor, range_log2):
        raise RefusedError("verifier: fold is whole")
    return descriptor.fold, n_ranges(descriptor, range_log2)


class _Stream:
    """A witness, read front to back (P-13)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def used_up(self) -> bool:
        return self._position == len(self._data)

    def take(self, *sizes: int) -> list[bytes]:
        """Return the next pieces of these sizes; all of them must be there."""
        _require(self._position + sum(sizes) <= len(self._data), "verifier: short stream")
        pieces = []
        for size in sizes:
            pieces.append(self._data[self._position : self._position + size])
            self._position += size
        return pieces

    def leaf(self, size: int, siblings: int) -> tuple[bytes, list[bytes]]:
        """Return the next `size` bytes and the path after them."""
        content, *path = self.take(size, *([HASH_BYTES] * siblings))
        return content, path


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise RefusedError(reason)


def _stands(leaf: bytes, index: int, path: Sequence[bytes], root: bytes, reason: str) -> None:
    _require(index >> len(path) == 0, "merkle: index outside the tree")
    _require(fold_path(leaf, index, path) == root, reason)


def _descriptor(stream: _Stream, root: bytes, n_nodes: int, node: int) -> Node | None:
    """Return the opened descriptor, or None if it is malformed: then its extent is 0 (P-6)."""
    data, path = stream.leaf(DESCRIPTOR_BYTES, height(n_nodes + 1))
    _stands(sha256(data).digest(), node, path, root, "verifier: descriptor")
    try:
        return Node.decode(data)
    except MalformedError:
        return None


def _committed(context: ProofContext, index: int, stream: _Stream) -> bytes:
    """Return the committed leaf hash, opened to the cursor."""
    leaf, path = stream.leaf(HASH_BYTES, context.cursor_height)
    _stands(leaf, index, path, context.cursor, "verifier: leaf")
    return leaf


def _extent(descriptor: Node | None, context: ProofContext) -> int:
    return 0 if descriptor is None else extent(descriptor, context.tensor_height)


def _zero_page(context: ProofContext, page: int, index: int, stream: _Stream) -> bool:
    descriptor = _descriptor(stream, context.program_root, context.n_nodes, context.node)
    leaf = _committed(context, index, stream)
    if page * PAGE_WORDS >= _extent(descriptor, context):
        return leaf != ZERO
    _require(leaf == ZERO, "verifier: page within the extent")
    return True


def _word(context: ProofContext, word: int, index: int, stream: _Stream) -> bool:
    descriptor = _descriptor(stream, context.program_root, context.n_nodes, context.node)
    (page,) = stream.take(PAGE_BYTES)
    _require(sha256(page).digest() == context.cursor, "verifier: page")
    committed = int.from_bytes(page[4 * index : 4 * index + 4], "big")
    if descriptor is None or word >= _extent(descriptor, context):
        return committed != 0
    _require(descriptor.terms <= range_length(descriptor, context.range_log2), "verifier: fold is bisected")
    reader = _ProofReader(context, stream)
    return committed != evaluation.word(descriptor, context.node, word, context.step_context, reader)


def _slot(context: ProofContext, slot: int, index: int, stream: _Stream) -> bool:
    leaf = _committed(context, index, stream)
    if slot >= context.n_slots:
        return leaf != ZERO
    table, path = stream.leaf(HASH_BYTES, context.source_height(Source.INPUT))
    _stands(table, 0, path, context.inputs_root, "verifier: link table")
    page = _page(stream, table, slot // PAGE_WORDS, context.input_height, "verifier: link page")
    link = _word_of(page, slot % PAGE_WORDS)
    source, source_id = (Source.NODE, link) if link < context.n_nodes else (Source.STATE, slot)
    root, path = stream.leaf(HASH_BYTES, context.source_height(source))
    _stands(root, source_id, path, context.source_root(source), "verifier: link root")
    return leaf != root


def _range(context: ProofContext, number: int, index: int, stream: _Stream) -> bool:
    descriptor = _descriptor(stream, context.program_root, context.n_nodes, context.node)
    leaf = _committed(context, index, stream)
    ranges = 0 if descriptor is None else n_ranges(descriptor, context.range_log2)
    if descriptor is None or not 1 <= number <= ranges:
        raise RefusedError("verifier: range", f"the fold has ranges 1 to {ranges}")
    _require(context.word_index < _extent(descriptor, context), "verifier: word past the extent")
    data, path = stream.leaf(ACCUMULATOR_BYTES, height(ranges + 1))
    _stands(sha256(data).digest(), number - 1, path, context.fold_root, "verifier: accumulator")
    length = range_length(descriptor, context.range_log2)
    terms = range((number - 1) * length, min(number * length, descriptor.terms))
    reader = _ProofReader(context, stream)
    after = evaluation.accumulate(
        descriptor,
        context.node,
        context.word_index,
        terms=terms,
        start=Accumulator.from_bytes(data),
        context=context.step_context,
        read=reader,
    )
    return leaf != sha256(after.to_bytes()).digest()


def _page(stream: _Stream, root: bytes, page: int, page_height: int, reason: str) -> bytes | None:
    """Return the opened page, or None for an absent one (P-13)."""
    (tag,) = stream.take(1)
    _require(tag in (b"\0", b"\1"), "verifier: page tag")
    content, path = stream.leaf(PAGE_BYTES if tag == b"\1" else 0, page_height)
    _stands(sha256(content).digest() if content else ZERO, page, path, root, reason)
    return content or None


def _word_of(page: bytes | None, place: int) -> int:
    return 0 if page is None else int.from_bytes(page[4 * place : 4 * place + 4], "big")


class _ProofReader:
    """Opens operands from the stream, each leaf's root once and a page when it changes (P-13)."""

    def __init__(self, context: ProofContext, stream: _Stream) -> None:
        self._context = context
        self._stream = stream
        self._roots: dict[int, bytes] = {}
        self._pages: dict[int, tuple[int, bytes | None]] = {}

    def __call__(self, leaf: int, source: Source, source_id: int, flat: int) -> int:
        """Return the word at a flat address. Raises RefusedError if the stream does not open it."""
        context = self._context
        root = self._roots.get(leaf)
        if root is None:
            root, path = self._stream.leaf(HASH_BYTES, context.source_height(source))
            _stands(root, source_id, path, context.source_root(source), "verifier: operand root")
            self._roots[leaf] = root
        number, place = divmod(flat, PAGE_WORDS)
        if leaf not in self._pages or self._pages[leaf][0] != number:
            pages = context.step_context.height_of(source)
            page = _page(self._stream, root, number, pages, "verifier: operand page")
            self._pages[leaf] = (number, page)
        return _word_of(self._pages[leaf][1], place)
