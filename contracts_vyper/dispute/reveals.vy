# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title What was revealed, and when
@license Apache-2.0
@dev Rule D-6. A reveal authenticates itself, so anyone may make it and one serves every dispute.
"""
from contracts_vyper.commitments import merkle
from contracts_vyper.dispute import guard
from contracts_vyper.interfaces import ICourt

MAX_CHILDREN: constant(uint256) = 1024
PAGE_BYTES: constant(uint256) = 256
PAGE_LEVELS: constant(uint256) = 255

# hash -> number of levels (255 for a page) -> time; zero: not revealed
times: HashMap[bytes32, HashMap[uint256, uint256]]


@external
def reveal(children: DynArray[bytes32, MAX_CHILDREN]) -> bytes32:
    """
    @notice Reveal the nodes some levels below a hash (D-6). Anyone, once.
    @param children A power of two of them, from 2 to 1024, in order.
    @return hash What they hash to.
    """
    levels: uint256 = 0
    for l: uint256 in range(1, 11):
        if len(children) == 1 << l:
            levels = l
    guard.that(levels != 0, "court: children not 2^n")
    root: bytes32 = merkle.root_of_children(children)
    # INVARIANT: I-4, the time of a reveal never moves, so nobody can make a defender late after the fact.
    guard.that(self.times[root][levels] == 0, "court: revealed before")
    self._record(root, levels, children)
    return root


@external
def reveal_page(page: Bytes[PAGE_BYTES]) -> bytes32:
    """
    @notice Reveal a page (D-6). Anyone, once.
    @param page 256 bytes.
    @return hash What they hash to.
    """
    guard.that(len(page) == PAGE_BYTES, "court: a page has 256 bytes")
    leaf: bytes32 = sha256(page)
    # INVARIANT: I-4, as above.
    guard.that(self.times[leaf][PAGE_LEVELS] == 0, "court: page revealed before")
    self.times[leaf][PAGE_LEVELS] = block.timestamp
    log ICourt.PageRevealed(hash=leaf, page=page)
    return leaf


@internal
def _record(root: bytes32, levels: uint256, children: DynArray[bytes32, MAX_CHILDREN]):
    # a commit counts as the reveal of its first list, unless somebody was before it
    if self.times[root][levels] == 0:
        self.times[root][levels] = block.timestamp
        log ICourt.Revealed(hash=root, levels=levels, children=children)


@external
@view
def revealed_at(hash: bytes32, levels: uint256) -> uint256:
    """
    @notice When a list of children, or a page, was revealed.
    @param hash Of the node or page.
    @param levels Number of levels below it; 255 for a page.
    @return time Seconds; zero if it was not.
    """
    return self.times[hash][levels]
