"""Pages, tensor roots and state roots (C-2, C-5, C-6)."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from protocol.commitments.tensor import (
    page_bytes,
    page_count,
    state_tree,
    tensor_root,
    tensor_tree,
    words_of_page,
)
from protocol.commitments.tree import ZERO, zero_root
from protocol.errors import MalformedError


def test_words_are_written_big_endian() -> None:
    words = np.array([1, 0x01020304], np.uint32)
    assert page_bytes(words, 0) == bytes.fromhex("0000000101020304") + bytes(248)


@pytest.mark.parametrize(("extent", "pages"), [(0, 0), (1, 1), (63, 1), (64, 1), (65, 2), (128, 2), (129, 3)])
def test_page_count(extent: int, pages: int) -> None:
    assert page_count(extent) == pages


def test_pages_come_back_as_words() -> None:
    words = np.arange(100, dtype=np.uint32) * np.uint32(40_000_000)
    assert np.array_equal(words_of_page(page_bytes(words, 0)), words[:64])
    last = words_of_page(page_bytes(words, 1))
    assert last.dtype == np.uint32
    assert np.array_equal(last[:36], words[64:])
    assert not last[36:].any()


@pytest.mark.parametrize("page", [-1, 2])
def test_pages_past_the_extent_do_not_exist(page: int) -> None:
    with pytest.raises(MalformedError):
        page_bytes(np.zeros(128, np.uint32), page)


@pytest.mark.parametrize("size", [0, 255, 257])
def test_opened_pages_have_256_bytes(size: int) -> None:
    with pytest.raises(MalformedError):
        words_of_page(bytes(size))


def test_one_page_written_out() -> None:
    words = np.array([0x3F800000], np.uint32)
    leaf = sha256(bytes.fromhex("3f800000") + bytes(252)).digest()
    node = sha256(leaf + bytes(32)).digest()
    assert tensor_root(words, 1) == node
    assert tensor_root(words, 2) == sha256(node + sha256(bytes(64)).digest()).digest()
    assert tensor_tree(words, 2).path(0) == [ZERO, sha256(bytes(64)).digest()]


def test_a_page_of_zeros_is_not_an_absent_page() -> None:
    assert tensor_root(np.zeros(1, np.uint32), 4) != tensor_root(np.zeros(0, np.uint32), 4) == zero_root(4)
    assert tensor_root(np.zeros(1, np.uint32), 4) == tensor_root(np.zeros(64, np.uint32), 4)
    assert tensor_root(np.zeros(64, np.uint32), 4) != tensor_root(np.zeros(65, np.uint32), 4)


def test_the_extent_must_fit_the_height() -> None:
    assert tensor_tree(np.zeros(256, np.uint32), 2).leaf_count == 4
    with pytest.raises(MalformedError, match="257 words"):
        tensor_root(np.zeros(257, np.uint32), 2)


@pytest.mark.parametrize(
    "words", [np.zeros(4, np.int32), np.zeros(4, np.float32), np.zeros((2, 2), np.uint32), np.zeros(4, ">u4")]
)
def test_words_are_flat_native_uint32(words: np.ndarray) -> None:
    with pytest.raises(MalformedError):
        tensor_root(words, 4)


def test_state_tree_orders_the_slots() -> None:
    a, b, c = (sha256(bytes([i])).digest() for i in range(3))
    expected = sha256(sha256(a + b).digest() + sha256(c + bytes(32)).digest()).digest()
    assert state_tree([a, b, c]).root == expected
    assert state_tree([b, a, c]).root != expected
    assert state_tree([a]).root == a
    with pytest.raises(MalformedError):
        state_tree([])
