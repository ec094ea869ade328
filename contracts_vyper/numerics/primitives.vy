# pragma version 0.4.3
# pragma evm-version prague
"""
@title Every primitive on words
@license Apache-2.0
@notice The table of primitives of specs/numerics.md, without the scalar functions (functions.vy).
"""

from contracts_vyper.numerics import float32

# Operands of primitive op, two bits each from bit 2 * op; 0 is no primitive.
ARITIES: constant(uint256) = (
    (170 << 32) + (165 << 40)  # ADD SUB MUL DIV, NEG ABS MAX MIN
    + (21845 << 48)  # SQRT EXP LOG RSQRT, EXPM1 LOG1P TANH COPY
    + (106 << 64) + (21 << 72) + (7 << 80)  # EQ LT LE SIGMOID, ERF SIN COS, SELECT I2F
    + (174762 << 96)  # IADD ISUB IMUL IEQ ILT IAND IOR IXOR ISHR
)


@internal
@pure
def arity(op: uint256) -> uint256:
    """
    @notice Operands of a primitive, 0 if there is none with this code (pushes included).
    """
    if op > 63:
        return 0
    return (ARITIES >> (op << 1)) & 3


@internal
@pure
def is_scalar_function(op: uint256) -> bool:
    """
    @notice Whether a primitive is a function of one float word that functions.vy evaluates.
    """
    return (op >= 24 and op < 31) or (op >= 35 and op < 39)


@internal
@pure
def apply(op: uint256, a: uint256, b: uint256, c: uint256) -> uint256:
    """
    @notice One primitive on words, operands as the table of specs/numerics.md orders them.
    @param op A code of the table, so that its arity is not 0, and not a scalar function.
    """
    if op >= 40:  # 0x28: word and integer primitives
        return self._apply_integer(op, a, b, c)
    if op == 31:  # COPY
        return a
    if op == 20:  # NEG
        return float32.canonical(a ^ float32.SIGN)
    if op == 21:  # ABS
        return float32.canonical(a & float32.SIZE)
    if op == 18:
        return float32.round_exact(float32.exact_product(a, b))
    x: uint256 = float32.exact_word(a)
    y: uint256 = float32.exact_word(b)
    if op == 16:
        return self._add(x, y)
    if op == 17:
        return self._add(x, y ^ float32.NEGATIVE)
    if op == 19:
        return self._divide(x, y)
    return self._compare(op, float32.canonical(a), float32.canonical(b))


@internal
@pure
def _apply_integer(op: uint256, a: uint256, b: uint256, c: uint256) -> uint256:
    if op == 40:  # SELECT
        if a != 0:
            return b
        return c
    if op == 41:  # I2F
        return float32.round_exact(float32.exact_integer(a))
    if op == 48:  # IADD
        return unsafe_add(a, b) & float32.WORD
    if op == 49:  # ISUB
        return unsafe_sub(a, b) & float32.WORD
    if op == 50:  # IMUL
        return unsafe_mul(a, b) & float32.WORD
    if op == 51:  # IEQ
        return convert(a == b, uint256)
    if op == 52:  # ILT: flipping the sign bits turns signed order into unsigned
        return convert(a ^ float32.SIGN < b ^ float32.SIGN, uint256)
    if op == 53:  # IAND
        return a & b
    if op == 54:  # IOR
        return a | b
    if op == 55:  # IXOR
        return a ^ b
    if op == 56:  # ISHR
        return a >> (b & 31)
    return 0


@internal
@pure
def _compare(op: uint256, a: uint256, b: uint256) -> uint256:
    nan: bool = a == float32.NAN or b == float32.NAN
    below: bool = float32.order(a) < float32.order(b)
    if op < 24:  # MAX, MIN
        if nan:
            return float32.NAN
        if below == (op == 22):
            return b
        return a
    if nan:
        return 0
    if op == 32:  # EQ
        return convert(a == b, uint256)
    if op == 33:  # LT
        return convert(below, uint256)
    return convert(below or a == b, uint256)


@internal
@pure
def _add(x: uint256, y: uint256) -> uint256:
    if (x | y) & float32.SPECIAL != 0:
        opposite: bool = x & y & float32.INFINITE != 0 and (x ^ y) & float32.NEGATIVE != 0
        if opposite or (x | y) & float32.NOT_A_NUMBER != 0:
            return float32.NAN
        if x & float32.INFINITE != 0:
            return float32.round_exact(x)
        return float32.round_exact(y)
    upper: uint256 = x
    lower: uint256 = y
    if x & float32.PLACE < y & float32.PLACE:
        upper = y
        lower = x
    place: uint256 = (lower & float32.PLACE) >> 64
    distance: uint256 = unsafe_sub((upper & float32.PLACE) >> 64, place)
    high: uint256 = upper & float32.MAGNITUDE
    low: uint256 = lower & float32.MAGNITUDE
    if distance > 200:
        # `lower` is far below a quarter of the last place of `upper`, a word: the sum rounds to that.
        return float32.round_exact(upper)
    high <<= distance
    negative: uint256 = upper & float32.NEGATIVE
    if (x ^ y) & float32.NEGATIVE == 0:
        high = unsafe_add(high, low)
    elif high >= low:
        high = unsafe_sub(high, low)
    else:
        high = unsafe_sub(low, high)
        negative ^= float32.NEGATIVE
    return float32.round(negative, high, unsafe_add(place, 702))


@internal
@pure
def _divide(x: uint256, y: uint256) -> uint256:
    sign: uint256 = (x ^ y) & float32.NEGATIVE
    if (x | y) & float32.NOT_A_NUMBER != 0 or x & y & float32.INFINITE != 0:
        return float32.NAN
    if y & float32.INFINITE != 0:
        return 0
    divisor: uint256 = y & float32.MAGNITUDE
    if divisor == 0:
        if x & float32.MAGNITUDE == 0:
            return float32.NAN
        # Every zero is +0 (N-5), so the divisor has no sign.
        return float32.round_exact(float32.INFINITE | (x & float32.NEGATIVE))
    if x & float32.INFINITE != 0:
        return float32.round_exact(float32.INFINITE | sign)
    # At least 76 bits of quotient, and a last bit that says whether there is a rest.
    dividend: uint256 = (x & float32.MAGNITUDE) << 100
    quotient: uint256 = (dividend // divisor) << 1
    if dividend % divisor != 0:
        quotient |= 1
    exponent: uint256 = unsafe_sub(unsafe_add((x & float32.PLACE) >> 64, 899), (y & float32.PLACE) >> 64)
    return float32.round(sign, quotient, exponent)
