"""An opener over plain arrays and whole trees (program.md, P-13, P-15): a leaf without a dispute above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import page_bytes, page_count, tensor_tree
from protocol.commitments.tree import Tree
from protocol.numerics.accumulator import Accumulator
from protocol.program.descriptor import Source


class Paths(Protocol):
    """A tree as far as proofs need it; `Tree` is one."""

    def path(self, index: int, /) -> Sequence[bytes]:
        """Return the siblings of leaf `index`, lowest first, up to the root."""
        ...


class ValuesOpener:
    """Opens operands and descriptors from arrays; what the other side committed comes from the caller.

    It is an `Opener` (protocol.program.witness).
    """

    def __init__(
        self,
        *,
        descriptors: Sequence[bytes],
        program_tree: Paths,
        source_trees: Mapping[Source, Paths],
        tensor: Callable[[Source, int], Words],
        height_of: Callable[[Source], int],
        committed_leaf: Callable[[int], tuple[bytes, Sequence[bytes]]] | None = None,
        committed_page: bytes | None = None,
        accumulators: Sequence[Accumulator] = (),
        fold_tree: Paths | None = None,
    ) -> None:
        """Collect what the leaf at hand needs.

        Args:
            descriptors: 1024 bytes per node; program_tree: the tree over their hashes (C-8).
            source_trees: the trees that tensor roots stand in: nodes (C-11), pre-state (C-6), inputs (C-7).
            tensor: flat uint32 words of an operand's tensor, from one's own replay.
            height_of: the height of a source's page trees: H, or I for inputs.
            committed_leaf: leaf below the cursor and its path to the cursor, as the other side has them.
            committed_page: the 256 bytes of the cursor, where it is a page.
            accumulators: one's own prefix accumulators of the word in dispute.
            fold_tree: the other side's tree over them.
        """
        self._descriptors = descriptors
        self._program_tree = program_tree
        self._source_trees = source_trees
        self._tensor = tensor
        self._height_of = height_of
        self._committed_leaf = committed_leaf
        self._committed_page = committed_page
        self._accumulators = accumulators
        self._fold_tree = fold_tree
        self._tensors: dict[tuple[Source, int], tuple[Words, Tree]] = {}

    def _opened(self, source: Source, source_id: int) -> tuple[Words, Tree]:
        key = (source, source_id)
        if key not in self._tensors:
            words = self._tensor(source, source_id)
            self._tensors[key] = (words, tensor_tree(words, self._height_of(source)))
        return self._tensors[key]

    def descriptor(self, node: int, /) -> tuple[bytes, Sequence[bytes]]:
        """See `Opener`."""
        return self._descriptors[node], self._program_tree.path(node)

    def tensor_root(self, source: Source, source_id: int, /) -> bytes:
        """See `Opener`."""
        return self._opened(source, source_id)[1].root

    def source_path(self, source: Source, source_id: int, /) -> Sequence[bytes]:
        """See `Opener`."""
        return self._source_trees[source].path(source_id)

    def page(self, source: Source, source_id: int, page: int, /) -> tuple[bytes | None, Sequence[bytes]]:
        """See `Opener`."""
        words, tree = self._opened(source, source_id)
        content = page_bytes(words, page) if page < page_count(words.size) else None
        return content, tree.path(page)

    def committed_leaf(self, index: int, /) -> tuple[bytes, Sequence[bytes]]:
        """See `Opener`."""
        assert self._committed_leaf is not None
        return self._committed_leaf(index)

    def committed_page(self) -> bytes:
        """See `Opener`."""
        assert self._committed_page is not None
        return self._committed_page

    def accumulator(self, number: int, /) -> tuple[Accumulator, Sequence[bytes]]:
        """See `Opener`."""
        assert self._fold_tree is not None
        return self._accumulators[number], self._fold_tree.path(number)
