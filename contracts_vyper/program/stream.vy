# pragma version 0.4.3
# pragma evm-version prague
"""
@title Proof streams, read where they lie
@license Apache-2.0
@notice Words, pages and hashes at a position of the calldata (specs/program.md, P-13, P-15).
@dev A witness of 96 KB is never copied to memory: positions are passed around instead. Every read stands behind
     `need`, so it lies inside the stream; past the end of the calldata `slice` reverts anyway.
"""

from contracts_vyper.commitments import merkle

PAGE_BYTES: constant(uint256) = 256
MAX_HEIGHT: constant(uint256) = 64
WORD_MASK: constant(uint256) = 2**32 - 1

struct Page:
    root: bytes32  # of the tensor that the page was opened under
    content: uint256  # position of its 256 bytes, 0 if it is absent
    after: uint256  # position behind the page and its path


@internal
@pure
def need(position: uint256, size: uint256, end: uint256) -> uint256:
    """
    @notice Check that bytes are there.
    @param position Of the first one.
    @param size How many.
    @param end Of the stream.
    @return The position behind them.
    """
    after: uint256 = position + size
    assert after <= end, "verifier: short stream"
    return after


@internal
@view
def word(position: uint256) -> uint256:
    """
    @notice 32 bytes of the calldata.
    @param position Of the first byte.
    @return The bytes as a big-endian integer.
    """
    return convert(slice(msg.data, position, 32), uint256)


@internal
@view
def word32(position: uint256) -> uint256:
    """
    @notice Four bytes of the calldata (C-2).
    @param position Of the first byte, at least 28.
    @return The bytes as a big-endian integer below 2**32.
    """
    # The 32 bytes that end here, not those that begin here: they cannot reach past the end of the calldata.
    bits: uint256 = convert(slice(msg.data, unsafe_sub(position, 28), 32), uint256)
    return bits & WORD_MASK


@internal
@view
def open_page(page: uint256, page_height: uint256, position: uint256, end: uint256) -> Page:
    """
    @notice A page as P-13 opens it: a tag byte, 256 bytes unless it is absent, its path.
    @dev The caller compares the root.
    @param page Number of the page, which the path is bound to.
    @param page_height H or I of the job: siblings of the path (C-5).
    @param position Of the tag byte, at least 31.
    @param end Of the stream.
    @return The root, and where the page and what follows it lie.
    """
    content: uint256 = self.need(position, 1, end)
    tag: uint256 = convert(slice(msg.data, unsafe_sub(position, 31), 32), uint256)
    tag &= 255
    assert tag <= 1, "verifier: page tag"
    path: uint256 = content + PAGE_BYTES * tag
    after: uint256 = self.need(path, 32 * page_height, end)
    leaf: bytes32 = empty(bytes32)
    if tag == 1:
        leaf = sha256(slice(msg.data, content, PAGE_BYTES))
    else:
        content = 0
    return Page(
        root=merkle.root_from_calldata(leaf, page, page_height, path), content=content, after=after
    )


@internal
@pure
def height(n: uint256) -> uint256:
    """
    @notice Height of a tree (C-4).
    @param n Number of leaves, at most 2**64; 0 counts as 1.
    @return The least h with 2**h >= n.
    """
    h: uint256 = 0
    for i: uint256 in range(MAX_HEIGHT):
        if (1 << h) >= n:
            break
        h = unsafe_add(h, 1)
    return h
