"""Operations and folds by number (numerics.md, table of primitives)."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType


class Op(IntEnum):
    """One byte of a code: a push of a leaf (0 to 3) or a primitive."""

    LEAF0 = 0x00
    LEAF1 = 0x01
    LEAF2 = 0x02
    LEAF3 = 0x03
    ADD = 0x10
    SUB = 0x11
    MUL = 0x12
    DIV = 0x13
    NEG = 0x14
    ABS = 0x15
    MAX = 0x16
    MIN = 0x17
    SQRT = 0x18
    EXP = 0x19
    LOG = 0x1A
    RSQRT = 0x1B
    EXPM1 = 0x1C
    LOG1P = 0x1D
    TANH = 0x1E
    COPY = 0x1F
    EQ = 0x20
    LT = 0x21
    LE = 0x22
    SIGMOID = 0x23
    ERF = 0x24
    SIN = 0x25
    COS = 0x26
    SELECT = 0x28
    I2F = 0x29
    IADD = 0x30
    ISUB = 0x31
    IMUL = 0x32
    IEQ = 0x33
    ILT = 0x34
    IAND = 0x35
    IOR = 0x36
    IXOR = 0x37
    ISHR = 0x38


class Fold(IntEnum):
    """How the terms of a node become one word."""

    NONE = 0
    SUM = 1
    MAX = 2
    ARGMAX = 3


MAX_CODE = 32
"""The most bytes of a code (program.md, P-2)."""

MAX_LEAVES = 4
"""The most leaves of a node (program.md, P-2)."""

MAX_STACK = 8
"""The most entries on the stack of a sum's code (N-11)."""

LEAVES = (Op.LEAF0, Op.LEAF1, Op.LEAF2, Op.LEAF3)

SCALAR_FUNCTIONS = (
    Op.SQRT,
    Op.EXP,
    Op.LOG,
    Op.RSQRT,
    Op.EXPM1,
    Op.LOG1P,
    Op.TANH,
    Op.SIGMOID,
    Op.ERF,
    Op.SIN,
    Op.COS,
)
"""Functions of one float word (N-15); on chain they have a contract of their own."""

_UNARY = (Op.NEG, Op.ABS, Op.COPY, Op.I2F, *SCALAR_FUNCTIONS)

ARITY: MappingProxyType[int, int] = MappingProxyType(
    {op: 0 if op in LEAVES else 1 if op in _UNARY else 3 if op is Op.SELECT else 2 for op in Op}
)
"""Operands that each operation takes from the stack; a byte that is not a key is no operation."""
