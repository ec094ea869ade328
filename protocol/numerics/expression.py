"""The code of a node, applied to the words of its leaves (N-8 to N-11).

Whether a code is well-formed depends on the code, the fold and the number of leaves, never on a word:
`SELECT` gives an exact value when either of its two values is one, whatever the condition says (N-9).
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.numerics.accumulator import (
    EMPTY,
    FLAG_NEG_INF,
    FLAG_POS_INF,
    FLAG_SEEN,
    SCALE,
    Accumulator,
    exact_word,
)
from protocol.numerics.opcodes import ARITY, MAX_CODE, MAX_LEAVES, MAX_STACK, Fold, Op
from protocol.numerics.primitives import apply, order, signed
from protocol.numerics.words import MASK, NAN, canonical

_MAX_CODES = (bytes([Op.LEAF0]), bytes([Op.LEAF0, Op.COPY]))

Exact = tuple[int, int]
"""An exact value: flags (N-12) and the value times 2**298, which is 0 when a flag is set."""


def is_well_formed(fold: int, code: bytes, n_leaves: int) -> bool:
    """Whether a code is as N-8 to N-10 say; if not, N-11 gives its node zeros and empty accumulators.

    Args:
        fold: a `Fold`; other numbers make every code malformed.
        code: the bytes of the code, without padding.
        n_leaves: leaves of the node; more than 4 make every code malformed.
    """
    if len(code) > MAX_CODE or not 0 <= n_leaves <= MAX_LEAVES:
        return False
    if fold == Fold.NONE:
        return _map_primitive(code, n_leaves) is not None
    if fold == Fold.SUM:
        return _sum_entries(code, [0] * n_leaves) is not None
    return fold in (Fold.MAX, Fold.ARGMAX) and n_leaves > 0 and code in _MAX_CODES


def map_word(code: bytes, words: Sequence[int]) -> int:
    """The word that a node with fold *none* writes, from the words of its leaves (N-8, N-11)."""
    op = _map_primitive(code, len(words))
    if op is None:
        return 0
    return apply(op, *(words[leaf] for leaf in code[:-1]))


def fold_term(
    fold: int, code: bytes, words: Sequence[int], accumulator: Accumulator, index: int
) -> Accumulator:
    """The accumulator with one more term (N-9 to N-12).

    Args:
        fold: a `Fold`.
        code: the bytes of the code, without padding.
        words: the words of all leaves at this fold index.
        accumulator: what the terms before gave; any 97 bytes, also those that no fold can give.
        index: the fold index, from 0; taken modulo 2**32.
    """
    if not is_well_formed(fold, code, len(words)) or fold == Fold.NONE:
        return EMPTY
    if fold != Fold.SUM:
        return _keep_larger(accumulator, canonical(words[0]), index)
    for entry in _sum_entries(code, words) or ():
        accumulator = accumulator.add(*_exact(entry))
    return accumulator


def _map_primitive(code: bytes, n_leaves: int) -> int | None:
    """The primitive of a well-formed map, else None."""
    if not 0 < len(code) <= MAX_CODE or n_leaves > MAX_LEAVES:
        return None
    pushes, op = code[:-1], code[-1]
    well_formed = len(pushes) > 0 and ARITY.get(op) == len(pushes) and all(leaf < n_leaves for leaf in pushes)
    return op if well_formed else None


def _sum_entries(code: bytes, words: Sequence[int]) -> list[int | Exact] | None:
    """What a code leaves on the stack under a sum, words and exact values, or None if it is malformed."""
    stack: list[int | Exact] = []
    for op in code:
        if op < len(words):
            if len(stack) == MAX_STACK:
                return None
            stack.append(words[op])
            continue
        arity = ARITY.get(op, 0)
        if arity == 0 or len(stack) < arity:
            return None
        operands = stack[-arity:]
        del stack[-arity:]
        entry = _sum_operation(op, operands)
        if entry is None:
            return None
        stack.append(entry)
    return stack


def _sum_operation(op: int, operands: list[int | Exact]) -> int | Exact | None:
    """One operation under a sum, or None where it or its kinds of operands are not allowed (N-9, N-11)."""
    if op == Op.NEG:
        return _negated(_exact(operands[0]))
    if op == Op.SELECT:
        condition, a, b = operands
        if not isinstance(condition, int):
            return None
        chosen = a if condition != 0 else b
        return chosen if isinstance(a, int) and isinstance(b, int) else _exact(chosen)
    words = [operand for operand in operands if isinstance(operand, int)]
    if len(words) != len(operands):
        return None
    if op == Op.MUL:
        return _product(*words)
    if op == Op.I2F:
        return 0, signed(words[0]) << SCALE
    if op in (Op.IEQ, Op.ILT):
        return apply(op, *words)
    return None


def _exact(entry: int | Exact) -> Exact:
    return exact_word(entry) if isinstance(entry, int) else entry


def _negated(exact: Exact) -> Exact:
    flags, value = exact
    swapped = {FLAG_POS_INF: FLAG_NEG_INF, FLAG_NEG_INF: FLAG_POS_INF}
    return swapped.get(flags, flags), -value


def _product(a: int, b: int) -> Exact:
    """The exact product of two float words; 0 * inf is NaN (N-5)."""
    (flags_a, value_a), (flags_b, value_b) = exact_word(canonical(a)), exact_word(canonical(b))
    if not flags_a and not flags_b:
        return 0, value_a * value_b >> SCALE  # exact: both are multiples of 2**149
    return exact_word(apply(Op.MUL, a, b))


def _keep_larger(accumulator: Accumulator, word: int, index: int) -> Accumulator:
    """One step of max and argmax: NaN wins, and of equals the first stays (N-10)."""
    winner = canonical(accumulator.value & MASK)
    beaten = winner != NAN and (word == NAN or order(word) > order(winner))
    if accumulator.flags & FLAG_SEEN and not beaten:
        return accumulator
    return Accumulator(accumulator.flags | FLAG_SEEN, (index & MASK) << 32 | word)
