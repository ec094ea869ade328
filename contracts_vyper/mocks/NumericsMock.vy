# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title The numerics modules behind external functions, for tests
@license Apache-2.0
"""

from contracts_vyper.numerics import accumulator
from contracts_vyper.numerics import expression
from contracts_vyper.numerics import functions
from contracts_vyper.numerics import primitives
from contracts_vyper.numerics import scalar

initializes: functions
initializes: expression[functions := functions]


@deploy
def __init__(at: address):
    """
    @param at The contract `ScalarFunctions`.
    """
    functions.__init__(at)


@external
@pure
def apply(op: uint256, a: uint256, b: uint256, c: uint256) -> uint256:
    """
    @notice `primitives.apply`, or `scalar.evaluate` for a scalar function.
    """
    if primitives.is_scalar_function(op):
        return scalar.evaluate(op, a)
    return primitives.apply(op, a, b, c)


@external
@view
def map_word(code: bytes32, n_code: uint256, n_leaves: uint256, words: uint256[4]) -> uint256:
    """
    @notice `expression.map_word`.
    """
    return expression.map_word(code, n_code, n_leaves, words)


@external
@pure
def fold_terms(
    fold: uint256,
    code: bytes32,
    n_code: uint256,
    n_leaves: uint256,
    terms: DynArray[uint256[4], 64],
    prefix: Bytes[97],
    index: uint256,
) -> (uint256, uint256, uint256, uint256, uint256, bytes32):
    """
    @notice Terms from `index` on, folded onto `prefix`.
    @return flags, high, middle, low, the finished word, and the digest.
    """
    acc: accumulator.Accumulator = accumulator.from_bytes(prefix)
    i: uint256 = index
    for words: uint256[4] in terms:
        acc = expression.fold_term(fold, code, n_code, n_leaves, words, acc, i)
        i += 1
    return (
        acc.flags,
        acc.high,
        acc.middle,
        acc.low,
        accumulator.finish(fold, acc),
        accumulator.digest(acc),
    )
