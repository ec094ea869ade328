"""Trees, proofs and child lists, on cases chosen by hand (C-1 to C-4)."""

from __future__ import annotations

from hashlib import sha256

import pytest

from protocol.commitments.tree import ZERO, Tree, fold_path, height, root_of, verify, zero_root
from protocol.errors import MalformedError


def leaves(count: int) -> list[bytes]:
    return [sha256(bytes([i])).digest() for i in range(count)]


def pair(left: bytes, right: bytes) -> bytes:
    return sha256(left + right).digest()


@pytest.mark.parametrize(
    ("n", "h"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11), (2**40, 40)]
)
def test_height_is_the_least_that_holds_n(n: int, h: int) -> None:
    assert height(n) == h


@pytest.mark.parametrize("n", [0, -1])
def test_nothing_has_no_height(n: int) -> None:
    with pytest.raises(MalformedError):
        height(n)


def test_zero_roots_are_hashed_upward() -> None:
    node = bytes(32)
    for h in range(65):
        assert zero_root(h) == node
        node = pair(node, node)


@pytest.mark.parametrize("h", [-1, 65])
def test_zero_root_refuses_a_height_no_tree_has(h: int) -> None:
    with pytest.raises(MalformedError):
        zero_root(h)


def test_five_leaves_under_height_three_written_out() -> None:
    a, b, c, d, e = leaves(5)
    left = pair(pair(a, b), pair(c, d))
    right = pair(pair(e, ZERO), pair(ZERO, ZERO))
    tree = Tree(leaves(5), 3)
    assert (tree.root, tree.height, tree.leaf_count) == (pair(left, right), 3, 5)
    assert tree.path(4) == [ZERO, pair(ZERO, ZERO), left]
    assert tree.path(6) == [ZERO, pair(e, ZERO), left]
    assert tree.node(1, 3) == pair(ZERO, ZERO)
    assert tree.children(3, 0, 2) == [pair(a, b), pair(c, d), pair(e, ZERO), pair(ZERO, ZERO)]
    assert tree.children(1, 2, 1) == [e, ZERO]
    assert tree.path_between(1, 2, 3) == [pair(ZERO, ZERO), left]
    assert tree.path_between(1, 2, 1) == []


def test_height_zero_is_the_leaf_itself() -> None:
    (leaf,) = leaves(1)
    tree = Tree([leaf], 0)
    assert tree.root == leaf
    assert tree.path(0) == []
    assert verify(leaf, 0, [], leaf, height=0)


def test_a_tall_sparse_tree_stores_few_nodes() -> None:
    tree = Tree(leaves(3), 60)
    assert fold_path(leaves(3)[2], 2, tree.path(2)) == tree.root
    assert fold_path(ZERO, 2**60 - 1, tree.path(2**60 - 1)) == tree.root
    assert Tree([], 60).root == zero_root(60)


@pytest.mark.parametrize("bad", [[b""], [bytes(31)], [bytes(32), bytes(33)]])
def test_leaves_are_hashes(bad: list[bytes]) -> None:
    with pytest.raises(MalformedError, match="32"):
        Tree(bad, 3)


@pytest.mark.parametrize(("count", "h"), [(2, 0), (9, 3), (1, -1), (1, 65)])
def test_leaves_must_fit_the_height(count: int, h: int) -> None:
    with pytest.raises(MalformedError):
        Tree(leaves(count), h)


@pytest.mark.parametrize(("level", "index"), [(0, 8), (3, 1), (4, 0), (-1, 0), (0, -1), (1, 4)])
def test_nodes_outside_the_tree_are_refused(level: int, index: int) -> None:
    tree = Tree(leaves(8), 3)
    with pytest.raises(MalformedError):
        tree.node(level, index)
    with pytest.raises(MalformedError):
        tree.children(level, index, 0)
    with pytest.raises(MalformedError):
        tree.path_between(level, index, 3)


@pytest.mark.parametrize("fanout", [-1, 3])
def test_children_below_the_leaves_are_refused(fanout: int) -> None:
    with pytest.raises(MalformedError):
        Tree(leaves(8), 3).children(2, 1, fanout)


@pytest.mark.parametrize("high", [0, 4])
def test_ancestors_stand_above_and_inside(high: int) -> None:
    with pytest.raises(MalformedError):
        Tree(leaves(8), 3).path_between(1, 0, high)


def test_from_levels_takes_the_nodes_of_a_tree_hashed_elsewhere() -> None:
    a, b, c = leaves(3)
    nodes = [a + b + c, pair(a, b) + pair(c, ZERO), pair(pair(a, b), pair(c, ZERO))]
    tree = Tree.from_levels(nodes)
    assert tree.root == Tree([a, b, c], 2).root
    assert tree.path(3) == Tree([a, b, c], 2).path(3)


@pytest.mark.parametrize("sizes", [[], [33, 32], [96, 64, 64], [96, 32, 32], [96, 64]])
def test_from_levels_refuses_levels_of_no_tree(sizes: list[int]) -> None:
    with pytest.raises(MalformedError):
        Tree.from_levels([bytes(size) for size in sizes])


@pytest.mark.parametrize("count", [0, 3, 5, 6, 7, 12])
def test_children_are_a_power_of_two(count: int) -> None:
    with pytest.raises(MalformedError):
        root_of(leaves(count))


def test_fold_path_refuses_what_is_no_proof() -> None:
    leaf, sibling = leaves(2)
    for index, path, opened in [(2, [sibling], leaf), (-1, [sibling], leaf), (1, [], leaf)]:
        with pytest.raises(MalformedError):
            fold_path(opened, index, path)
    for opened, path in [(leaf[:31], [sibling]), (leaf, [sibling + b"\0"])]:
        with pytest.raises(MalformedError):
            fold_path(opened, 0, path)


def test_a_split_node_is_no_leaf_of_a_shorter_tree() -> None:
    """An inner node has a valid shorter path: the height that the job fixes is what refuses it."""
    tree = Tree(leaves(8), 3)
    node, path = tree.node(1, 2), tree.path_between(1, 2, 3)
    assert verify(node, 2, path, tree.root)
    assert not verify(node, 2, path, tree.root, height=3)
