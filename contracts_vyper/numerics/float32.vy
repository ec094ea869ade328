# pragma version 0.4.3
# pragma evm-version prague
"""
@title Exact arithmetic on binary32 words
@license Apache-2.0
@notice Every primitive of specs/numerics.md, in integers only. `protocol/numerics` is the reference.
@dev A *word* is a uint256 below 2**32. An *exact value* is packed into one uint256 with bit 80 set, so that an
     entry tells its kind:

         bit 80     EXACT
         bit 79     NOT_A_NUMBER
         bit 78     INFINITE
         bit 77     NEGATIVE (of a number or an infinity; of a zero it says nothing)
         64..76     place
         0..63      magnitude: the value is magnitude * 2**(place - 298); 1 if infinite or not a number

     298 is the scale of a sum's accumulator (N-12), so a place is where a magnitude is added to it.
     The arithmetic on words and packed values stays far below 2**256, so it is unchecked.
"""

EXACT: constant(uint256) = 1 << 80
NOT_A_NUMBER: constant(uint256) = 1 << 79
INFINITE: constant(uint256) = 1 << 78
NEGATIVE: constant(uint256) = 1 << 77
SPECIAL: constant(uint256) = NOT_A_NUMBER + INFINITE
PLACE: constant(uint256) = 8191 << 64
MAGNITUDE: constant(uint256) = (1 << 64) - 1
EXACT_NAN: constant(uint256) = EXACT + NOT_A_NUMBER + 1

SIGN: constant(uint256) = 1 << 31
SIZE: constant(uint256) = (1 << 31) - 1  # all but the sign
WORD: constant(uint256) = (1 << 32) - 1
NAN: constant(uint256) = 2143289344  # 0x7fc00000
INFINITY: constant(uint256) = 2139095040  # 0x7f800000
ONE: constant(uint256) = 1065353216  # 0x3f800000

# Operands of primitive op, two bits each from bit 2 * op; 0 is no primitive.
#                      0x10 to 0x1a, 0x1f                      0x20 to 0x22                0x28, 0x29
ARITIES: constant(uint256) = (
    (170 << 32) + (165 << 40) + (21 << 48) + (1 << 62)  # ADD SUB MUL DIV, NEG ABS MAX MIN, SQRT EXP LOG, COPY
    + (42 << 64) + (7 << 80)  # EQ LT LE, SELECT I2F
    + (10922 << 96)  # IADD ISUB IMUL IEQ ILT IAND IOR
)

# Fixed point with 120 fractional bits, for EXP and LOG; ln 2 to the nearest unit.
UNIT: constant(uint256) = 1 << 120
LN2: constant(uint256) = 921350637599661305226344307672478455


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
def canonical(word: uint256) -> uint256:
    """
    @notice A word as float primitives and sums read it (N-4): every NaN is NAN, -0 is +0.
    """
    if word & SIZE > INFINITY:
        return NAN
    if word == SIGN:
        return 0
    return word


@internal
@pure
def exact_word(word: uint256) -> uint256:
    """
    @notice A float word as an exact value (N-4).
    """
    exponent: uint256 = (word >> 23) & 255
    magnitude: uint256 = word & 8388607
    negative: uint256 = (word & SIGN) << 46
    if exponent == 255:
        if magnitude != 0:
            return EXACT_NAN
        return EXACT | INFINITE | negative | 1
    if exponent == 0:
        exponent = 1
    else:
        magnitude |= 8388608
    return EXACT | negative | (unsafe_add(exponent, 148) << 64) | magnitude


@internal
@pure
def exact_integer(word: uint256) -> uint256:
    """
    @notice A two's complement word as an exact value (N-6).
    """
    if word & SIGN != 0:
        return EXACT | NEGATIVE | (298 << 64) | unsafe_sub(1 << 32, word)
    return EXACT | (298 << 64) | word


