"""Lies of a trainer, each a change to hooks of the honest trace (protocol.game.trace.Hooks).

A lie finds its place in the program of a job by itself, so that the same one can be told about any job that
has such a place. Lies are told in one step; what comes later follows from them honestly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gavel.jobs import OPTIMIZER_PREFIX
from gavel.scenarios.decision import Decision, Leaf
from gavel.scenarios.ground import Ground, Lie
from protocol.commitments.canonical import Words
from protocol.errors import UsageError
from protocol.game.ids import Kind
from protocol.game.trace import Hooks
from protocol.numerics.accumulator import Accumulator, exact_word
from protocol.numerics.opcodes import Fold, Op
from protocol.program.address import n_ranges

FLIPPED_BIT: Final = 1 << 12
"""A bit in the middle of the mantissa: an error of about a thousandth."""

PAGE: Final = 64
_FALSE: Final = np.uint32(7)


# -------------------------------------------------------------------- one word


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialSum:
    """One partial sum of one word, and the lie about it: the word comes out with one bit flipped.

    Attributes:
        step, node, word: where, step from the start of the job.
        range: the first wrong leaf of the word's fold tree (C-12), from 1.
        back: from this leaf on the sums are right again, until the last jumps to the wrong word; 0: never.
    """

    step: int
    node: int
    word: int
    range: int
    back: int = 0

    def output(self, step: int, node: int, words: Words) -> Words:
        """The node's words with the one bit flipped."""
        if (step, node) != (self.step, self.node):
            return words
        return flipped(words, self.word)

    def accumulators(
        self, step: int, node: int, word: int, accumulators: list[Accumulator]
    ) -> list[Accumulator]:
        """The prefix accumulators, shifted from the wrong range on so that they end at the flipped word."""
        if (step, node, word) != (self.step, self.node, self.word):
            return accumulators
        total, last = accumulators[-1], len(accumulators) - 1
        flags, wanted = exact_word(total.finish(Fold.SUM) ^ FLIPPED_BIT)
        error = wanted - total.value
        right = range(self.back, last) if self.back else ()
        return [
            a if i < self.range or i in right else a.add(flags, error) for i, a in enumerate(accumulators)
        ]

    @property
    def hooks(self) -> Hooks:
        """The lie as a trace tells it."""
        return Hooks(output=self.output, accumulators=self.accumulators)


def partial_sum(ground: Ground, *, forward: bool, detour: bool = False) -> Lie:
    """A wrong partial sum of the last matrix product of the forward pass, or of the last weight gradient.

    Args:
        detour: the sums go wrong in the first range, are right again after it, and jump to the wrong word in
            the last one. Otherwise they go wrong in the range that the seed chooses, the last for seed 0.
    """
    node = ground.products(forward=forward)[-1]
    descriptor = ground.folder.program.nodes[node]
    ranges = n_ranges(descriptor, ground.folder.job.geometry.range_log2)
    number = 1 if detour else ranges - ground.seed % ranges
    back = 2 if detour else 0

    def lies() -> Iterator[Lie]:
        for word in ground.order(descriptor.extent):
            lie = PartialSum(step=ground.step, node=node, word=word, range=number, back=back)
            decided = Decision(
                level=Kind.FOLD, leaf=Leaf.RANGE, step=ground.step, node=node, index=word, range=number
            )
            yield Lie(hooks=lie.hooks, decision=decided)

    return ground.first_that_shows(lies())


def softmax(ground: Ground) -> Lie:
    """One wrong exponential of the softmax."""
    node = ground.labelled("softmax", op=Op.EXP)[0]
    return ground.first_that_shows(
        _word(ground, node, flipped(ground.words_of(node), word)) for word in _order(ground, node)
    )


def learning_rate(ground: Ground) -> Lie:
    """Twice the step size, in the table of numbers that depend on the step alone.

    Optimizers add the step, so its size is the negative entry; where none is negative, all are doubled.
    """
    node = ground.labelled("step table")[0]
    rates = ground.words_of(node).view(np.float32)
    doubled = np.where((rates < 0) | ~(rates < 0).any(), 2 * rates, rates).astype(np.float32)
    return ground.first_that_shows([_word(ground, node, doubled.view(np.uint32))])


