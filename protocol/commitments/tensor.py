"""Tensors as pages of words, and the trees over them (commitments.md, C-2, C-5, C-6).

Words are flat numpy uint32 arrays in native order; only their big-endian bytes are ever hashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np

from protocol.commitments.canonical import Words
from protocol.commitments.tree import Tree, height
from protocol.errors import MalformedError

PAGE_WORDS: Final = 64
PAGE_BYTES: Final = 4 * PAGE_WORDS


def page_count(extent: int) -> int:
    """Return the number of pages that `extent` words fill (C-5)."""
    return -(-extent // PAGE_WORDS)


def check_words(words: Words, tree_height: int) -> int:
    """Return the number of pages of a tensor that can be committed under a tree of `tree_height`.

    Raises:
        MalformedError: `words` is not a flat uint32 array in native order, or has more than
            64 * 2**tree_height words.
    """
    if words.dtype != np.uint32 or words.ndim != 1:
        raise MalformedError(
            f"a tensor of {words.dtype}{words.shape} is not flat native uint32 words; convert it"
        )
    pages = page_count(words.size)
    if pages > 1 << tree_height:
        raise MalformedError(
            f"{words.size} words fill {pages} pages, more than a tree of height {tree_height} has; "
            "the job's H must fit its largest tensor"
        )
    return pages


def page_bytes(words: Words, page: int) -> bytes:
    """Return the 256 bytes of page number `page`: 64 big-endian words, zero past the extent (C-2, C-5).

    Raises:
        MalformedError: the page does not exist.
    """
    if not 0 <= page < page_count(words.size):
        raise MalformedError(
            f"page {page} does not exist in a tensor of {words.size} words; its leaf is zero"
        )
    content = words[page * PAGE_WORDS : (page + 1) * PAGE_WORDS]
    return content.astype(">u4").tobytes().ljust(PAGE_BYTES, b"\0")


def words_of_page(page: bytes) -> Words:
    """Return the 64 words of an opened page, native uint32.

    Raises:
        MalformedError: the page is not 256 bytes long.
    """
    if len(page) != PAGE_BYTES:
        raise MalformedError(f"a page has {PAGE_BYTES} bytes, this one has {len(page)}")
    return np.frombuffer(page, dtype=">u4").astype(np.uint32)


def tensor_tree(words: Words, height: int) -> Tree:
    """Return the tree of `height` over the pages of a tensor (C-5).

    Args:
        words: uint32[extent], native order.
        height: the job's H.

    Raises:
        MalformedError: the words are not flat uint32, or do not fit the height.
    """
    pages = check_words(words, height)
    raw = words.astype(">u4").tobytes().ljust(pages * PAGE_BYTES, b"\0")
    return Tree([sha256(raw[i : i + PAGE_BYTES]).digest() for i in range(0, len(raw), PAGE_BYTES)], height)


def tensor_root(words: Words, height: int) -> bytes:
    """Return the root of `tensor_tree(words, height)`; same arguments and errors."""
    return tensor_tree(words, height).root


def state_tree(roots: Sequence[bytes]) -> Tree:
    """Return the tree over the tensor roots of all slots, in slot order (C-6).

    Raises:
        MalformedError: there is no slot, or a root is not 32 bytes long.
    """
    return Tree(roots, height(len(roots)))
