# pragma version 0.4.3
# pragma evm-version prague
"""
@title Roots, exponentials, logarithms, tanh, sigmoid, error function, sine and cosine
@license Apache-2.0
@notice Correctly rounded (N-1, N-5, N-15), in fixed point with the error stated at each.
@dev Roots are exact. For the others, every argument has been scanned for how near its exact result comes to a
     boundary between two words (specs/certificates, `gavel certify`): the relative error stated here is far
     below that distance, so what is rounded here and the exact result lie on the same side. Where a result is so
     near a simple one that no boundary lies between them, that is given at once; the distances at such a place
     are stated there too.
"""

from contracts_vyper.numerics import float32

SQRT: constant(uint256) = 24
EXP: constant(uint256) = 25
LOG: constant(uint256) = 26
RSQRT: constant(uint256) = 27
EXPM1: constant(uint256) = 28
LOG1P: constant(uint256) = 29
TANH: constant(uint256) = 30
SIGMOID: constant(uint256) = 35
ERF: constant(uint256) = 36
SIN: constant(uint256) = 37
COS: constant(uint256) = 38

# Fixed point with 120 fractional bits: 1, and to the nearest unit ln 2, pi / 2, 2 / sqrt(pi).
UNIT: constant(uint256) = 1 << 120
LN2: constant(uint256) = 921350637599661305226344307672478455
HALF_PI: constant(uint256) = 2087946453251888179413438228831778874
TWO_OVER_ROOT_PI: constant(uint256) = 1499873178763820871004525654118497671
# 2 / pi with 256 fractional bits, rounded down.
TWO_OVER_PI: constant(uint256) = (
    73715533492226901901836098385759174607297965327747686705228263945774433027425
)

HALF: constant(uint256) = 1056964608  # the word of 1/2
MINUS_ONE: constant(uint256) = 3212836864  # the word of -1
AT_2_26: constant(uint256) = 847249408  # the word of 2**-26
AT_2_13: constant(uint256) = 956301312  # the word of 2**-13
AT_4: constant(uint256) = 1082130432  # the word of 4
AT_16: constant(uint256) = 1098907648  # the word of 16
AT_32: constant(uint256) = 1107296256  # the word of 32
AT_89: constant(uint256) = 1119092736  # the word of 89
AT_104: constant(uint256) = 1120927744  # the word of 104


@internal
@pure
def evaluate(op: uint256, word: uint256) -> uint256:
    """
    @notice A scalar function of a word.
    @param op Its code in the table of primitives.
    """
    if word & float32.SIZE > float32.INFINITY:
        return float32.NAN
    if op == SQRT or op == RSQRT:
        return self._root(op, word)
    if op == LOG or op == LOG1P:
        return self._logarithm(op, word)
    if op == ERF:
        return self._erf(word)
    if op == SIN or op == COS:
        return self._sine(op, word)
    assert op == EXP or op == EXPM1 or op == TANH or op == SIGMOID, "scalar: no such function"
    return self._exponential(op, word)


@internal
@pure
def _root(op: uint256, word: uint256) -> uint256:
    """
    @dev Exact: the integer root of at least 175 bits, and a last bit that says whether anything is left.
    """
    x: uint256 = float32.exact_word(word)
    magnitude: uint256 = x & float32.MAGNITUDE
    inverse: bool = op == RSQRT
    if magnitude == 0 or word == float32.INFINITY:
        # 0 and infinity, in this order for the root and the other way round for its inverse.
        if (magnitude == 0) == inverse:
            return float32.INFINITY
        return 0
    if word > float32.INFINITY:
        return float32.NAN
    # magnitude * 2**(place - 298) = doubled * 2**(even - 298), with `even` an even number.
    place: uint256 = (x & float32.PLACE) >> 64
    doubled: uint256 = magnitude << (place & 1)
    half: uint256 = place >> 1
    square: uint256 = doubled << 200
    if inverse:
        square = unsafe_div(1 << 200, doubled)
    root: uint256 = isqrt(square)
    again: uint256 = unsafe_mul(root, root)
    if inverse:
        # The root of the integer quotient is that of the quotient.
        rest: uint256 = convert(unsafe_mul(again, doubled) != 1 << 200, uint256)
        return float32.round(0, (root << 1) | rest, unsafe_sub(1048, half))
    return float32.round(0, (root << 1) | convert(again != square, uint256), unsafe_add(half, 750))


