"""Fast hashing of tensors and states: the roots of `protocol.commitments`, at gigabytes a second (C-5, C-6).

The kernels are compiled, or loaded from numba's cache, at the first call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import check_words, state_tree
from protocol.commitments.tree import Tree, zero_root
from protocol.errors import MalformedError

if TYPE_CHECKING:
    from types import ModuleType

_CHUNK_HEIGHT: Final = 10
"""A chunk is a subtree of 2**10 pages, 256 KiB of words: small against the cache of a core."""

_PAGES_PER_THREAD: Final = 1 << 13
"""Below 2 MiB of words a thread costs more to start than it saves."""


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tensor_root(words: Words, height: int, *, threads: int | None = None) -> bytes:
    """Return the tensor root (C-5), as `protocol.commitments.tensor.tensor_root` does.

    Args:
        words: uint32[extent], native order.
        height: the job's H.
        threads: most threads to use; by default one for each available core.

    Raises:
        MalformedError: the words are not flat uint32, or do not fit the height.
    """
    return tensor_roots([words], height, threads=threads)[0]


def tensor_roots(tensors: Sequence[Words], height: int, *, threads: int | None = None) -> list[bytes]:
    """Return the tensor root of each of `tensors`; arguments and errors as for `tensor_root`.

    The tensors share the threads: they are cut into chunks, of which every thread takes a consecutive share.
    The threads live for the call only, so a process may fork between calls.
    """
    kernel = _kernel()
    pages = [check_words(words, height) for words in tensors]
    # A tensor is hashed up to the least tree that holds it, then all of them together, among zeros.
    heights = [max(count - 1, 0).bit_length() for count in pages]
    chunk_heights = [min(own, _CHUNK_HEIGHT) for own in heights]
    chunks = [-(-count >> low) for count, low in zip(pages, chunk_heights, strict=True)]
    roots = np.empty((len(pages), 8), np.uint32)
    tops = [
        roots[i : i + 1] if count <= 1 else np.empty((2 * count + kernel.SLACK_ROWS, 8), np.uint32)
        for i, count in enumerate(chunks)
    ]
    ready = [_ready(words) for words in tensors]

    def hash_share(first: int, last: int) -> None:
        rows = 2 * min(max(pages, default=0), 1 << _CHUNK_HEIGHT) + kernel.SLACK_ROWS
        scratch = np.empty((rows, 8), np.uint32)
        start = 0
        for words, top, count, low in zip(ready, tops, chunks, chunk_heights, strict=True):
            begin, end = max(first - start, 0), min(last - start, count)
            if begin < end:
                kernel.subtree_roots(words, begin, end, low, scratch, top)
            start += count

    total = sum(chunks)
    workers = max(1, min(threads or available_cores(), sum(pages) // _PAGES_PER_THREAD))
    if workers == 1:
        hash_share(0, total)
    else:
        bounds = [total * i // workers for i in range(workers + 1)]
        with ThreadPoolExecutor(workers - 1) as pool:
            shares = [pool.submit(hash_share, *bounds[i : i + 2]) for i in range(1, workers)]
            hash_share(0, bounds[1])
            for share in shares:
                share.result()

    for i, count in enumerate(chunks):
        if count > 1:
            roots[i] = tops[i][kernel.fold(tops[i], 0, count, chunk_heights[i], heights[i])]
    filled = np.array([own if count else height for own, count in zip(heights, pages, strict=True)], np.int64)
    kernel.lift(roots, filled, height)
    raw = roots.astype(">u4").tobytes()
    empty = zero_root(height)
    return [raw[32 * i : 32 * (i + 1)] if count else empty for i, count in enumerate(pages)]


def tensor_tree(words: Words, height: int) -> Tree:
    """Return the tree over a tensor (C-5), as `protocol.commitments.tensor.tensor_tree` does; same errors.

    Only a dispute needs it (C-15): it keeps about a quarter of the tensor's size in nodes.
    """
    count = check_words(words, height)
    if not count:
        return Tree((), height)
    kernel = _kernel()
    nodes = np.empty((2 * count + kernel.SLACK_ROWS, 8), np.uint32)
    last = kernel.subtree(_ready(words), 0, count, height, nodes)
    raw = nodes[: last + 1].byteswap().tobytes() if np.little_endian else nodes[: last + 1].tobytes()
    levels, row = [], 0
    for level in range(height + 1):
        levels.append(raw[32 * row : 32 * (row + count)])
        row += count + (count & 1 if level < height else 0)
        count = (count + 1) // 2
    return Tree.from_levels(levels)


def state_root(tensors: Sequence[Words], height: int, n_slots: int, *, threads: int | None = None) -> bytes:
    """Return the state root (C-6) of all slots, in slot order.

    Args:
        tensors: the words of each slot, uint32[extent] each.
        height: the job's H, of the tree over each tensor.
        n_slots: the number of slots that the job fixes.
        threads: most threads to use; by default one for each available core.

    Raises:
        MalformedError: there are not n_slots tensors, or one of them has no root.
    """
    if len(tensors) != n_slots:
        raise MalformedError(
            f"a state of {len(tensors)} tensors where the job has {n_slots} slots; give every slot"
        )
    return state_tree(tensor_roots(tensors, height, threads=threads)).root


def _ready(words: Words) -> Words:
    """The same words, contiguous and aligned as the kernels read them."""
    ready = words.flags.c_contiguous and words.flags.aligned
    return words if ready else np.require(words, requirements=["C", "A"])


def _kernel() -> ModuleType:
    from prover.engine import sha256_kernel

    return sha256_kernel
