# pragma version 0.4.3
# pragma evm-version prague
"""
@title The code of a node, applied to the words of its leaves
@license Apache-2.0
@notice specs/numerics.md N-8 to N-11. Total: any code, fold and number of leaves has a result, and whether a code is
        malformed never depends on a word.
"""

from contracts_vyper.numerics import accumulator
from contracts_vyper.numerics import float32
from contracts_vyper.numerics import functions
from contracts_vyper.numerics import primitives

uses: functions

MAX_CODE: constant(uint256) = 32
MAX_LEAVES: constant(uint256) = 4
MAX_STACK: constant(uint256) = 8


@internal
@view
def map_word(code: bytes32, n_code: uint256, n_leaves: uint256, words: uint256[4]) -> uint256:
    """
    @notice The word that a node with fold *none* writes (N-8); 0 if its code is malformed.
    @param code Left-aligned; bytes from n_code on are not looked at.
    @param words The words of the leaves; those from n_leaves on are not looked at.
    """
    if n_code < 2 or n_code > 4 or n_leaves > MAX_LEAVES:
        return 0
    packed: uint256 = convert(code, uint256)
    n_pushes: uint256 = unsafe_sub(n_code, 1)
    operands: uint256[3] = [0, 0, 0]
    for i: uint256 in range(n_pushes, bound=3):
        leaf: uint256 = packed >> 248
        if leaf >= n_leaves:
            return 0
        operands[i] = words[leaf]
        packed <<= 8
    op: uint256 = packed >> 248
    if primitives.arity(op) != n_pushes:
        return 0
    if primitives.is_scalar_function(op):
        return functions.evaluate(op, operands[0])
    return primitives.apply(op, operands[0], operands[1], operands[2])


@internal
@pure
def fold_term(
    fold: uint256,
    code: bytes32,
    n_code: uint256,
    n_leaves: uint256,
    words: uint256[4],
    acc: accumulator.Accumulator,
    index: uint256,
) -> accumulator.Accumulator:
    """
    @notice The accumulator with one more term (N-9, N-10); the empty one if the code is malformed (N-11).
    @param fold 1 sum, 2 max, 3 argmax; any other makes every code malformed.
    @param code Left-aligned; bytes from n_code on are not looked at.
    @param words The words of the leaves at this fold index; those from n_leaves on are not looked at.
    @param acc What the terms before gave.
    @param index The fold index, taken modulo 2**32.
    """
    packed: uint256 = convert(code, uint256)
    if n_code <= MAX_CODE and n_leaves <= MAX_LEAVES:
        if fold == 1:
            # The two commonest codes; `_sum_term` gives the same.
            if n_code == 3 and n_leaves > 1 and packed >> 232 == 274:  # leaf0 leaf1 MUL
                return accumulator.add_exact(acc, float32.exact_product(words[0], words[1]))
            if n_code == 1 and n_leaves > 0 and packed >> 248 == 0:  # leaf0
                return accumulator.add_exact(acc, float32.exact_word(words[0]))
            return self._sum_term(packed, n_code, n_leaves, words, acc)
        is_leaf: bool = n_code == 1 and packed >> 248 == 0
        is_copy: bool = n_code == 2 and packed >> 240 == 31  # leaf0 COPY
        if (fold == 2 or fold == 3) and n_leaves > 0 and (is_leaf or is_copy):
            return accumulator.keep_larger(acc, float32.canonical(words[0]), index)
    return empty(accumulator.Accumulator)


@internal
@pure
def _sum_term(
    code: uint256, n_code: uint256, n_leaves: uint256, words: uint256[4], acc: accumulator.Accumulator
) -> accumulator.Accumulator:
    """
    @dev An entry of the stack is a word, or an exact value (float32.EXACT set). n_code and n_leaves are in bounds.
    """
    malformed: accumulator.Accumulator = empty(accumulator.Accumulator)
    stack: uint256[MAX_STACK] = empty(uint256[MAX_STACK])
    size: uint256 = 0
    rest: uint256 = code
    for i: uint256 in range(n_code, bound=MAX_CODE):
        op: uint256 = rest >> 248
        rest <<= 8
        if op < n_leaves:
            if size == MAX_STACK:
                return malformed
            stack[size] = words[op]
            size = unsafe_add(size, 1)
            continue
        arity: uint256 = primitives.arity(op)
        if arity == 0 or size < arity:
            return malformed
        size = unsafe_sub(size, arity)
        a: uint256 = stack[size]
        b: uint256 = 0
        if arity > 1:
            b = stack[unsafe_add(size, 1)]
        if op == 20:  # NEG
            a = self._exact(a) ^ float32.NEGATIVE
        elif op == 40:  # SELECT
            c: uint256 = stack[unsafe_add(size, 2)]
            if a >= float32.EXACT:
                return malformed
            if a != 0:
                a = b
            else:
                a = c
            if b | c >= float32.EXACT:
                a = self._exact(a)
        elif a | b >= float32.EXACT:
            return malformed
        elif op == 18:  # MUL
            a = float32.exact_product(a, b)
        elif op == 41:  # I2F
            a = float32.exact_integer(a)
        elif op == 51 or op == 52:  # IEQ, ILT
            a = primitives.apply(op, a, b, 0)
        else:
            return malformed
        stack[size] = a
        size = unsafe_add(size, 1)
    result: accumulator.Accumulator = acc
    for i: uint256 in range(size, bound=MAX_STACK):
        result = accumulator.add_exact(result, self._exact(stack[i]))
    return result


@internal
@pure
def _exact(entry: uint256) -> uint256:
    if entry >= float32.EXACT:
        return entry
    return float32.exact_word(entry)
