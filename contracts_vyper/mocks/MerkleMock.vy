# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title The Merkle module behind external functions
@license Apache-2.0
@notice For tests only.
"""

from contracts_vyper.commitments import merkle

HEAD: constant(uint256) = 4  # the selector


@external
@pure
def root_from_path(leaf: bytes32, index: uint256, path: DynArray[bytes32, 32]) -> bytes32:
    """
    @notice merkle.root_from_path
    @param leaf The node that is opened
    @param index Its place
    @param path Siblings, lowest first
    @return The root
    """
    return merkle.root_from_path(leaf, index, path)


@external
@view
def root_from_calldata(leaf: bytes32, index: uint256, height: uint256, siblings: Bytes[4096]) -> bytes32:
    """
    @notice merkle.root_from_calldata over an argument.
    @param leaf The node that is opened
    @param index Its place
    @param height Levels between the leaf and the root
    @param siblings 32 bytes for each level, lowest first
    @return The root
    """
    # four words of arguments and the length word stand before the siblings
    return merkle.root_from_calldata(leaf, index, height, HEAD + 32 * 5)


@external
@view
def root_from_calldata_at(leaf: bytes32, index: uint256, height: uint256, pos: uint256) -> bytes32:
    """
    @notice merkle.root_from_calldata at any offset, so that the end of calldata can be tested.
    @param leaf The node that is opened
    @param index Its place
    @param height Levels between the leaf and the root
    @param pos Offset in msg.data, in bytes
    @return The root
    """
    return merkle.root_from_calldata(leaf, index, height, pos)


@external
@pure
def root_of_children(children: DynArray[bytes32, 1024]) -> bytes32:
    """
    @notice merkle.root_of_children
    @param children All nodes of one level, in order
    @return The root
    """
    return merkle.root_of_children(children)


@external
@view
def root_of_calldata(count_log2: uint256, children: DynArray[bytes32, 1024]) -> bytes32:
    """
    @notice merkle.root_of_calldata over an argument.
    @param count_log2 The fan-out as a power of two
    @param children All nodes of one level, in order
    @return The root
    """
    # two words of arguments and the length word stand before the children
    return merkle.root_of_calldata(count_log2, HEAD + 32 * 3)
