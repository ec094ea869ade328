# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title A court of one context
@license Apache-2.0
@notice For tests of the step verifier: answers with the context that it was given and records the verdict.
"""

from contracts_vyper.interfaces import ICourtContext

implements: ICourtContext

struct Verdict:
    dispute: bytes32
    candidate: bytes32
    prover: address
    fault: bool

context: ICourtContext.ProofContext
last: public(Verdict)
verdicts: public(uint256)


@external
def set_context(context: ICourtContext.ProofContext):
    """
    @notice Choose what the next proof is asked to show.
    @param context The context, for every dispute and candidate.
    """
    self.context = context


@external
@view
def proof_context(dispute: bytes32, candidate: bytes32) -> ICourtContext.ProofContext:
    """
    @notice The context that was set, whatever is asked for.
    """
    return self.context


@external
def verdict(dispute: bytes32, candidate: bytes32, prover: address, fault: bool):
    """
    @notice Record a verdict, from anyone.
    """
    self.last = Verdict(dispute=dispute, candidate=candidate, prover=prover, fault=fault)
    self.verdicts += 1
