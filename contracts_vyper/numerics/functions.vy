# pragma version 0.4.3
# pragma evm-version prague
"""
@title Where the scalar functions are
@license Apache-2.0
@notice The address of the contract `ScalarFunctions`, fixed when the contract that uses this module is deployed.
@dev A party checks the code at that address before it follows a job (specs/actors.md, A-1).
"""

from contracts_vyper.interfaces import IScalarFunctions

scalar_functions: public(immutable(address))


@deploy
def __init__(at: address):
    """
    @param at The contract `ScalarFunctions`.
    """
    assert at.is_contract, "functions: no contract"
    scalar_functions = at


@internal
@view
def evaluate(op: uint256, word: uint256) -> uint256:
    """
    @notice A scalar function of a word (N-15).
    """
    return staticcall IScalarFunctions(scalar_functions).evaluate(op, word)