@internal
@pure
def exact_product(a: uint256, b: uint256) -> uint256:
    """
    @notice The exact product of two float words; 0 * inf is NaN (N-5).
    """
    x: uint256 = self.exact_word(a)
    y: uint256 = self.exact_word(b)
    magnitude: uint256 = unsafe_mul(x & MAGNITUDE, y & MAGNITUDE)
    sign: uint256 = (x ^ y) & NEGATIVE
    if (x | y) & SPECIAL != 0:
        if (x | y) & NOT_A_NUMBER != 0 or magnitude == 0:
            return EXACT_NAN
        return EXACT | INFINITE | sign | 1
    # The places of two words add up to at least 2 * 149.
    return EXACT | sign | unsafe_sub(unsafe_add(x & PLACE, y & PLACE), 298 << 64) | magnitude


@internal
@pure
def round_exact(x: uint256) -> uint256:
    """
    @notice The word of an exact value, rounded once (N-1).
    """
    if x & SPECIAL != 0:
        if x & NOT_A_NUMBER != 0:
            return NAN
        return ((x & NEGATIVE) >> 46) | INFINITY
    return self.round(x & NEGATIVE, x & MAGNITUDE, unsafe_add((x & PLACE) >> 64, 702))


@internal
@pure
def round(negative: uint256, magnitude: uint256, exponent: uint256) -> uint256:
    """
    @notice magnitude * 2**(exponent - 1000), rounded to nearest, ties to even (N-1); zero is +0 (N-2).
    @param negative Not 0 for a negative number.
    @param magnitude Below 2**254.
    @param exponent Below 2**32.
    """
    if magnitude == 0:
        return 0
    # The last place kept lies 23 bits below the leading one, but not below the subnormals' grid, 2**-149. Both
    # exponents here are biased by 1023: the last place's and that of the magnitude's own unit.
    last_place: uint256 = max(unsafe_add(self._log2(magnitude), exponent), 874)
    unit: uint256 = unsafe_add(exponent, 23)
    steps: uint256 = 0
    if last_place <= unit:
        steps = magnitude << unsafe_sub(unit, last_place)
    else:
        places: uint256 = unsafe_sub(last_place, unit)
        if places > 255:
            return 0  # below half of the least subnormal
        # Half a step less one unit carries unless the rest is below half; an odd step adds the unit.
        odd: uint256 = (magnitude >> places) & 1
        steps = unsafe_add(magnitude, unsafe_add((1 << unsafe_sub(places, 1)) - 1, odd)) >> places
    if steps == 0:
        return 0
    # A significand of 2**23 carries into the exponent field by itself, and one rounded up to 2**24 once more.
    word: uint256 = min(unsafe_add(unsafe_sub(last_place, 874) << 23, steps), INFINITY)
    if negative != 0:
        word |= SIGN
    return word


@internal
@pure
def apply(op: uint256, a: uint256, b: uint256, c: uint256) -> uint256:
    """
    @notice One primitive on words, operands as the table of specs/numerics.md orders them.
    @param op A code of the table; the result for any other is 0.
    """
    if op >= 40:  # 0x28: word and integer primitives
        return self._apply_integer(op, a, b, c)
    if op == 31:  # COPY
        return a
    if op == 25:
        return self._exp(a)
    if op == 26:
        return self._log(a)
    if op == 20:  # NEG
        return self.canonical(a ^ SIGN)
    if op == 21:  # ABS
        return self.canonical(a & SIZE)
    x: uint256 = self.exact_word(a)
    if op == 24:
        return self._sqrt(x)
    if op == 18:
        return self.round_exact(self.exact_product(a, b))
    y: uint256 = self.exact_word(b)
    if op == 16:
        return self._add(x, y)
    if op == 17:
        return self._add(x, y ^ NEGATIVE)
    if op == 19:
        return self._divide(x, y)
    return self._compare(op, self.canonical(a), self.canonical(b))