def other_rows(ground: Ground) -> Lie:
    """The rows of another step of the job, for every column."""
    nodes = ground.labelled("batch ")
    other = ground.step - 1 if ground.step else 1
    wrong = {node: ground.honest.node_words(other, node).copy() for node in nodes}
    first = next(node for node in nodes if not np.array_equal(wrong[node], ground.words_of(node)))

    def output(step: int, node: int, words: Words) -> Words:
        return wrong[node] if step == ground.step and node in wrong else words

    lie = _word(ground, first, wrong[first])
    return ground.first_that_shows([replace(lie, hooks=Hooks(output=output))])


def stale_moment(ground: Ground) -> Lie:
    """A moment of the optimizer as it was before the step, used and kept."""
    moments = ground.slots_named("exp_avg", "momentum")
    before = ground.honest.state_words(ground.step)
    return ground.first_that_shows(
        _word(ground, node, before[slot].copy())
        for slot, node in (moments[i] for i in ground.order(len(moments)))
        if not np.array_equal(before[slot], ground.words_of(node))
    )


def vanishing(ground: Ground) -> Lie:
    """A wrong negative number that a ReLU makes zero anyway."""
    program = ground.folder.program
    relu = ground.labelled("relu", op=Op.MAX)[0]
    node = program.nodes[relu].leaves[0].source_id
    wrong = (
        _word(ground, node, flipped(ground.words_of(node), word))
        for word in ground.order(ground.words_of(node).size)
        if ground.words_of(node).view(np.float32)[word] < 0
    )
    return ground.first_that_vanishes(replace(lie, decision=None) for lie in wrong)


def _order(ground: Ground, node: int) -> Iterator[int]:
    return ground.order(ground.words_of(node).size)


def _word(ground: Ground, node: int, wrong: Words) -> Lie:
    """Other words of a node in the step; the first that differs decides, unless its sum is bisected."""

    def output(step: int, number: int, words: Words) -> Words:
        return wrong if (step, number) == (ground.step, node) else words

    word = int(np.flatnonzero(wrong != ground.words_of(node))[0])
    decided = Decision(level=Kind.PAGE, leaf=Leaf.WORD, step=ground.step, node=node, index=word)
    return Lie(hooks=Hooks(output=output), decision=decided)


def flipped(words: Words, word: int) -> Words:
    """The words with one bit of one of them flipped."""
    wrong = words.copy()
    wrong[word] ^= FLIPPED_BIT
    return wrong


# -------------------------------------------------------------------- slots of the next state


def weight_bit(ground: Ground) -> Lie:
    """One flipped bit in one weight after the step."""
    slots = [slot for slot, _, name in ground.linked() if not name.startswith(OPTIMIZER_PREFIX)]
    slot = slots[ground.seed % len(slots)]
    size = ground.folder.program.slots[slot].extent

    def lies() -> Iterator[Lie]:
        for word in ground.order(size):

            def next_state(
                step: int, _before: list[Words], after: list[Words], word: int = word
            ) -> list[Words]:
                if step != ground.step:
                    return after
                return [flipped(words, word) if i == slot else words for i, words in enumerate(after)]

            yield _link(ground, Hooks(next_state=next_state), slot)

    return ground.first_that_shows(lies())


def skipped_step(ground: Ground) -> Lie:
    """A step left out: the state after it is the state before it."""

    def next_state(step: int, before: list[Words], after: list[Words]) -> list[Words]:
        return before if step == ground.step else after

    before, after = (ground.honest.state_words(ground.step + i) for i in (0, 1))
    slot = next(i for i, words in enumerate(before) if not np.array_equal(words, after[i]))
    return ground.first_that_shows([_link(ground, Hooks(next_state=next_state), slot)])


