# pragma version 0.4.3
# pragma evm-version prague
"""
@title Node descriptors
@license Apache-2.0
@notice The header of a descriptor that lies in the calldata, and what follows from it (specs/program.md, P-2,
        P-6, P-12).
@dev Total: every 1024 bytes have exactly one header, and no arithmetic here can revert.
"""

from contracts_vyper.program import stream

PAGE_WORDS: constant(uint256) = 64
MAX_LOOPS: constant(uint256) = 8
MAX_LEAVES: constant(uint256) = 4
MAX_RANK: constant(uint256) = 4
MAX_CODE: constant(uint256) = 32
MAX_TERMS: constant(uint256) = 2**32
NO_GATHER: constant(uint256) = 255
OPERAND: constant(uint256) = 0
LEAVES: constant(uint256) = 128
LEAF_BYTES: constant(uint256) = 224
WORD_MASK: constant(uint256) = 2**32 - 1

struct Header:
    fold: uint256  # 0 none, 1 sum, 2 max, 3 argmax
    n_out: uint256  # output loops
    n_loops: uint256  # output and fold loops
    n_leaves: uint256
    n_code: uint256  # bytes of code
    extent: uint256  # words written; 0 if malformed
    terms: uint256  # K; 0 if malformed
    length: uint256  # L, terms in one range, at least 1


@internal
@view
def header(position: uint256, range_log2: uint256, tensor_height: uint256) -> Header:
    """
    @notice Header of a descriptor.
    @param position Of its 1024 bytes.
    @param range_log2 Of the job (P-12).
    @param tensor_height H of the job (C-5).
    @return The header; extent and terms are 0 if the descriptor is malformed (P-6).
    """
    w0: uint256 = stream.word(position)
    h: Header = Header(
        fold=(w0 >> 240) & 255,
        n_out=(w0 >> 232) & 255,
        n_loops=((w0 >> 232) & 255) + ((w0 >> 224) & 255),
        n_leaves=(w0 >> 216) & 255,
        n_code=(w0 >> 208) & 255,
        extent=0,
        terms=0,
        length=1,
    )
    if (
        (w0 >> 248) != 1
        or h.fold > 3
        or h.n_loops > MAX_LOOPS
        or h.n_leaves > MAX_LEAVES
        or h.n_code > MAX_CODE
        or (h.fold == 0 and h.n_loops != h.n_out)
    ):
        return h

    operands: uint256 = 0
    at: uint256 = position + LEAVES
    for i: uint256 in range(h.n_leaves, bound=MAX_LEAVES):
        leaf: uint256 = stream.word(at)
        rank: uint256 = (leaf >> 232) & 255
        gather: uint256 = (leaf >> 224) & 255
        if (
            (leaf >> 248) > 3
            or ((leaf >> 240) & 255) > 2
            or rank > MAX_RANK
            or (gather != NO_GATHER and gather >= rank)
        ):
            return h
        if (leaf >> 248) == OPERAND:
            operands = unsafe_add(operands, 1)
        at = unsafe_add(at, LEAF_BYTES)

    # Eight factors below 2**32 stay below 2**256.
    loops: uint256 = stream.word(position + 32)
    extent: uint256 = 1
    terms: uint256 = 1
    for j: uint256 in range(h.n_loops, bound=MAX_LOOPS):
        size: uint256 = (loops >> unsafe_sub(224, unsafe_mul(32, j))) & WORD_MASK
        if j < h.n_out:
            extent = unsafe_mul(extent, size)
        else:
            terms = unsafe_mul(terms, size)
    if terms > MAX_TERMS:
        return h

    h.extent = min(extent, PAGE_WORDS << tensor_height)
    h.terms = terms
    # 64 pages shared by the operands, in a power of two (P-12).
    h.length = 64
    if operands == 2:
        h.length = 32
    elif operands > 2:
        h.length = 16
    if range_log2 < 6:
        h.length = min(h.length, 1 << range_log2)
    return h
