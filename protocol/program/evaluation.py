"""The one evaluation of a node's element (program.md, P-1 to P-6).

The reference interpreter, the witness builder and the mirror of the contract all come here; they differ in
the `Reader` alone, which hands out one word of an earlier node, a slot or an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol

from protocol.numerics.accumulator import EMPTY, Accumulator
from protocol.numerics.expression import fold_term, map_word
from protocol.numerics.opcodes import Fold
from protocol.program import schedule
from protocol.program.address import (
    WORD_MASK,
    affine,
    capacity,
    extent,
    flat_address,
    unravel,
)
from protocol.program.descriptor import NO_GATHER, LeafKind, Node, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What an element's value depends on besides the operands.

    Attributes:
        step: number of the step, from the start of the job.
        seed: 32 bytes of the schedule (P-7); n_rows, batch: rows of the dataset and of one step.
        n_slots: number of slots of the state; n_inputs: number of inputs of the job.
        tensor_height, input_height: H and I of the job (C-5).
    """

    step: int
    seed: bytes
    n_rows: int
    batch: int
    n_slots: int
    n_inputs: int
    tensor_height: int
    input_height: int

    def height_of(self, source: Source) -> int:
        """Return the height of the page trees of this source (C-5)."""
        return self.input_height if source == Source.INPUT else self.tensor_height


class Reader(Protocol):
    """Hands out the operand words that an element needs, in the order of P-13."""

    def __call__(self, leaf: int, source: Source, source_id: int, flat: int) -> int:
        """Return a word of an existing tensor, flat below the capacity (P-6); zero past its extent."""
        ...


class Observer(Protocol):
    """Told of everything that is computed, so that two implementations can be compared line by line."""

    def mapped(self, node: int, index: int, code: bytes, words: Sequence[int], result: int) -> None:
        """A map has written word `index` from the words of its leaves."""
        ...

    def folded(
        self, node: Node, number: int, index: int, term: int, words: Sequence[int], result: Accumulator
    ) -> None:
        """One term was added to the fold of word `index`."""
        ...

    def finished(self, node: Node, number: int, index: int, whole: Accumulator, result: int) -> None:
        """A fold has written word `index`."""
        ...


OBSERVER: Final[ContextVar[Observer | None]] = ContextVar("observer", default=None)
"""Whom to tell, if anybody; it changes nothing."""


def leaf_words(
    node: Node, number: int, loops: Sequence[int], context: StepContext, read: Reader
) -> tuple[int, ...]:
    """Return the words of all leaves at these loop indices, in leaf order.

    Args:
        number: the node's own number; it reads only nodes below it.
        loops: indices of the output loops, then of the fold loops.
    """
    words: list[int] = []
    for i, leaf in enumerate(node.leaves):
        if leaf.kind == LeafKind.OPERAND:
            gathers = leaf.gather_dim != NO_GATHER
            count = (number, context.n_slots, context.n_inputs)[leaf.source]
            if leaf.source_id >= count or (gathers and leaf.gather_leaf >= i):
                words.append(0)  # P-6
                continue
            flat = flat_address(leaf, loops, words[leaf.gather_leaf] if gathers else 0)
            if flat is None:
                words.append(leaf.fill)
            elif flat >= capacity(context.height_of(leaf.source)):
                words.append(0)  # P-6
            else:
                words.append(read(i, leaf.source, leaf.source_id, flat))
            continue
        a = affine(leaf, 0, loops)
        if leaf.kind == LeafKind.ROW:
            a = schedule.row(context.seed, context.n_rows, context.batch, context.step, a & WORD_MASK)
        elif leaf.kind == LeafKind.STEP:
            a += context.step
        words.append(a & WORD_MASK)
    return tuple(words)


def accumulate(
    node: Node,
    number: int,
    index: int,
    *,
    terms: range,
    start: Accumulator,
    context: StepContext,
    read: Reader,
) -> Accumulator:
    """Return `start` plus the given terms of the fold of output word `index`, in fold order (N-12).

    Malformed code leaves the empty accumulator (N-11); its operands are read like any others.
    """
    out, observer = unravel(index, node.out), OBSERVER.get()
    for term in terms:
        words = leaf_words(node, number, out + unravel(term, node.reduce), context, read)
        start = fold_term(node.fold, node.code, words, start, term)
        if observer is not None:
            observer.folded(node, number, index, term, words, start)
    return start


def word(node: Node, number: int, index: int, context: StepContext, read: Reader) -> int:
    """Return output word `index` of the node; 0 past its extent (P-6) and for malformed code (N-11)."""
    if index >= extent(node, context.tensor_height):
        return 0
    observer = OBSERVER.get()
    if node.fold == Fold.NONE:
        words = leaf_words(node, number, unravel(index, node.out), context, read)
        result = map_word(node.code, words)
        if observer is not None:
            observer.mapped(number, index, node.code, words, result)
        return result
    whole = accumulate(
        node,
        number,
        index,
        terms=range(node.terms),
        start=EMPTY,
        context=context,
        read=read,
    )
    result = whole.finish(node.fold)
    if observer is not None:
        observer.finished(node, number, index, whole, result)
    return result
