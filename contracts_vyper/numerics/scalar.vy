# pragma version 0.4.3
# pragma evm-version prague
"""
@title Square root, exponential and natural logarithm
@license Apache-2.0
@notice Correctly rounded (N-1, N-5), in fixed point with the error stated at each.
"""

from contracts_vyper.numerics import float32

# Fixed point with 120 fractional bits, for EXP and LOG; ln 2 to the nearest unit.
UNIT: constant(uint256) = 1 << 120
LN2: constant(uint256) = 921350637599661305226344307672478455


@internal
@pure
def sqrt_word(word: uint256) -> uint256:
    """
    @dev Exact: the integer root of more than 200 bits, and a last bit that says whether anything is left.
    """
    x: uint256 = float32.exact_word(word)
    magnitude: uint256 = x & float32.MAGNITUDE
    if x & float32.NOT_A_NUMBER != 0 or (x & float32.NEGATIVE != 0 and magnitude != 0):
        return float32.NAN
    if x & float32.INFINITE != 0:
        return float32.INFINITY
    # magnitude * 2**(place - 298) = square * 2**(even - 498), with `even` an even number.
    place: uint256 = (x & float32.PLACE) >> 64
    even: uint256 = unsafe_sub(place, place & 1)
    square: uint256 = magnitude << unsafe_add(200, place & 1)
    root: uint256 = isqrt(square)
    root = (root << 1) | convert(unsafe_mul(root, root) != square, uint256)
    return float32.round(0, root, unsafe_add(even >> 1, 750))


@internal
@pure
def exp_word(word: uint256) -> uint256:
    """
    @dev In units of 2**-120. The argument is exact. LN2 is less than half a unit off and is taken at most 151
         times; the series loses less than 2 units in each of at most 31 terms, and less than 2 after them. So
         the value, which is at least 2**120, is less than 2**8 units off: a relative error below 2**-112. The
         nearest that an exact result comes to a boundary is 2**-52.6 of it
         (tests/differential/test_numerics_hardest.py).
    """
    size: uint256 = word & float32.SIZE
    if size > float32.INFINITY:
        return float32.NAN
    if size <= 847249408:  # 2**-26: nearer to 1 than any boundary
        return float32.ONE
    if word & float32.SIGN != 0:
        if size >= 1120927744:  # 104: e**-104 is below half of the least subnormal
            return 0
    elif size >= 1119092736:  # 89: e**89 is above 2**128
        return float32.INFINITY
    argument: uint256 = ((size & 8388607) | 8388608) << unsafe_sub(size >> 23, 30)
    power: uint256 = argument // LN2
    rest: uint256 = argument % LN2
    exponent: uint256 = unsafe_add(880, power)
    if word & float32.SIGN != 0:
        rest = unsafe_sub(LN2, rest)
        exponent = unsafe_sub(879, power)
    total: uint256 = UNIT
    term: uint256 = UNIT
    for i: uint256 in range(1, 40):
        term = unsafe_div(unsafe_mul(term, rest) >> 120, i)
        if term == 0:
            break
        total = unsafe_add(total, term)
    return float32.round(0, total, exponent)


@internal
@pure
def log_word(word: uint256) -> uint256:
    """
    @dev In units of 2**-120. The argument is ratio * 2**power with the ratio in [2/3, 4/3), and
         log(ratio) = 2 atanh(t), t = (ratio - 1) / (ratio + 1), |t| <= 1/5. LN2 is less than half a unit off and
         is taken at most 149 times; the series loses less than 2.1 units in each of at most 27 terms, twice. So
         the result is less than 2**8 units off. Not 0, it is at least 2**-25: a relative error below 2**-87.
         The nearest that an exact result comes to a boundary is 2**-57.8 of it.
    """
    size: uint256 = word & float32.SIZE
    if size == 0:
        return float32.SIGN | float32.INFINITY
    if word > float32.INFINITY:
        return float32.NAN
    if word == float32.INFINITY:
        return float32.INFINITY
    x: uint256 = float32.exact_word(word)
    magnitude: uint256 = x & float32.MAGNITUDE
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
    power: uint256 = unsafe_sub(unsafe_add((x & float32.PLACE) >> 64, scale), 298)
    series = unsafe_mul(series, 2)
    if below:
        series = unsafe_sub(0, series)
    total: uint256 = unsafe_add(unsafe_mul(power, LN2), series)
    negative: uint256 = total >> 255
    if negative != 0:
        total = unsafe_sub(0, total)
    return float32.round(negative, total, 880)