def swapped_slot(ground: Ground) -> Lie:
    """A slot that is the output of another node than the one that the link table names for it."""
    program = ground.folder.program
    linked = [(slot, program.slots[slot].extent) for slot, _, _ in ground.linked()]
    pairs = [(a, b) for a, size in linked for b, other in linked if a < b and size == other > 1]

    def lies() -> Iterator[Lie]:
        for source, slot in (pairs[i] for i in ground.order(len(pairs))):

            def next_state(
                step: int, _before: list[Words], after: list[Words], source: int = source, slot: int = slot
            ) -> list[Words]:
                if step != ground.step:
                    return after
                return [after[source] if i == slot else words for i, words in enumerate(after)]

            yield _link(ground, Hooks(next_state=next_state), slot)

    return ground.first_that_shows(lies())


def _link(ground: Ground, hooks: Hooks, slot: int) -> Lie:
    return Lie(hooks=hooks, decision=Decision(level=Kind.STATE, leaf=Leaf.LINK, step=ground.step, index=slot))


# -------------------------------------------------------------------- padding


def padded_word(ground: Ground) -> Lie:
    """A word that is not zero past the end of a tensor, on its last page."""
    found = [n for _, n, _ in ground.linked() if ground.words_of(n).size % PAGE]
    node = ground.some(found, "tensor of the state that ends within a page")[0]
    extent = ground.words_of(node).size
    size = -(-extent // PAGE) * PAGE
    word = extent + ground.seed % (size - extent)
    return _padded(ground, node, word, Decision(level=Kind.PAGE, leaf=Leaf.ZERO_WORD, index=word))


def padded_page(ground: Ground) -> Lie:
    """A page past the last one of a tensor."""
    pages = 1 << ground.folder.job.geometry.tensor_height
    found = [n for _, n, _ in ground.linked() if ground.words_of(n).size <= (pages - 1) * PAGE]
    node = ground.some(found, "tensor of the state with room for a page after it")[0]
    page = -(-ground.words_of(node).size // PAGE)
    return _padded(ground, node, page * PAGE, Decision(level=Kind.TENSOR, leaf=Leaf.ZERO_PAGE, index=page))


def _padded(ground: Ground, node: int, word: int, decided: Decision) -> Lie:
    """A false word past the extent of a node's output, from the step to the end of its segment: padding is
    read by nobody, so it would be gone with the next step.
    """

    def output(step: int, number: int, words: Words) -> Words:
        if number != node or not ground.step <= step < ground.end:
            return words
        return np.append(words, np.append(np.zeros(word - words.size, np.uint32), _FALSE))

    lie = Lie(hooks=Hooks(output=output), decision=replace(decided, step=ground.step, node=node))
    return ground.first_that_shows([lie])


def absent_page(ground: Ground) -> Lie:
    """A tensor without its last page."""

    def lies() -> Iterator[Lie]:
        for _, node, _ in ground.linked():
            last = (ground.words_of(node).size - 1) // PAGE

            def output(step: int, number: int, words: Words, node: int = node, last: int = last) -> Words:
                return words[: last * PAGE] if (step, number) == (ground.step, node) else words

            decided = Decision(
                level=Kind.TENSOR, leaf=Leaf.ABSENT_PAGE, step=ground.step, node=node, index=last
            )
            yield Lie(hooks=Hooks(output=output), decision=decided)

    return ground.first_that_shows(lies())


def padded_slot(ground: Ground) -> Lie:
    """A slot after the last one, from the step to the end of its segment."""
    geometry = ground.folder.job.geometry
    if geometry.n_slots == 1 << geometry.state_height:
        raise UsageError(
            f"the state of this job has {geometry.n_slots} slots, which fill its tree; name another cheat"
        )

    def next_state(step: int, _before: list[Words], after: list[Words]) -> list[Words]:
        if not ground.step <= step < ground.end:
            return after
        return [*after, np.array([_FALSE], np.uint32)]

    decided = Decision(level=Kind.STATE, leaf=Leaf.ZERO_SLOT, step=ground.step, index=geometry.n_slots)
    return ground.first_that_shows([Lie(hooks=Hooks(next_state=next_state), decision=decided)])
