# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title The scalar functions of the step verifier
@license Apache-2.0
@notice specs/numerics.md N-15: roots, exponentials, logarithms, tanh, sigmoid, erf, sine and cosine of one word,
        correctly rounded.
@dev A contract of its own because the verifier has no room for it. No storage, no owner, no funds: an answer
     depends on the question alone.
"""

from contracts_vyper.interfaces import IScalarFunctions
from contracts_vyper.numerics import scalar

implements: IScalarFunctions


@external
@pure
def evaluate(op: uint256, word: uint256) -> uint256:
    """
    @notice A scalar function of a word.
    @param op Its code in the table of primitives (specs/numerics.md).
    @param word Below 2**32.
    @return The word of the result.
    """
    assert word < 2**32, "scalar: not a word"
    return scalar.evaluate(op, word)
