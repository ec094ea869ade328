"""Building the byte stream that a proof brings (program.md, P-13, P-15).

The builder runs the one evaluation with a reader that writes down what it opens, so that the stream and the
address calculation cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from protocol.commitments.tensor import PAGE_WORDS
from protocol.errors import MalformedError, UsageError
from protocol.numerics.accumulator import Accumulator
from protocol.program import evaluation
from protocol.program.address import extent, range_length
from protocol.program.descriptor import Node, Source
from protocol.program.leaf import CursorKind, ProofContext


class Opener(Protocol):
    """What the prover holds: its own values, and what the other side revealed at the cursor.

    Below the first difference both sides' commitments agree, so an honest prover opens operands from its own
    trees.
    """

    def descriptor(self, node: int, /) -> tuple[bytes, Sequence[bytes]]:
        """Return the 1024 bytes of a descriptor and its path under the program root (C-8)."""
        ...

    def tensor_root(self, source: Source, source_id: int, /) -> bytes:
        """Return the root of an operand's tensor (C-5)."""
        ...

    def source_path(self, source: Source, source_id: int, /) -> Sequence[bytes]:
        """Return the path of that root under the nodes root, the pre-state root or the inputs root."""
        ...

    def page(self, source: Source, source_id: int, page: int, /) -> tuple[bytes | None, Sequence[bytes]]:
        """Return the 256 bytes of a page of that tensor, None for an absent one, and its H siblings."""
        ...

    def committed_leaf(self, index: int, /) -> tuple[bytes, Sequence[bytes]]:
        """Return leaf `index` below the cursor as the other side committed it, and its path to the cursor."""
        ...

    def committed_page(self) -> bytes:
        """Return the 256 bytes that hash to the cursor, where the cursor is a page."""
        ...

    def accumulator(self, number: int, /) -> tuple[Accumulator, Sequence[bytes]]:
        """Return leaf `number` of the fold tree under attack, and its path under the fold root (C-12)."""
        ...


def build(context: ProofContext, index: int, opener: Opener) -> bytes:
    """Return the stream that opens leaf `index` below the cursor of the context.

    Raises:
        UsageError: no leaf lies below such a cursor.
    """
    builders = {
        CursorKind.TENSOR: _zero_page,
        CursorKind.PAGE: _word,
        CursorKind.STATE: _slot,
        CursorKind.FOLD: _range,
    }
    if context.kind not in builders:
        raise UsageError(f"a cursor of kind {context.kind} has no leaf to prove below it; select further")
    pieces: list[bytes] = []
    builders[CursorKind(context.kind)](context, index, opener, pieces)
    return b"".join(pieces)


def _descriptor(context: ProofContext, opener: Opener, pieces: list[bytes]) -> Node | None:
    data, path = opener.descriptor(context.node)
    pieces += [data, *path]
    try:
        return Node.decode(data)
    except MalformedError:
        return None


def _committed(index: int, opener: Opener, pieces: list[bytes]) -> None:
    leaf, path = opener.committed_leaf(index)
    pieces += [leaf, *path]


def _zero_page(context: ProofContext, index: int, opener: Opener, pieces: list[bytes]) -> None:
    _descriptor(context, opener, pieces)
    _committed(index, opener, pieces)


def _word(context: ProofContext, index: int, opener: Opener, pieces: list[bytes]) -> None:
    descriptor = _descriptor(context, opener, pieces)
    pieces.append(opener.committed_page())
    word = context.cursor_index * PAGE_WORDS + index
    if descriptor is not None and word < extent(descriptor, context.tensor_height):
        reader = _RecordingReader(opener, pieces)
        evaluation.word(descriptor, context.node, word, context.step_context, reader)


def _slot(context: ProofContext, index: int, opener: Opener, pieces: list[bytes]) -> None:
    _committed(index, opener, pieces)
    slot = (context.cursor_index << context.cursor_height) + index
    if slot >= context.n_slots:
        return
    link = _RecordingReader(opener, pieces)(0, Source.INPUT, 0, slot)
    source, source_id = (Source.NODE, link) if link < context.n_nodes else (Source.STATE, slot)
    pieces += [opener.tensor_root(source, source_id), *opener.source_path(source, source_id)]


def _range(context: ProofContext, index: int, opener: Opener, pieces: list[bytes]) -> None:
    descriptor = _descriptor(context, opener, pieces)
    _committed(index, opener, pieces)
    number = (context.cursor_index << context.cursor_height) + index
    if descriptor is None:
        raise UsageError("a malformed node has no fold to prove a range of; prove that its page is zero")
    before, path = opener.accumulator(number - 1)
    pieces += [before.to_bytes(), *path]
    length = range_length(descriptor, context.range_log2)
    terms = range((number - 1) * length, min(number * length, descriptor.terms))
    reader = _RecordingReader(opener, pieces)
    evaluation.accumulate(
        descriptor,
        context.node,
        context.word_index,
        terms=terms,
        start=before,
        context=context.step_context,
        read=reader,
    )


class _RecordingReader:
    """Reads operands through the opener and appends what P-13 wants of each to the stream."""

    def __init__(self, opener: Opener, pieces: list[bytes]) -> None:
        self._opener = opener
        self._pieces = pieces
        self._open: dict[int, tuple[int, bytes | None]] = {}

    def __call__(self, leaf: int, source: Source, source_id: int, flat: int) -> int:
        """Return the word at a flat address."""
        number, place = divmod(flat, PAGE_WORDS)
        if leaf not in self._open:
            root = self._opener.tensor_root(source, source_id)
            self._pieces += [root, *self._opener.source_path(source, source_id)]
        if leaf not in self._open or self._open[leaf][0] != number:
            page, path = self._opener.page(source, source_id, number)
            self._pieces += [b"\0" if page is None else b"\1", page or b"", *path]
            self._open[leaf] = (number, page)
        page = self._open[leaf][1]
        return 0 if page is None else int.from_bytes(page[4 * place : 4 * place + 4], "big")