@internal
@pure
def order(word: uint256) -> uint256:
    """
    @notice A number that orders canonical words as the numbers they stand for (N-7), with NaN above all.
    """
    if word & SIGN != 0:
        return unsafe_sub(1 << 32, word)
    return word | (1 << 32)


@internal
@pure
def _compare(op: uint256, a: uint256, b: uint256) -> uint256:
    nan: bool = a == NAN or b == NAN
    below: bool = self.order(a) < self.order(b)
    if op < 24:  # MAX, MIN
        if nan:
            return NAN
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
def _apply_integer(op: uint256, a: uint256, b: uint256, c: uint256) -> uint256:
    if op == 40:  # SELECT
        if a != 0:
            return b
        return c
    if op == 41:  # I2F
        return self.round_exact(self.exact_integer(a))
    if op == 48:  # IADD
        return unsafe_add(a, b) & WORD
    if op == 49:  # ISUB
        return unsafe_sub(a, b) & WORD
    if op == 50:  # IMUL
        return unsafe_mul(a, b) & WORD
    if op == 51:  # IEQ
        return convert(a == b, uint256)
    if op == 52:  # ILT: flipping the sign bits turns signed order into unsigned
        return convert(a ^ SIGN < b ^ SIGN, uint256)
    if op == 53:  # IAND
        return a & b
    if op == 54:  # IOR
        return a | b
    return 0


@internal
@pure
def _add(x: uint256, y: uint256) -> uint256:
    if (x | y) & SPECIAL != 0:
        if (x | y) & NOT_A_NUMBER != 0 or (x & y & INFINITE != 0 and (x ^ y) & NEGATIVE != 0):
            return NAN
        if x & INFINITE != 0:
            return self.round_exact(x)
        return self.round_exact(y)
    upper: uint256 = x
    lower: uint256 = y
    if x & PLACE < y & PLACE:
        upper = y
        lower = x
    place: uint256 = (lower & PLACE) >> 64
    distance: uint256 = unsafe_sub((upper & PLACE) >> 64, place)
    high: uint256 = upper & MAGNITUDE
    low: uint256 = lower & MAGNITUDE
    if distance > 200:
        # `upper` is normal, so its last 200 bits here are zeros: of `lower` it matters only whether it is 0.
        place = unsafe_add(place, unsafe_sub(distance, 200))
        distance = 200
        low = min(low, 1)
    high <<= distance
    negative: uint256 = upper & NEGATIVE
    if (x ^ y) & NEGATIVE == 0:
        high = unsafe_add(high, low)
    elif high >= low:
        high = unsafe_sub(high, low)
    else:
        high = unsafe_sub(low, high)
        negative ^= NEGATIVE
    return self.round(negative, high, unsafe_add(place, 702))


