"""What a party opens: the trees over its own trace, and the other side's trees as far as they were revealed.

Solver and defence share it. Trees are made when they are asked for and a few are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from hashlib import sha256
from typing import Final

import numpy as np

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import PAGE_WORDS, page_bytes, page_count, tensor_tree
from protocol.commitments.tree import Tree, height, list_levels
from protocol.errors import MismatchError
from protocol.game.trace import Trace
from protocol.game.view import CourtView, UpdateInfo
from protocol.job import Geometry
from protocol.program.descriptor import Source
from protocol.program.program import Program

KEPT_TREES: Final = 32


class Openings:
    """Trees and bytes of one party's trace. Steps are absolute."""

    def __init__(self, *, geometry: Geometry, program: Program, trace: Trace) -> None:
        """Bind a trace to the job it belongs to."""
        self.geometry = geometry
        self.program = program
        self.trace = trace
        self._kept: OrderedDict[Hashable, Tree] = OrderedDict()

    def _keep(self, key: Hashable, make: Callable[[], Tree]) -> Tree:
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = make()
            if len(self._kept) > KEPT_TREES:
                self._kept.popitem(last=False)
        return self._kept[key]

    # ---------------------------------------------------------------- trees

    def steps_tree(self, segment: int) -> Tree:
        """The states within a segment (C-10)."""
        first = segment * self.geometry.stride
        states = range(first, first + self.geometry.steps_of(segment) + 1)

        def make() -> Tree:
            leaves = [self.trace.state_root(step) for step in states]
            return Tree(leaves, self.geometry.steps_height)

        return self._keep(("steps", segment), make)

    def nodes_tree(self, step: int) -> Tree:
        """The outputs of a step's nodes, and the state after it (C-11)."""

        def make() -> Tree:
            return Tree(self.trace.node_roots(step), self.geometry.nodes_height)

        return self._keep(("nodes", step), make)

    def state_tree(self, step: int) -> Tree:
        """The slots of the state before a step (C-6)."""

        def make() -> Tree:
            words = self.trace.state_words(step)
            roots = [tensor_tree(slot, self.geometry.tensor_height).root for slot in words]
            return Tree(roots, self.geometry.state_height)

        return self._keep(("state", step), make)

    def inputs_tree(self) -> Tree:
        """The inputs of the job (C-7)."""

        def make() -> Tree:
            inputs = range(self.geometry.n_inputs)
            words = (self.trace.input_words(i) for i in inputs)
            roots = [tensor_tree(w, self.geometry.input_height).root for w in words]
            return Tree(roots, self.geometry.inputs_height)

        return self._keep("inputs", make)

    def program_tree(self) -> Tree:
        """The descriptors of the program (C-8)."""

        def make() -> Tree:
            leaves = [sha256(node.encode()).digest() for node in self.program.nodes]
            return Tree(leaves, self.geometry.nodes_height)

        return self._keep("program", make)

    def fold_tree(self, step: int, node: int, word: int) -> Tree:
        """The prefix accumulators of one word's fold (C-12)."""

        def make() -> Tree:
            accumulators = self.trace.accumulators(step, node, word)
            leaves = [sha256(a.to_bytes()).digest() for a in accumulators]
            return Tree(leaves, height(len(leaves)))

        return self._keep(("fold", step, node, word), make)

    def tensor_words(self, source: Source, source_id: int, step: int) -> Words:
        """The words of an operand of a step (P-5)."""
        if source == Source.NODE:
            return self.trace.node_words(step, source_id)
        if source == Source.STATE:
            return self.trace.state_words(step)[source_id]
        return self.trace.input_words(source_id)

    def tensor_tree(self, source: Source, source_id: int, step: int) -> Tree:
        """The pages of an operand of a step (C-5)."""
        key = ("tensor", source, source_id, 0 if source == Source.INPUT else step)

        def make() -> Tree:
            words = self.tensor_words(source, source_id, step)
            inputs = source == Source.INPUT
            return tensor_tree(words, self.geometry.input_height if inputs else self.geometry.tensor_height)

        return self._keep(key, make)

    def source_tree(self, source: Source, step: int) -> Tree:
        """The tree that an operand's root stands in (P-13)."""
        if source == Source.NODE:
            return self.nodes_tree(step)
        return self.state_tree(step) if source == Source.STATE else self.inputs_tree()

    def page(self, source: Source, source_id: int, step: int, page: int) -> bytes | None:
        """The 256 bytes of a page of an operand, None where it is absent."""
        words = self.tensor_words(source, source_id, step)
        return page_bytes(words, page) if page < page_count(words.size) else None

    def page_words(self, node: int, step: int, page: int) -> Words:
        """The 64 words of a page of a node's output, zero where there is nothing (C-5)."""
        words = self.trace.node_words(step, node)[page * PAGE_WORDS : (page + 1) * PAGE_WORDS]
        return np.pad(words, (0, PAGE_WORDS - words.size))

    # ---------------------------------------------------------------- updates

    def first_difference(self, update: UpdateInfo) -> int | None:
        """Return the first segment whose posted end differs from this trace, absolute, or None (A-1)."""
        for place, posted in enumerate(update.states):
            segment = update.first_segment + place
            end = segment * self.geometry.stride + self.geometry.steps_of(segment)
            if posted != self.trace.state_root(end):
                return segment
        return None


class Committed:
    """A tree that somebody committed, as far as it is known: revealed lists, and one's own tree where both
    agree.
    """

    def __init__(self, view: CourtView, *, own: Tree, root: bytes, fanout_log2: int) -> None:
        """`own` is the tree that this party holds for the same place, of the same height."""
        self._view = view
        self._own = own
        self._root = root
        self._fanout = fanout_log2

    def node(self, level: int, index: int) -> bytes:
        """Return a node of the tree.

        Raises:
            MismatchError: it is under a list that nobody has revealed.
        """
        here, at, subtree = self._own.height, 0, self._root
        while here > level:
            if subtree == self._own.node(here, at):
                return self._own.node(level, index)
            span = list_levels(here, self._fanout)
            listed = self._view.children(subtree, span)
            if listed is None:
                raise MismatchError(
                    f"node {index} of level {level} lies under a list that nobody has revealed; "
                    "read the reveals from the chain again"
                )
            if here - span <= level:
                return Tree(listed, span).node(level - here + span, index - (at << (here - level)))
            below = index >> (here - span - level)
            subtree = listed[below - (at << span)]
            here, at = here - span, below
        return subtree

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return the full path of a leaf; raises as `node` does."""
        return tuple(self.node(level, (index >> level) ^ 1) for level in range(self._own.height))


def path_in_list(children: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the path of a child to the hash of the list that it stands in."""
    return tuple(Tree(children, len(children).bit_length() - 1).path(index))
