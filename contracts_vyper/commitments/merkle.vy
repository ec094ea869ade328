# pragma version 0.4.3
# pragma evm-version prague
"""
@title SHA-256 Merkle trees of fixed height
@license Apache-2.0
@notice Folds proofs and child lists to the root that they claim (commitments.md, C-1 to C-4).
@dev Heights are fixed by the job, so a path is bound to its index: bit i of the index, least significant
     first, says whether the sibling of level i stands left (1) or right (0). The caller compares the root.
     About 490 gas a hash from calldata and 390 from memory, of which 184 are the precompile's.
     `abi_encode` joins two words for less than `concat`, and `convert(slice(...), uint256)` reads a word for
     less than the conversion to bytes32.
@custom:security `slice(msg.data, ...)` reverts past the end of calldata, so no sibling is read that was not sent.
"""

MAX_HEIGHT: constant(uint256) = 64
MAX_PATH: constant(uint256) = 32
MAX_CHILDREN: constant(uint256) = 1024
MAX_CHILDREN_LOG2: constant(uint256) = 10


@internal
@pure
def root_from_path(leaf: bytes32, index: uint256, path: DynArray[bytes32, MAX_PATH]) -> bytes32:
    """
    @notice The root that `leaf` at `index` and its siblings, lowest first, hash to.
    @dev The caller has checked len(path) against the height that the job fixes.
    @param leaf The node that is opened
    @param index Its place, below 2^len(path)
    @param path One sibling for each level
    @return The root
    """
    # INVARIANT: C-3, an opened leaf stands at exactly one place
    assert index >> len(path) == 0, "merkle: index outside the tree"
    node: bytes32 = leaf
    bits: uint256 = index
    for sibling: bytes32 in path:
        if bits & 1 == 0:
            node = sha256(abi_encode(node, sibling))
        else:
            node = sha256(abi_encode(sibling, node))
        bits >>= 1
    return node


@internal
@view
def root_from_calldata(leaf: bytes32, index: uint256, height: uint256, pos: uint256) -> bytes32:
    """
    @notice The root that `leaf` at `index` and `height` siblings in calldata, lowest first, hash to.
    @param leaf The node that is opened
    @param index Its place, below 2^height
    @param height Levels between the leaf and the root, at most 64
    @param pos Offset in msg.data of the first sibling, in bytes; they take 32 * height bytes
    @return The root
    """
    assert height <= MAX_HEIGHT, "merkle: height above 64"
    # INVARIANT: C-3, an opened leaf stands at exactly one place
    assert index >> height == 0, "merkle: index outside the tree"
    node: bytes32 = leaf
    # the sum cannot wrap to a place inside: its first term has passed the bounds check of level 0 before
    for i: uint256 in range(height, bound=MAX_HEIGHT):
        if (index >> i) & 1 == 0:
            node = sha256(
                abi_encode(node, convert(slice(msg.data, unsafe_add(pos, unsafe_mul(32, i)), 32), uint256))
            )
        else:
            node = sha256(
                abi_encode(convert(slice(msg.data, unsafe_add(pos, unsafe_mul(32, i)), 32), uint256), node)
            )
    return node


@internal
@pure
def root_of_children(children: DynArray[bytes32, MAX_CHILDREN]) -> bytes32:
    """
    @notice The root over a power-of-two number of nodes of one level.
    @dev The caller has checked len(children) against the fan-out.
    @param children All nodes that many levels below the root, in order
    @return The root
    """
    count: uint256 = len(children)
    assert count != 0 and count & (count - 1) == 0, "merkle: children not a power of two"
    if count == 1:
        return children[0]
    nodes: bytes32[MAX_CHILDREN // 2] = empty(bytes32[MAX_CHILDREN // 2])
    count >>= 1
    for i: uint256 in range(count, bound=MAX_CHILDREN // 2):
        nodes[i] = sha256(abi_encode(children[2 * i], children[2 * i + 1]))
    for _: uint256 in range(MAX_CHILDREN_LOG2 - 1):
        if count == 1:
            break
        count >>= 1
        for i: uint256 in range(count, bound=MAX_CHILDREN // 4):
            nodes[i] = sha256(abi_encode(nodes[2 * i], nodes[2 * i + 1]))
    return nodes[0]


@internal
@view
def root_of_calldata(count_log2: uint256, pos: uint256) -> bytes32:
    """
    @notice The root over 2^count_log2 nodes of one level that stand in calldata: what a reveal is checked by.
    @param count_log2 The fan-out as a power of two, at most 10
    @param pos Offset in msg.data of the first node, in bytes; they take 32 * 2^count_log2 bytes
    @return The root
    """
    assert count_log2 <= MAX_CHILDREN_LOG2, "merkle: more than 1024 children"
    if count_log2 == 0:
        return convert(slice(msg.data, pos, 32), bytes32)
    count: uint256 = 1 << (count_log2 - 1)
    nodes: bytes32[MAX_CHILDREN // 2] = empty(bytes32[MAX_CHILDREN // 2])
    # the sum cannot wrap to a place inside: its first term has passed the bounds check of pair 0 before
    for i: uint256 in range(count, bound=MAX_CHILDREN // 2):
        nodes[i] = sha256(slice(msg.data, unsafe_add(pos, unsafe_mul(64, i)), 64))
    for _: uint256 in range(MAX_CHILDREN_LOG2 - 1):
        if count == 1:
            break
        count >>= 1
        for i: uint256 in range(count, bound=MAX_CHILDREN // 4):
            nodes[i] = sha256(abi_encode(nodes[2 * i], nodes[2 * i + 1]))
    return nodes[0]
