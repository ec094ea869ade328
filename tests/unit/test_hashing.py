"""The fast hasher against hashlib: the same roots and trees, at any length, with any threads (C-5, C-6)."""

from __future__ import annotations

import hashlib
import os
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.commitments import tensor as reference
from protocol.errors import MalformedError
from prover.engine.hashing import state_root, tensor_root, tensor_roots, tensor_tree

Words = np.ndarray[Any, np.dtype[np.uint32]]

LENGTHS = [0, 1, 63, 64, 65, 1023, 1024, 1025, 4096, 65535, 65536, 65537, 100003]


def random_words(extent: int, seed: int = 0) -> Words:
    return np.random.default_rng([extent, seed]).integers(0, 1 << 32, extent, dtype=np.uint32)


def oracle_root(words: Words, height: int) -> bytes:
    """The tensor root by hashlib alone."""
    raw = b"".join(int(word).to_bytes(4, "big") for word in words)
    nodes = [hashlib.sha256(raw[i : i + 256].ljust(256, b"\0")).digest() for i in range(0, len(raw), 256)]
    absent = bytes(32)
    for _ in range(height):
        if len(nodes) % 2:
            nodes.append(absent)
        nodes = [hashlib.sha256(nodes[i] + nodes[i + 1]).digest() for i in range(0, len(nodes), 2)]
        absent = hashlib.sha256(absent + absent).digest()
    return nodes[0] if nodes else absent


@pytest.mark.parametrize("extent", LENGTHS)
@pytest.mark.parametrize("height", [11, 17])
def test_roots_and_trees_of_many_lengths(extent: int, height: int) -> None:
    words = random_words(extent)
    assert tensor_root(words, height) == oracle_root(words, height) == reference.tensor_root(words, height)
    fast, slow = tensor_tree(words, height), reference.tensor_tree(words, height)
    assert (fast.height, fast.leaf_count) == (slow.height, slow.leaf_count)
    for level in range(height + 1):
        stored = -(-slow.leaf_count >> level)
        for index in range(min(stored + 2, 1 << (height - level))):
            assert fast.node(level, index) == slow.node(level, index)


@pytest.mark.parametrize("height", range(9))
def test_exactly_full_trees(height: int) -> None:
    words = random_words(64 << height)
    assert tensor_root(words, height) == tensor_tree(words, height).root == oracle_root(words, height)
    with pytest.raises(MalformedError):
        tensor_root(random_words((64 << height) + 1), height)
    with pytest.raises(MalformedError):
        tensor_tree(random_words((64 << height) + 1), height)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=6), st.integers(0, 2**32), st.integers(7, 20))
def test_tensors_of_random_lengths(extents: list[int], seed: int, height: int) -> None:
    tensors = [random_words(extent, seed) for extent in extents]
    assert tensor_roots(tensors, height) == [oracle_root(words, height) for words in tensors]


def test_no_tensors_have_no_roots() -> None:
    """Found by the random lengths above: the largest of no tensors."""
    assert tensor_roots([], 9) == []


@pytest.mark.parametrize("word", [0, 1, 0x80000000, 0xFFFFFFFF])
def test_constant_words(word: int) -> None:
    words = np.full(2000, word, np.uint32)
    assert tensor_root(words, 6) == oracle_root(words, 6)


def test_one_bit_in_any_lane_reaches_the_root() -> None:
    """Sixteen pages, one for each lane of the kernel; the single bit wanders over all lanes and places."""
    roots = set()
    for position in range(0, 16 * 64, 7):
        words = np.zeros(16 * 64, np.uint32)
        words[position] = 1 << (position % 32)
        root = tensor_root(words, 4)
        assert root == oracle_root(words, 4)
        roots.add(root)
    assert len(roots) == len(range(0, 16 * 64, 7))


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_threads_do_not_change_a_state(threads: int) -> None:
    extents = [1, (1 << 21) + 3, 0, 777, 1 << 20, 64, (1 << 20) - 1]
    tensors = [random_words(extent) for extent in extents]
    expected = reference.state_tree([reference.tensor_root(words, 16) for words in tensors]).root
    assert state_root(tensors, 16, len(tensors), threads=threads) == expected


def test_a_state_has_every_slot() -> None:
    with pytest.raises(MalformedError, match="slots"):
        state_root([random_words(5)], 3, 2)
    with pytest.raises(MalformedError):
        state_root([], 3, 0)


@pytest.mark.parametrize(
    "words", [np.zeros(4, np.int32), np.zeros(4, np.float32), np.zeros((2, 2), np.uint32), np.zeros(4, ">u4")]
)
def test_words_are_flat_native_uint32(words: Any) -> None:
    with pytest.raises(MalformedError):
        tensor_root(words, 4)
    with pytest.raises(MalformedError):
        tensor_tree(words, 4)


def test_strided_read_only_and_unaligned_words() -> None:
    words = random_words(4000)
    expected = oracle_root(words, 6)
    strided = np.repeat(words, 2)[::2]
    frozen = words.copy()
    frozen.setflags(write=False)
    unaligned = np.frombuffer(b"\0" + words.tobytes(), np.uint8)[1:].view(np.uint32)
    assert not unaligned.flags.aligned
    for same in (strided, frozen, unaligned):
        assert tensor_root(same, 6) == tensor_tree(same, 6).root == expected


def _root_of_two_million_words() -> bytes:
    return tensor_root(random_words(2_000_000), 15, threads=2)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_hashes_as_well() -> None:
    expected = _root_of_two_million_words()
    reader, writer = os.pipe()
    child = get_context("fork").Process(target=lambda: os.write(writer, _root_of_two_million_words()))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert os.read(reader, 32) == expected
    os.close(reader)
    os.close(writer)
