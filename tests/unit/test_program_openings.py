"""Openers, and trees of which the other side revealed a part (program.md, P-15)."""

from __future__ import annotations

from hashlib import sha256

import pytest

from protocol.commitments.tree import Tree, verify
from protocol.errors import UsageError
from protocol.program.openings import MixedTree
from tests.support.programs import classifier
from tests.support.scenes import Scene


def leaves(count: int, tag: bytes) -> list[bytes]:
    return [sha256(tag + bytes([i])).digest() for i in range(count)]


@pytest.mark.parametrize("fanout", [1, 2, 3, 6])
@pytest.mark.parametrize("difference", [0, 1, 20, 31, 32, 49])
def test_what_was_revealed_on_the_way_down_opens_all_that_lies_left(fanout: int, difference: int) -> None:
    """The other side agrees with us below the first difference and with nobody after it."""
    own = Tree(leaves(50, b"own"), 6)
    theirs = Tree(leaves(50, b"own")[:difference] + leaves(64, b"other")[difference:], 6)
    mixed = MixedTree(own)
    level = 6
    while level:
        step = min(fanout, level)
        mixed.reveal(level, difference >> level, theirs.children(level, difference >> level, step))
        level -= step
    for index in range(difference):
        assert verify(own.node(0, index), index, mixed.path(index), theirs.root)
    assert verify(theirs.node(0, difference), difference, mixed.path(difference), theirs.root)
    assert mixed.node(0, difference) == theirs.node(0, difference)
    for level in range(7):
        below = mixed.path_below(difference, level)
        assert verify(
            theirs.node(0, difference),
            difference % (1 << level),
            below,
            theirs.node(level, difference >> level),
        )


def test_an_opener_says_what_it_was_not_given() -> None:
    opener = Scene.of(classifier()).word(0, 0).opener
    with pytest.raises(UsageError, match="fold_tree"):
        opener.accumulator(0)
    bare = type(opener)(
        descriptors=(), program_tree=Tree([], 0), source_trees={}, tensor=opener._tensor, tensor_height=3
    )
    with pytest.raises(UsageError, match="committed_page"):
        bare.committed_page()
    with pytest.raises(UsageError, match="committed_leaf"):
        bare.committed_leaf(0)
