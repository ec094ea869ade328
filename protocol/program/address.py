"""Loop indices and addresses (program.md, P-1, P-3, P-4, P-12). Exact integers; nothing here can overflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol.commitments.tensor import PAGE_WORDS
from protocol.commitments.tree import height
from protocol.program.descriptor import Leaf, Node

WORD_MASK: Final = 0xFFFFFFFF
RANGE_PAGES: Final = 64
"""Pages that the operands of one range open at most (P-12)."""


def capacity(tensor_height: int) -> int:
    """Return the number of words that a tensor tree of this height holds (C-5)."""
    return PAGE_WORDS << tensor_height


def extent(node: Node, tensor_height: int) -> int:
    """Return the number of words that the node writes, cut to what a tensor holds (P-6)."""
    return min(node.extent, capacity(tensor_height))


def unravel(index: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the row-major loop indices of position `index` in loops of these sizes (all at least 1)."""
    indices = []
    for size in reversed(sizes):
        index, remainder = divmod(index, size)
        indices.append(remainder)
    return tuple(reversed(indices))


def signed(word: int) -> int:
    """Return a 32-bit word read as two's complement."""
    return word - (1 << 32) if word >> 31 else word


def affine(leaf: Leaf, dimension: int, loops: Sequence[int]) -> int:
    """Return offset + sum of stride * loop index of one dimension (P-3, P-4), 0 if the leaf has it not."""
    if dimension >= leaf.rank:
        return 0
    strides = leaf.strides[dimension]
    return leaf.offsets[dimension] + sum(s * v for s, v in zip(strides, loops, strict=True))


def flat_address(leaf: Leaf, loops: Sequence[int], gathered: int) -> int | None:
    """Return the flat address of an operand, or None where it reads its fill word (P-4).

    Args:
        loops: the indices of all loops, output loops first.
        gathered: the word of the gather leaf; looked at only if the leaf gathers.
    """
    flat = 0
    for d, (size, divisor) in enumerate(zip(leaf.sizes, leaf.divisors, strict=True)):
        coordinate = affine(leaf, d, loops)
        if d == leaf.gather_dim:
            coordinate += signed(gathered)
        quotient, remainder = divmod(coordinate, max(divisor, 1))
        if remainder or not 0 <= quotient < size:
            return None
        flat = flat * size + quotient
    return flat


def range_length(node: Node, range_log2: int) -> int:
    """Return L, the number of terms in one range of the node's fold (P-12)."""
    return min(1 << range_log2, RANGE_PAGES >> height(max(node.operands, 1)))


def n_ranges(node: Node, range_log2: int) -> int:
    """Return R, the number of ranges of the node's fold; a fold of one range is recomputed whole (P-12)."""
    return -(-node.terms // range_length(node, range_log2))
