# pragma version 0.4.3
# pragma evm-version prague
"""
@title Binary32 words: reading, exact values, and the one rounding
@license Apache-2.0
@notice specs/numerics.md N-1 to N-7 in integers only. `protocol/numerics` is the reference.
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
def order(word: uint256) -> uint256:
    """
    @notice A number that orders canonical words as the numbers they stand for (N-7), with NaN above all.
    """
    if word & SIGN != 0:
        return unsafe_sub(1 << 32, word)
    return word | (1 << 32)


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
    last_place: uint256 = max(unsafe_add(self.log2(magnitude), exponent), 874)
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
def log2(x: uint256) -> uint256:
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
