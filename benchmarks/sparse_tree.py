"""Merkle trees of any height of which only a few leaves are known: every other node is a made-up hash."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from protocol.commitments.tree import list_levels


class SparseTree:
    """A tree of fixed height (C-3) with some leaves of one's own.

    Args:
        leaves: 32-byte leaves by index.
        tag: tells made-up hashes of one tree from those of another.
        fanout_log2: levels of the lists that lead to these leaves and can be revealed; 0: none is.
    """

    def __init__(self, leaves: Mapping[int, bytes], height: int, tag: str, fanout_log2: int = 0) -> None:
        self.height = height
        self._leaves, self._tag = dict(leaves), tag
        self._known = {(level, index >> level) for level in range(height + 1) for index in leaves}
        self._ends = [height]
        while fanout_log2 and self._ends[-1]:
            self._ends.append(self._ends[-1] - list_levels(self._ends[-1], fanout_log2))
        self._nodes: dict[tuple[int, int], bytes] = {}

    @property
    def root(self) -> bytes:
        """The 32-byte root."""
        return self.node(self.height, 0)

    def node(self, level: int, index: int) -> bytes:
        """Return a node, level 0 being the leaves."""
        if (level, index) in self._nodes:
            return self._nodes[level, index]
        if level == 0 and index in self._leaves:
            found = self._leaves[index]
        elif (level, index) in self._known or (level and self._in_list(level, index)):
            found = sha256(self.node(level - 1, 2 * index) + self.node(level - 1, 2 * index + 1)).digest()
        else:
            found = sha256(f"{self._tag} {level} {index}".encode()).digest()
        self._nodes[level, index] = found
        return found

    def _in_list(self, level: int, index: int) -> bool:
        """Whether a node stands within a list on the way to a leaf, above its last row."""
        if level in self._ends:
            return False
        top = min((end for end in self._ends if end > level), default=self.height)
        return (top, index >> top - level) in self._known

    def path(self, index: int, top: int | None = None, bottom: int = 0) -> list[bytes]:
        """Return the siblings of node (bottom, index) up to a level, or to the root, lowest first."""
        levels = range(bottom, self.height if top is None else top)
        return [self.node(level, (index >> level - bottom) ^ 1) for level in levels]

    def children(self, level: int, index: int, levels: int) -> list[bytes]:
        """Return the nodes `levels` below node (level, index), in order."""
        first = index << levels
        return [self.node(level - levels, first + i) for i in range(1 << levels)]
