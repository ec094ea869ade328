"""SHA-256 Merkle trees of fixed height (commitments.md, C-1 to C-4).

The height of every tree is fixed by the job, so a path is bound to its index: an opened leaf stands at
exactly one place. Leaves that do not exist are 32 zero bytes; the subtrees made of them alone are not stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from protocol.errors import MalformedError

HASH_BYTES: Final = 32
ZERO: Final = bytes(HASH_BYTES)
"""The leaf that does not exist (C-3)."""

MAX_HEIGHT: Final = 64


def height(n: int) -> int:
    """Return the least h with 2**h >= n (C-4).

    Raises:
        MalformedError: n is below 1.
    """
    if n < 1:
        raise MalformedError(f"a tree over {n} leaves has no height; count at least one leaf")
    return (n - 1).bit_length()


def _zero_roots() -> tuple[bytes, ...]:
    roots = [ZERO]
    for _ in range(MAX_HEIGHT):
        roots.append(sha256(roots[-1] + roots[-1]).digest())
    return tuple(roots)


_ZERO_ROOTS: Final = _zero_roots()


def zero_root(height: int) -> bytes:
    """Return the root of a tree of `height` in which no leaf exists.

    Raises:
        MalformedError: the height is not in 0..64.
    """
    _check_height(height)
    return _ZERO_ROOTS[height]


def _check_height(height: int) -> None:
    if not 0 <= height <= MAX_HEIGHT:
        raise MalformedError(
            f"tree height {height} is not in 0..{MAX_HEIGHT}; use the height that the job fixes"
        )


def list_levels(height: int, fanout_log2: int) -> int:
    """Return how many levels one list under a subtree spans (dispute.md, D-6): ceil(h / ceil(h / F)).

    So a tree is cut into as few lists as the fan-out allows, of about the same length.
    """
    return -(-height // max(-(-height // fanout_log2), 1))


class Tree:
    """A tree of 2**height leaves of which the first ones exist.

    Level 0 holds the leaves, level `height` the root. Node (level, index) is the root over the leaves
    index * 2**level up to, not including, (index + 1) * 2**level.
    """

    __slots__ = ("_height", "_levels")

    def __init__(self, leaves: Sequence[bytes], height: int) -> None:
        """Hash `leaves` (32 bytes each) up to the root.

        Raises:
            MalformedError: a leaf is not 32 bytes long, there are more than 2**height, or the height is not
                in 0..64.
        """
        for i, leaf in enumerate(leaves):
            if len(leaf) != HASH_BYTES:
                raise MalformedError(f"leaf {i} has {len(leaf)} bytes, not {HASH_BYTES}; give hashes")
        self._height = _fitting_height(len(leaves), height)
        level = b"".join(leaves)
        self._levels = [level]
        for depth in range(height):
            if len(level) % 64:
                level += _ZERO_ROOTS[depth]
            level = b"".join([sha256(level[i : i + 64]).digest() for i in range(0, len(level), 64)])
            self._levels.append(level)

    @classmethod
    def from_levels(cls, levels: Sequence[bytes]) -> Tree:
        """Return the tree whose nodes were hashed elsewhere; only their number is checked here.

        Args:
            levels: for each level from the leaves to the root the concatenated nodes that have a leaf below
                them, ceil(n / 2**level) times 32 bytes where n leaves exist.

        Raises:
            MalformedError: a level has the wrong length.
        """
        tree = cls.__new__(cls)
        count, rest = divmod(len(levels[0]) if levels else 0, HASH_BYTES)
        tree._height = _fitting_height(count, len(levels) - 1)
        tree._levels = [bytes(level) for level in levels]
        for depth, level in enumerate(tree._levels):
            if rest or len(level) != HASH_BYTES * -(-count >> depth):
                raise MalformedError(f"level {depth} of a tree over {count} leaves has {len(level)} bytes")
        return tree

    @property
    def height(self) -> int:
        """Number of levels above the leaves."""
        return self._height

    @property
    def leaf_count(self) -> int:
        """Number of leaves that exist."""
        return len(self._levels[0]) // HASH_BYTES

    @property
    def root(self) -> bytes:
        """The 32 bytes that commit to every leaf and its place."""
        return self.node(self._height, 0)

    def node(self, level: int, index: int) -> bytes:
        """Return node `index` of `level`.

        Raises:
            MalformedError: the tree has no such node.
        """
        self._check_node(level, index)
        start = HASH_BYTES * index
        return self._levels[level][start : start + HASH_BYTES] or _ZERO_ROOTS[level]

    def path(self, index: int) -> list[bytes]:
        """Return the proof of leaf `index`: `height` siblings, lowest first (C-3).

        Raises:
            MalformedError: the index is not below 2**height.
        """
        return self.path_between(0, index, self._height)

    def path_between(self, level_low: int, index: int, level_high: int) -> list[bytes]:
        """Return the siblings from node (level_low, index) to its ancestor at level_high, lowest first.

        Raises:
            MalformedError: the tree has no such node, or level_high is not in level_low..height.
        """
        self._check_node(level_low, index)
        if not level_low <= level_high <= self._height:
            raise MalformedError(
                f"no ancestor at level {level_high} above level {level_low} of {self._height}"
            )
        return [
            self.node(level, (index >> (level - level_low)) ^ 1) for level in range(level_low, level_high)
        ]

    def children(self, level: int, index: int, fanout_log2: int) -> list[bytes]:
        """Return the 2**fanout_log2 nodes that lie fanout_log2 levels below node (level, index), in order.

        Raises:
            MalformedError: the tree has no such node, or has not so many levels below it.
        """
        self._check_node(level, index)
        if not 0 <= fanout_log2 <= level:
            raise MalformedError(
                f"node at level {level} has no descendants {fanout_log2} levels below; reveal fewer"
            )
        first = index << fanout_log2
        return [self.node(level - fanout_log2, first + i) for i in range(1 << fanout_log2)]

    def _check_node(self, level: int, index: int) -> None:
        if not (0 <= level <= self._height and 0 <= index < 1 << (self._height - level)):
            raise MalformedError(f"a tree of height {self._height} has no node {index} at level {level}")


def _fitting_height(leaf_count: int, height: int) -> int:
    _check_height(height)
    if leaf_count > 1 << height:
        raise MalformedError(
            f"{leaf_count} leaves do not fit a tree of height {height}; the job fixes a larger one"
        )
    return height


def fold_path(leaf: bytes, index: int, path: Sequence[bytes]) -> bytes:
    """Return the root that `leaf` at `index` and its siblings (lowest first) hash to (C-3).

    Raises:
        MalformedError: the index does not lie below 2**len(path), or a node is not 32 bytes long.
    """
    if not 0 <= index < 1 << len(path):
        raise MalformedError(f"index {index} does not lie in a tree of height {len(path)}")
    if any(len(node) != HASH_BYTES for node in (leaf, *path)):
        raise MalformedError(f"a node on the path is not {HASH_BYTES} bytes long; the proof is not one")
    node = leaf
    for sibling in path:
        node = sha256(sibling + node if index & 1 else node + sibling).digest()
        index >>= 1
    return node


def verify(leaf: bytes, index: int, path: Sequence[bytes], root: bytes, *, height: int | None = None) -> bool:
    """Return whether `path` proves that `leaf` stands at `index` under `root`.

    Args:
        height: the height that the job fixes for this tree; a path of another length is no proof. Without it
            the caller has counted the siblings.
    """
    if height is not None and len(path) != height:
        return False
    try:
        return fold_path(leaf, index, path) == root
    except MalformedError:
        return False


def root_of(nodes: Sequence[bytes]) -> bytes:
    """Return the root over a power-of-two number of nodes: what a list of children hashes to.

    Raises:
        MalformedError: the number is not a power of two, or a node is not 32 bytes long.
    """
    if not nodes or len(nodes) & (len(nodes) - 1):
        raise MalformedError(f"{len(nodes)} children are not a power of two; reveal a whole level")
    return Tree(nodes, len(nodes).bit_length() - 1).root
