"""Trees against a definition that shares no code with them: plain recursion over hashlib (C-3 to C-6)."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.commitments.tensor import state_tree, tensor_tree
from protocol.commitments.tree import ZERO, Tree, fold_path, root_of, verify


def oracle_root(leaves: list[bytes], height: int) -> bytes:
    """The root by its definition."""
    padded = leaves + [b"\x00" * 32] * (2**height - len(leaves))
    if height == 0:
        return padded[0]
    half = 2 ** (height - 1)
    left, right = oracle_root(padded[:half], height - 1), oracle_root(padded[half:], height - 1)
    return hashlib.sha256(left + right).digest()


def oracle_node(leaves: list[bytes], level: int, index: int) -> bytes:
    return oracle_root(leaves[index * 2**level : (index + 1) * 2**level], level)


hashes = st.binary(min_size=32, max_size=32)


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[bytes], int]:
    height = draw(st.integers(0, 6))
    return draw(st.lists(hashes, max_size=2**height)), height


@st.composite
def opened(draw: st.DrawFn) -> tuple[list[bytes], int, int]:
    leaves, height = draw(trees())
    return leaves, height, draw(st.integers(0, 2**height - 1))


@given(trees())
def test_every_node_is_the_root_over_its_leaves(case: tuple[list[bytes], int]) -> None:
    leaves, height = case
    tree = Tree(leaves, height)
    assert tree.root == oracle_root(leaves, height)
    for level in range(height + 1):
        for index in range(2 ** (height - level)):
            assert tree.node(level, index) == oracle_node(leaves, level, index)


@given(opened())
def test_a_proof_proves_its_leaf(case: tuple[list[bytes], int, int]) -> None:
    leaves, height, index = case
    tree = Tree(leaves, height)
    path = tree.path(index)
    leaf = leaves[index] if index < len(leaves) else ZERO
    assert path == [oracle_node(leaves, level, (index >> level) ^ 1) for level in range(height)]
    assert fold_path(leaf, index, path) == oracle_root(leaves, height)
    assert verify(leaf, index, path, tree.root, height=height)


@given(opened(), st.data())
def test_an_altered_proof_proves_nothing(case: tuple[list[bytes], int, int], data: st.DataObject) -> None:
    leaves, height, index = case
    assume(height > 0)
    tree = Tree(leaves, height)
    leaf, path, root = tree.node(0, index), tree.path(index), tree.root

    bit = data.draw(st.integers(0, 255))
    flip = (1 << bit).to_bytes(32, "big")

    def flipped(node: bytes) -> bytes:
        return bytes(x ^ y for x, y in zip(node, flip, strict=True))

    level = data.draw(st.integers(0, height - 1))
    assert not verify(flipped(leaf), index, path, root)
    assert not verify(leaf, index, path, flipped(root))
    assert not verify(leaf, index, [*path[:level], flipped(path[level]), *path[level + 1 :]], root)
    assert not verify(leaf, index, path[:-1], root)
    assert not verify(leaf, index, path[1:], root)
    assert not verify(leaf, index, [*path, ZERO], root)
    assert not verify(leaf, index + 2**height, path, root)
    assert not verify(leaf, index, path, root, height=height + 1)

    other = data.draw(st.integers(0, 2**height - 1))
    assert verify(leaf, other, path, root) == (
        # the index matters exactly where a node and its sibling differ
        all(
            (index >> k) & 1 == (other >> k) & 1 or tree.node(k, index >> k) == path[k] for k in range(height)
        )
    )
    swapped = list(path)
    one, two = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, height - 1))
    swapped[one], swapped[two] = path[two], path[one]
    assert verify(leaf, index, swapped, root) == (path[one] == path[two])


@given(opened(), st.data())
def test_children_and_paths_between_levels_fit_together(
    case: tuple[list[bytes], int, int], data: st.DataObject
) -> None:
    leaves, height, leaf_index = case
    tree = Tree(leaves, height)
    low = data.draw(st.integers(0, height))
    high = data.draw(st.integers(low, height))
    index = leaf_index >> low
    ancestor = index >> (high - low)
    children = tree.children(high, ancestor, high - low)
    assert children[index - (ancestor << (high - low))] == tree.node(low, index)
    assert root_of(children) == oracle_root(children, high - low) == tree.node(high, ancestor)
    path = tree.path_between(low, index, high)
    assert fold_path(tree.node(low, index), index - (ancestor << (high - low)), path) == tree.node(
        high, ancestor
    )
    assert path == tree.path(leaf_index)[low:high]


def oracle_pages(words: list[int]) -> list[bytes]:
    raw = b"".join(word.to_bytes(4, "big") for word in words)
    pages = [raw[i : i + 256] for i in range(0, len(raw), 256)]
    return [hashlib.sha256(page + b"\x00" * (256 - len(page))).digest() for page in pages]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=300), st.integers(3, 6))
def test_tensor_trees_by_their_definition(words: list[int], height: int) -> None:
    tree = tensor_tree(np.array(words, np.uint32), height)
    assert tree.root == oracle_root(oracle_pages(words), height)
    for page, leaf in enumerate(oracle_pages(words)):
        assert verify(leaf, page, tree.path(page), tree.root, height=height)


@given(st.lists(hashes, min_size=1, max_size=20))
def test_state_trees_by_their_definition(roots: list[bytes]) -> None:
    height = next(h for h in range(6) if 2**h >= len(roots))
    assert state_tree(roots).root == oracle_root(roots, height)