@internal
@pure
def _exponential(op: uint256, word: uint256) -> uint256:
    """
    @notice EXP, EXPM1, TANH, SIGMOID, all by e**a = total * 2**power.
    @dev In units of 2**-120. The argument is exact. LN2 is less than half a unit off and is taken at most 151
         times; the series loses less than 2 units in each of at most 31 terms, and less than 2 after them. So
         the total, which is at least 2**120, is less than 2**8 units off: a relative error below 2**-112 for
         EXP. e**a - 1, at least 2**-26 in size: below 2**-84. For TANH, (1 - f) / (1 + f) with f = e**-2a, moves
         at most twice as far as f and is at least 2**-14: below 2**-96. For SIGMOID, below 2**-110.
    """
    size: uint256 = word & float32.SIZE
    negative: uint256 = word & float32.SIGN
    argument: uint256 = 0
    if op == TANH:
        if size <= AT_2_13:  # x**2 / 3 < 2**-27 relative
            return float32.canonical(word)
        if size >= AT_16:  # 1 - tanh 16 < 2**-44
            return float32.ONE | negative
    else:
        if size <= AT_2_26:
            # Within 2**-27: 1 + x, relative to x the value x, and 1/2 + x / 4.
            if op == EXP:
                return float32.ONE
            if op == SIGMOID:
                return HALF
            return float32.canonical(word)
        if negative != 0:
            if size >= AT_104:  # e**-104 is below half of the least subnormal
                if op == EXPM1:
                    return MINUS_ONE
                return 0
        elif op == SIGMOID:
            if size >= AT_32:  # 1 - sigmoid 32 < 2**-46
                return float32.ONE
        elif size >= AT_89:  # e**89 is above 2**128
            return float32.INFINITY
    argument = ((size & 8388607) | 8388608) << unsafe_sub(size >> 23, 30)
    if op == TANH:
        argument <<= 1
    places: uint256 = argument // LN2
    rest: uint256 = argument % LN2
    # TANH and SIGMOID take e to the power of -|x|.
    below: bool = negative != 0 or op >= TANH
    if below:
        rest = unsafe_sub(LN2, rest)
        places = unsafe_add(places, 1)
    total: uint256 = UNIT
    term: uint256 = UNIT
    for i: uint256 in range(1, 40):
        term = unsafe_div(unsafe_mul(term, rest) >> 120, i)
        if term == 0:
            break
        total = unsafe_add(total, term)

    if op == EXP:
        if below:
            return float32.round(0, total, unsafe_sub(880, places))
        return float32.round(0, total, unsafe_add(880, places))
    if op == EXPM1:
        if below:
            return float32.round(1, unsafe_sub(UNIT, total >> places), 880)
        return float32.round(0, unsafe_sub(total << places, UNIT), 880)
    fraction: uint256 = total >> places
    if op == TANH:
        quotient: uint256 = unsafe_div(unsafe_sub(UNIT, fraction) << 120, unsafe_add(UNIT, fraction))
        return float32.round(negative, quotient, 880)
    if negative != 0:
        return float32.round(0, unsafe_div(total << 120, unsafe_add(UNIT, fraction)), unsafe_sub(880, places))
    return float32.round(0, unsafe_div(UNIT << 120, unsafe_add(UNIT, fraction)), 880)


@internal
@pure
def _logarithm(op: uint256, word: uint256) -> uint256:
    """
    @notice LOG, LOG1P.
    @dev In units of 2**-120. The argument is ratio * 2**power with the ratio in [2/3, 4/3), and
         log(ratio) = 2 atanh(t), t = (ratio - 1) / (ratio + 1), |t| <= 1/5. LN2 is less than half a unit off and
         is taken at most 149 times; the series loses less than 2.1 units in each of at most 27 terms, twice. So
         the result is less than 2**8 units off. Not 0, it is at least 2**-27: a relative error below 2**-85.
    """
    size: uint256 = word & float32.SIZE
    pole: uint256 = 0
    if op == LOG1P:
        if size <= AT_2_26:  # x / 2 < 2**-26 relative, x - x**2 / 2 lies below x
            return float32.canonical(word)
        pole = MINUS_ONE
    elif size == 0:
        return float32.SIGN | float32.INFINITY
    if word == MINUS_ONE and pole != 0:
        return float32.SIGN | float32.INFINITY
    if word == float32.INFINITY:
        return float32.INFINITY
    if word & float32.SIGN != 0 and (pole == 0 or word > pole):
        return float32.NAN
    x: uint256 = float32.exact_word(word)
    magnitude: uint256 = x & float32.MAGNITUDE
    place: uint256 = (x & float32.PLACE) >> 64
    if op == LOG1P:
        # 1 + x exactly; x is not below 2**-26 in size, so this has at most 129 bits.
        if place >= 298:
            magnitude = unsafe_add(magnitude << unsafe_sub(place, 298), 1)
            place = 298
        elif word & float32.SIGN != 0:
            magnitude = unsafe_sub(1 << unsafe_sub(298, place), magnitude)
        else:
            magnitude = unsafe_add(1 << unsafe_sub(298, place), magnitude)
    scale: uint256 = float32.log2(magnitude)
    if unsafe_mul(3, magnitude) >= 4 << scale:
        scale = unsafe_add(scale, 1)
    one: uint256 = 1 << scale
    below: bool = magnitude < one
    difference: uint256 = unsafe_sub(magnitude, one)
    if below:
        difference = unsafe_sub(one, magnitude)
    term: uint256 = unsafe_div(difference << 120, unsafe_add(magnitude, one))
    square: uint256 = unsafe_mul(term, term) >> 120
    series: uint256 = 0
    for i: uint256 in range(40):
        if term == 0:
            break
        series = unsafe_add(series, unsafe_div(term, unsafe_add(unsafe_mul(i, 2), 1)))
        term = unsafe_mul(term, square) >> 120
    # Signed numbers from here on, in two's complement.
    power: uint256 = unsafe_sub(unsafe_add(place, scale), 298)
    series = unsafe_mul(series, 2)
    if below:
        series = unsafe_sub(0, series)
    total: uint256 = unsafe_add(unsafe_mul(power, LN2), series)
    negative: uint256 = total >> 255
    if negative != 0:
        total = unsafe_sub(0, total)
    return float32.round(negative, total, 880)


