"""SHA-256 of pages and inner nodes, sixteen at a time (commitments.md, C-1 to C-5; FIPS 180-4).

Every lane of a vector register hashes its own page or node. The message words of a page are its native
words (C-2), so nothing is byte-swapped. Pages have 256 bytes and inner nodes 64, so the block that holds
the padding is constant and its message schedule is added to the round constants beforehand. The rounds are
written as vector LLVM code, which leaves no choice to an auto-vectoriser.

Importing this module compiles the kernels, or loads them from numba's cache. They release the GIL.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from protocol.commitments.tensor import PAGE_WORDS
from protocol.commitments.tree import MAX_HEIGHT, zero_root

LANES: Final = 16
BLOCK_WORDS: Final = 16
DIGEST_WORDS: Final = 8
SLACK_ROWS: Final = 2 * LANES + 2 * MAX_HEIGHT
"""Rows that a node buffer must have beside two per leaf: lanes without a node of their own read and write
past the last node, and each level starts at an even row."""

_GROUP_WORDS: Final = LANES * PAGE_WORDS
_MASK: Final = 0xFFFFFFFF
_ZERO_ROWS: Final = np.array(
    [np.frombuffer(zero_root(level), dtype=">u4").astype(np.uint32) for level in range(MAX_HEIGHT + 1)]
)

# --- constants of FIPS 180-4: fractions of the roots of the first primes ---


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % p for p in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(n: int) -> int:
    low, high = 0, 1 << (n.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= n else (low, middle - 1)
    return low


_INITIAL: Final = [isqrt(p << 64) & _MASK for p in _primes(8)]
_ROUND: Final = [_cube_root(p << 96) & _MASK for p in _primes(64)]


def _rotate(word: int, count: int) -> int:
    return (word >> count | word << (32 - count)) & _MASK


def _padding_schedule(message_words: int) -> list[int]:
    """Round constants plus the schedule of the padding block after a message of whole blocks."""
    w = [0x80000000, *[0] * 14, 32 * message_words]
    for t in range(16, 64):
        s0 = _rotate(w[t - 15], 7) ^ _rotate(w[t - 15], 18) ^ w[t - 15] >> 3
        s1 = _rotate(w[t - 2], 17) ^ _rotate(w[t - 2], 19) ^ w[t - 2] >> 10
        w.append((w[t - 16] + s0 + w[t - 7] + s1) & _MASK)
    return [(k + word) & _MASK for k, word in zip(_ROUND, w, strict=True)]


# --- vector code ---

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_I32, LANES)
_HALF = ir.VectorType(_I32, DIGEST_WORDS)


def _splat(word: int) -> Any:
    return ir.Constant(_VECTOR, [word] * LANES)


def _shuffle(b: Any, first: Any, second: Any, lanes: list[int]) -> Any:
    return b.shuffle_vector(first, second, ir.Constant(ir.VectorType(_I32, len(lanes)), lanes))


def _transpose(b: Any, rows: list[Any]) -> list[Any]:
    """Transpose sixteen vectors of sixteen words by exchanging ever smaller squares."""
    rows = list(rows)
    for size in (8, 4, 2, 1):
        upper = [k if not k & size else LANES + k - size for k in range(LANES)]
        lower = [k + size if not k & size else LANES + k for k in range(LANES)]
        for i in range(LANES):
            if not i & size:
                x, y = rows[i], rows[i + size]
                rows[i], rows[i + size] = _shuffle(b, x, y, upper), _shuffle(b, x, y, lower)
    return rows


def _rotate_right(b: Any, x: Any, count: int) -> Any:
    return b.or_(b.lshr(x, _splat(count)), b.shl(x, _splat(32 - count)))


def _sigma(b: Any, x: Any, first: int, second: int, third: int, *, shift: bool) -> Any:
    last = b.lshr(x, _splat(third)) if shift else _rotate_right(b, x, third)
    return b.xor(b.xor(_rotate_right(b, x, first), _rotate_right(b, x, second)), last)


def _compress(b: Any, state: list[Any], message: list[Any] | None, constants: list[int]) -> list[Any]:
    """64 rounds over one block; without a message the constants carry its schedule."""
    a, bb, c, d, e, f, g, h = state
    w = list(message or [])
    for t in range(64):
        total = b.add(h, _splat(constants[t]))
        if message is not None:
            if t >= 16:
                s0 = _sigma(b, w[t - 15], 7, 18, 3, shift=True)
                s1 = _sigma(b, w[t - 2], 17, 19, 10, shift=True)
                w.append(b.add(b.add(w[t - 16], w[t - 7]), b.add(s0, s1)))
            total = b.add(total, w[t])
        choice = b.xor(g, b.and_(e, b.xor(f, g)))
        total = b.add(b.add(total, choice), _sigma(b, e, 6, 11, 25, shift=False))
        majority = b.or_(b.and_(a, bb), b.and_(c, b.or_(a, bb)))
        new_a = b.add(b.add(total, majority), _sigma(b, a, 2, 13, 22, shift=False))
        a, bb, c, d, e, f, g, h = new_a, a, bb, c, b.add(d, total), e, f, g
    return [b.add(old, new) for old, new in zip(state, (a, bb, c, d, e, f, g, h), strict=True)]


def _define_hasher(module: Any, message_words: int) -> Any:
    """Define (source, target): hash LANES adjacent messages into LANES adjacent rows of DIGEST_WORDS."""
    name = f"gavel_sha256_{message_words}_words_{LANES}_lanes"
    if name in module.globals:
        return module.globals[name]
    pointer = _I32.as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    source, target = function.args
    entry, body, finish = (function.append_basic_block(label) for label in ("entry", "block", "finish"))
    ir.IRBuilder(entry).branch(body)

    b = ir.IRBuilder(body)
    at = b.phi(_I64)
    at.add_incoming(ir.Constant(_I64, 0), entry)
    state = [b.phi(_VECTOR) for _ in range(DIGEST_WORDS)]
    for word, phi in zip(_INITIAL, state, strict=True):
        phi.add_incoming(_splat(word), entry)
    rows = []
    for lane in range(LANES):
        row = b.gep(source, [b.add(at, ir.Constant(_I64, lane * message_words))])
        rows.append(b.load(b.bitcast(row, _VECTOR.as_pointer()), align=4))
    new_state = _compress(b, state, _transpose(b, rows), _ROUND)
    following = b.add(at, ir.Constant(_I64, BLOCK_WORDS))
    at.add_incoming(following, body)
    for phi, value in zip(state, new_state, strict=True):
        phi.add_incoming(value, body)
    b.cbranch(b.icmp_unsigned("<", following, ir.Constant(_I64, message_words)), body, finish)

    b = ir.IRBuilder(finish)
    digest = _compress(b, new_state, None, _padding_schedule(message_words))
    columns = digest + [ir.Constant(_VECTOR, ir.Undefined)] * (LANES - DIGEST_WORDS)
    for lane, row in enumerate(_transpose(b, columns)):
        place = b.gep(target, [ir.Constant(_I64, lane * DIGEST_WORDS)])
        half = _shuffle(b, row, row, list(range(DIGEST_WORDS)))
        b.store(half, b.bitcast(place, _HALF.as_pointer()), align=4)
    b.ret_void()
    return function


def _hasher(message_words: int) -> Any:
    @intrinsic
    def hash_lanes(_context: Any, source: Any, _source_at: Any, target: Any, _target_at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pointers = []
            for array, at in ((0, 1), (2, 3)):
                data = context.make_array(signature.args[array])(context, builder, values[array]).data
                pointers.append(builder.gep(data, [values[at]]))
            builder.call(_define_hasher(builder.module, message_words), pointers)
            return context.get_dummy_value()

        return types.void(source, types.intp, target, types.intp), generate

    return hash_lanes


_hash_pages = _hasher(PAGE_WORDS)
_hash_pairs = _hasher(2 * DIGEST_WORDS)

# --- kernels ---

_Input = types.Array(types.uint32, 1, "C", readonly=True)
_Rows = types.Array(types.uint32, 2, "C")


@njit([types.intp(_Rows, types.intp, types.intp, types.intp, types.intp)], cache=True, nogil=True)
def fold(nodes: Any, row: int, count: int, low: int, high: int) -> int:
    """Hash `count` >= 1 nodes of level `low`, from row `row` on, up to level `high`; return the root's row.

    Each level stands after the one below, which is filled up to an even count with its level's zero root.
    `nodes` is uint32[rows, 8] with 2 * count + SLACK_ROWS rows from `row` on.
    """
    flat = nodes.reshape(nodes.size)
    for level in range(low, high):
        if count & 1:
            nodes[row + count] = _ZERO_ROWS[level]
            count += 1
        above = row + count
        count >>= 1
        for i in range(0, count, LANES):
            _hash_pairs(flat, (row + 2 * i) * DIGEST_WORDS, flat, (above + i) * DIGEST_WORDS)
        row = above
    return row


@njit([types.intp(_Input, types.intp, types.intp, types.intp, _Rows)], cache=True, nogil=True)
def subtree(words: Any, first_page: int, pages: int, height: int, nodes: Any) -> int:
    """Hash `pages` >= 1 pages from `first_page` on and the tree of `height` over them; return the root's row.

    The leaves stand in the first rows of `nodes`, the levels as `fold` places them.
    """
    flat = nodes.reshape(nodes.size)
    at = first_page * PAGE_WORDS
    for i in range(0, pages, LANES):
        if at + _GROUP_WORDS <= words.size:
            _hash_pages(words, at, flat, i * DIGEST_WORDS)
        else:
            rest = np.zeros(_GROUP_WORDS, np.uint32)
            rest[: words.size - at] = words[at:]
            _hash_pages(rest, 0, flat, i * DIGEST_WORDS)
        at += _GROUP_WORDS
    return fold(nodes, 0, pages, 0, height)


@njit([types.void(_Input, types.intp, types.intp, types.intp, _Rows, _Rows)], cache=True, nogil=True)
def subtree_roots(words: Any, first: int, last: int, height: int, scratch: Any, roots: Any) -> None:
    """Write the roots of subtrees number `first` to `last` - 1 of `height` to these rows of `roots`."""
    pages = (words.size + PAGE_WORDS - 1) // PAGE_WORDS
    for i in range(first, last):
        start = i << height
        row = subtree(words, start, min(1 << height, pages - start), height, scratch)
        roots[i] = scratch[row]


_Numbers = types.Array(types.int64, 1, "C")


@njit([types.void(_Rows, _Numbers, types.intp)], cache=True, nogil=True)
def lift(roots: Any, heights: Any, high: int) -> None:
    """Bring roots of trees of these heights to height `high`, beside zeros; all trees of a level at once."""
    pairs = np.empty((roots.shape[0] + LANES) * 2 * DIGEST_WORDS, np.uint32)
    hashed = np.empty((roots.shape[0] + LANES, DIGEST_WORDS), np.uint32)
    flat = hashed.reshape(hashed.size)
    for level in range(high):
        count = 0
        for i in range(heights.size):
            if heights[i] <= level:
                for j in range(DIGEST_WORDS):
                    pairs[count * 2 * DIGEST_WORDS + j] = roots[i, j]
                    pairs[(count * 2 + 1) * DIGEST_WORDS + j] = _ZERO_ROWS[level, j]
                count += 1
        for i in range(0, count, LANES):
            _hash_pairs(pairs, i * 2 * DIGEST_WORDS, flat, i * DIGEST_WORDS)
        count = 0
        for i in range(heights.size):
            if heights[i] <= level:
                roots[i] = hashed[count]
                count += 1
