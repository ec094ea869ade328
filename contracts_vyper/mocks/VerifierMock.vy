# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title A verifier that says what it is told
@license Apache-2.0
@notice For tests of the court: gives the verdict, the shape of a fold and the word of an accumulator asked for.
"""
from contracts_vyper.interfaces import ICourtContext

fold: uint256
ranges: uint256
word: uint256


@external
def set_fold(fold: uint256, ranges: uint256, word: uint256):
    """
    @notice Choose what fold_shape and finish answer.
    @param fold The fold.
    @param ranges Number of its ranges.
    @param word What every accumulator finishes to.
    """
    self.fold = fold
    self.ranges = ranges
    self.word = word


@external
@view
def fold_shape(
    program_root: bytes32,
    n_nodes: uint256,
    node: uint256,
    range_log2: uint256,
    tensor_height: uint256,
    word_index: uint256,
    opening: Bytes[2048],
) -> (uint256, uint256):
    """
    @notice The fold and ranges that were set, whatever is opened.
    """
    return self.fold, self.ranges


@external
@view
def finish(fold: uint256, total: Bytes[97]) -> uint256:
    """
    @notice The word that was set, whatever the accumulator.
    """
    return self.word


@external
def judge(court: ICourtContext, dispute: bytes32, candidate: bytes32, fault: bool):
    """
    @notice Report a verdict of the caller's choice, as its prover, in the way of the step verifier.
    """
    context: ICourtContext.ProofContext = staticcall court.proof_context(dispute, candidate)
    extcall court.verdict(dispute, candidate, msg.sender, fault)


@external
def tell(court: ICourtContext, dispute: bytes32, candidate: bytes32, prover: address, fault: bool):
    """
    @notice Report a verdict without asking what is to be proven, for any prover.
    """
    extcall court.verdict(dispute, candidate, prover, fault)
