"""Node descriptors: the one way to say what a node computes (program.md, P-1 to P-5).

A descriptor is 1024 canonical bytes. `Node` and `Leaf` are its decoded form; `Node.encode` and `Node.decode`
are exact inverses on everything that is not malformed in the header (P-6).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum

from protocol.errors import MalformedError

DESCRIPTOR_BYTES = 1024
MAX_LOOPS = 8
MAX_LEAVES = 4
MAX_RANK = 4
MAX_CODE = 32
NO_GATHER = 0xFF
CARRIED = 0xFFFFFFFF
MAX_FOLD = 1 << 32


class LeafKind(IntEnum):
    """What a leaf is (P-2)."""

    OPERAND = 0
    INDEX = 1
    ROW = 2
    STEP = 3


class Source(IntEnum):
    """Where an operand lives (P-5)."""

    NODE = 0
    STATE = 1
    INPUT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One leaf of a node's expression.

    Attributes:
        kind: operand, or an integer made from the loop indices (P-3).
        source: tree that the operand lives in; ``source_id`` its leaf there.
        fill: 32-bit word that an out-of-bounds operand reads as (P-4).
        gather_dim: dimension that takes the word of ``gather_leaf`` as well, or `NO_GATHER`.
        offsets: one int64 per dimension; integer leaves use one dimension.
        sizes: one uint32 per dimension.
        divisors: one uint32 per dimension.
        strides: per dimension one int32 per loop (output loops first, then fold loops).
    """

    kind: LeafKind = LeafKind.OPERAND
    source: Source = Source.NODE
    source_id: int = 0
    fill: int = 0
    gather_dim: int = NO_GATHER
    gather_leaf: int = 0
    offsets: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    divisors: tuple[int, ...] = ()
    strides: tuple[tuple[int, ...], ...] = ()

    @property
    def rank(self) -> int:
        """Number of dimensions of the address."""
        return len(self.sizes)

    def encode(self) -> bytes:
        """The 224 bytes of the leaf (P-2). Raises MalformedError if a field does not fit."""
        rank = self.rank
        if rank > MAX_RANK or not (len(self.offsets) == len(self.divisors) == len(self.strides) == rank):
            raise MalformedError(
                f"leaf of rank {rank}: needs at most {MAX_RANK} offsets, sizes, divisors, strides"
            )
        pad = (0,) * (MAX_RANK - rank)
        try:
            head = struct.pack(">5B3x", self.kind, self.source, rank, self.gather_dim, self.gather_leaf)
            head += struct.pack(">II", self.source_id, self.fill)
            body = struct.pack(">4q", *self.offsets, *pad)
            body += struct.pack(">8I", *self.sizes, *pad, *self.divisors, *pad)
            for row in self.strides:
                body += struct.pack(">8i", *row, *((0,) * (MAX_LOOPS - len(row))))
        except struct.error as error:
            raise MalformedError(f"a field of the leaf does not fit its width: {error}") from error
        return head.ljust(32, b"\0") + body.ljust(192, b"\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node (P-1).

    Attributes:
        fold: 0 none, 1 sum, 2 max, 3 argmax.
        out: sizes of the output loops.
        reduce: sizes of the fold loops; empty with fold none.
        code: postfix expression (numerics.md, N-8 to N-10), at most 32 bytes.
        leaves: at most four.
    """

    fold: int
    out: tuple[int, ...]
    reduce: tuple[int, ...]
    code: bytes
    leaves: tuple[Leaf, ...]

    @property
    def extent(self) -> int:
        """Words that the loops span; what the node writes is this, cut to what a tensor holds (P-6)."""
        return math.prod(self.out)

    @property
    def terms(self) -> int:
        """K, the length of the fold."""
        return math.prod(self.reduce)

    @property
    def operands(self) -> int:
        """Number of leaves that are operands, which sets the range length (P-12)."""
        return sum(leaf.kind == LeafKind.OPERAND for leaf in self.leaves)

    def encode(self) -> bytes:
        """The 1024 canonical bytes (P-2). Raises MalformedError if a field does not fit."""
        loops = self.out + self.reduce
        if len(loops) > MAX_LOOPS or len(self.leaves) > MAX_LEAVES or len(self.code) > MAX_CODE:
            raise MalformedError(
                f"node with {len(loops)} loops, {len(self.leaves)} leaves, {len(self.code)} code bytes: "
                f"at most {MAX_LOOPS}, {MAX_LEAVES}, {MAX_CODE} fit a descriptor"
            )
        if any(len(row) != len(loops) for leaf in self.leaves for row in leaf.strides):
            raise MalformedError(f"a leaf has not one stride for each of the {len(loops)} loops; write zeros")
        try:
            head = struct.pack(
                ">6B", 1, self.fold, len(self.out), len(self.reduce), len(self.leaves), len(self.code)
            )
            sizes = struct.pack(">8I", *loops, *((0,) * (MAX_LOOPS - len(loops))))
        except struct.error as error:
            raise MalformedError(f"the fold or a loop size does not fit its width: {error}") from error
        data = head.ljust(32, b"\0") + sizes + self.code.ljust(64, b"\0")
        return (data + b"".join(leaf.encode() for leaf in self.leaves)).ljust(DESCRIPTOR_BYTES, b"\0")

    @classmethod
    def decode(cls, data: bytes) -> Node:
        """The node in 1024 bytes. Raises MalformedError where P-6 calls the descriptor malformed."""
        if len(data) != DESCRIPTOR_BYTES:
            raise MalformedError(f"a descriptor has {DESCRIPTOR_BYTES} bytes, this has {len(data)}")
        version, fold, n_out, n_reduce, n_leaves, n_code = data[:6]
        n_loops = n_out + n_reduce
        if version != 1 or fold > 3 or n_loops > MAX_LOOPS or n_leaves > MAX_LEAVES or n_code > MAX_CODE:
            raise MalformedError("malformed descriptor: a count in the header is out of range (P-6)")
        loops = struct.unpack(">8I", data[32:64])[:n_loops]
        if (fold == 0 and n_reduce) or math.prod(loops[n_out:]) > MAX_FOLD:
            raise MalformedError("malformed descriptor: fold loops do not fit the fold (P-6)")
        leaves = tuple(_decode_leaf(data[128 + 224 * i : 352 + 224 * i], n_loops) for i in range(n_leaves))
        return cls(
            fold=fold, out=loops[:n_out], reduce=loops[n_out:], code=data[64 : 64 + n_code], leaves=leaves
        )


def _decode_leaf(data: bytes, n_loops: int) -> Leaf:
    kind, source, rank, gather_dim, gather_leaf = data[:5]
    if kind > 3 or source > 2 or rank > MAX_RANK or not (gather_dim == NO_GATHER or gather_dim < rank):
        raise MalformedError("malformed descriptor: a field of a leaf is out of range (P-6)")
    source_id, fill = struct.unpack(">II", data[8:16])
    extents = struct.unpack(">8I", data[64:96])
    strides = tuple(struct.unpack(">8i", data[96 + 32 * d : 128 + 32 * d])[:n_loops] for d in range(rank))
    return Leaf(
        kind=LeafKind(kind),
        source=Source(source),
        source_id=source_id,
        fill=fill,
        gather_dim=gather_dim,
        gather_leaf=gather_leaf,
        offsets=struct.unpack(">4q", data[32:64])[:rank],
        sizes=extents[:rank],
        divisors=extents[4 : 4 + rank],
        strides=strides,
    )