@internal
@pure
def _erf(word: uint256) -> uint256:
    """
    @dev erf x = x * 2/sqrt(pi) * S, S = sum of (-z)**n / (n! (2n + 1)), z = x**2 < 16, in units of 2**-112: no
         term is above 2**20, so their products stay below 2**256. One unit cut off a term grows to less than
         e**16 < 2**24 in all later ones; z is less than one unit off, which is n / z relative in term n, in sum
         e**16 again; there are at most 94 terms. So S, at least 0.22, is less than 2**31 units off, and with the
         factor the relative error is below 2**-78. Partial sums below 0 are two's complement.
    """
    if word & float32.SIZE >= AT_4:  # 1 - erf 4 < 2**-25
        return float32.ONE | (word & float32.SIGN)
    x: uint256 = float32.exact_word(word)
    magnitude: uint256 = x & float32.MAGNITUDE
    place: uint256 = (x & float32.PLACE) >> 64
    # x**2 = magnitude**2 * 2**(2 place - 596)
    square: uint256 = unsafe_mul(magnitude, magnitude)
    if place >= 242:
        square <<= unsafe_sub(unsafe_mul(2, place), 484)
    else:
        square >>= unsafe_sub(484, unsafe_mul(2, place))
    total: uint256 = 1 << 112
    term: uint256 = total
    for i: uint256 in range(1, 128):
        term = unsafe_div(unsafe_mul(term, square) >> 112, i)
        if term == 0:
            break
        part: uint256 = unsafe_div(term, unsafe_add(unsafe_mul(i, 2), 1))
        if i & 1 == 0:
            total = unsafe_add(total, part)
        else:
            total = unsafe_sub(total, part)
    total = unsafe_mul(total, TWO_OVER_ROOT_PI) >> 120
    return float32.round(word & float32.SIGN, unsafe_mul(magnitude, total), unsafe_add(place, 590))


@internal
@pure
def _sine(op: uint256, word: uint256) -> uint256:
    """
    @notice SIN, COS.
    @dev x * 2/pi modulo 4, in units of 2**-254: TWO_OVER_PI is less than one unit of 2**-256 off, and moved up it is
         multiplied by less than 2**126, so the turn is less than 2**-128 off. With the angle in units of 2**-120
         less than 4 units off and 2 units lost in each of at most 17 terms the sine is less than 2**6 units off.
         No word above 2**-13 comes nearer than 2**-31 to a multiple of pi / 2: a relative error below 2**-83.
    """
    size: uint256 = word & float32.SIZE
    if size == float32.INFINITY:
        return float32.NAN
    if size <= AT_2_13:  # x**2 / 2 < 2**-26
        if op == COS:
            return float32.ONE
        return float32.canonical(word)
    field: uint256 = size >> 23
    turn: uint256 = TWO_OVER_PI
    if field >= 152:
        turn <<= unsafe_sub(field, 152)
    else:
        turn >>= unsafe_sub(152, field)
    turn = unsafe_mul(turn, (size & 8388607) | 8388608)
    quadrant: uint256 = turn >> 254
    negative: uint256 = word >> 31
    if op == COS:
        quadrant = unsafe_add(quadrant, 1)
        negative = 0
    turn &= (1 << 254) - 1
    if quadrant & 1 != 0:
        turn = unsafe_sub(1 << 254, turn)
    term: uint256 = unsafe_mul(turn >> 134, HALF_PI) >> 120
    square: uint256 = unsafe_mul(term, term) >> 120
    total: uint256 = term
    for i: uint256 in range(1, 40):
        n: uint256 = unsafe_mul(i, 2)
        term = unsafe_div(unsafe_mul(term, square) >> 120, unsafe_mul(n, unsafe_add(n, 1)))
        if term == 0:
            break
        if i & 1 == 0:
            total = unsafe_add(total, term)
        else:
            total = unsafe_sub(total, term)
    return float32.round(negative ^ ((quadrant >> 1) & 1), total, 880)