@internal
@pure
def _divide(x: uint256, y: uint256) -> uint256:
    sign: uint256 = (x ^ y) & NEGATIVE
    if (x | y) & NOT_A_NUMBER != 0 or x & y & INFINITE != 0:
        return NAN
    if y & INFINITE != 0:
        return 0
    divisor: uint256 = y & MAGNITUDE
    if divisor == 0:
        if x & MAGNITUDE == 0:
            return NAN
        # Every zero is +0 (N-5), so the divisor has no sign.
        return self.round_exact(INFINITE | (x & NEGATIVE))
    if x & INFINITE != 0:
        return self.round_exact(INFINITE | sign)
    # At least 76 bits of quotient, and a last bit that says whether there is a rest.
    dividend: uint256 = (x & MAGNITUDE) << 100
    quotient: uint256 = (dividend // divisor) << 1
    if dividend % divisor != 0:
        quotient |= 1
    return self.round(
        sign, quotient, unsafe_sub(unsafe_add((x & PLACE) >> 64, 899), (y & PLACE) >> 64)
    )


@internal
@pure
def _sqrt(x: uint256) -> uint256:
    magnitude: uint256 = x & MAGNITUDE
    if x & NOT_A_NUMBER != 0 or (x & NEGATIVE != 0 and magnitude != 0):
        return NAN
    if x & INFINITE != 0:
        return INFINITY
    # magnitude * 2**(place - 298) = square * 2**(even - 498), with `even` an even number.
    place: uint256 = (x & PLACE) >> 64
    even: uint256 = unsafe_sub(place, place & 1)
    square: uint256 = magnitude << unsafe_add(200, place & 1)
    root: uint256 = isqrt(square)
    root = (root << 1) | convert(unsafe_mul(root, root) != square, uint256)
    return self.round(0, root, unsafe_add(even >> 1, 750))


@internal
@pure
def _exp(word: uint256) -> uint256:
    """
    @dev In units of 2**-120. The argument is exact. LN2 is less than half a unit off and is taken at most 151
         times; the series loses less than 2 units in each of at most 31 terms, and less than 2 after them. So
         the value, which is at least 2**120, is less than 2**8 units off: a relative error below 2**-112.
    """
    size: uint256 = word & SIZE
    if size > INFINITY:
        return NAN
    if size <= 847249408:  # 2**-26: nearer to 1 than any boundary
        return ONE
    if word & SIGN != 0:
        if size >= 1120927744:  # 104: e**-104 is below half of the least subnormal
            return 0
    elif size >= 1119092736:  # 89: e**89 is above 2**128
        return INFINITY
    argument: uint256 = ((size & 8388607) | 8388608) << unsafe_sub(size >> 23, 30)
    power: uint256 = argument // LN2
    rest: uint256 = argument % LN2
    exponent: uint256 = unsafe_add(880, power)
    if word & SIGN != 0:
        rest = unsafe_sub(LN2, rest)
        exponent = unsafe_sub(879, power)
    total: uint256 = UNIT
    term: uint256 = UNIT
    for i: uint256 in range(1, 40):
        term = unsafe_div(unsafe_mul(term, rest) >> 120, i)
        if term == 0:
            break
        total = unsafe_add(total, term)
    return self.round(0, total, exponent)


@internal
@pure
def _log(word: uint256) -> uint256:
    """
    @dev In units of 2**-120. The argument is ratio * 2**power with the ratio in [2/3, 4/3), and
         log(ratio) = 2 atanh(t), t = (ratio - 1) / (ratio + 1), |t| <= 1/5. LN2 is less than half a unit off and
         is taken at most 149 times; the series loses less than 2.1 units in each of at most 27 terms, twice. So the
         result is less than 2**8 units off. Not 0, it is at least 2**-25: a relative error below 2**-87.
    """
    size: uint256 = word & SIZE
    if size == 0:
        return SIGN | INFINITY
    if word > INFINITY:
        return NAN
    if word == INFINITY:
        return INFINITY
    x: uint256 = self.exact_word(word)
    magnitude: uint256 = x & MAGNITUDE
    scale: uint256 = self._log2(magnitude)
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
    power: uint256 = unsafe_sub(unsafe_add((x & PLACE) >> 64, scale), 298)
    series = unsafe_mul(series, 2)
    if below:
        series = unsafe_sub(0, series)
    total: uint256 = unsafe_add(unsafe_mul(power, LN2), series)
    negative: uint256 = total >> 255
    if negative != 0:
        total = unsafe_sub(0, total)
    return self.round(negative, total, 880)


@internal
@pure
def _log2(x: uint256) -> uint256:
    """
    @notice The index of the leading one bit of x > 0.
    """
    index: uint256 = convert(x >= 1 << 128, uint256) << 7
    index |= convert(x >> index >= 1 << 64, uint256) << 6
    index |= convert(x >> index >= 1 << 32, uint256) << 5
    index |= convert(x >> index >= 65536, uint256) << 4
    index |= convert(x >> index >= 256, uint256) << 3
    index |= convert(x >> index >= 16, uint256) << 2
    # The rest is 1 to 15: a table of the index of its leading one, two bits each.
    return index | ((4294945360 >> ((x >> index) << 1)) & 3)
