# pragma version 0.4.3
# pragma evm-version prague
"""
@title What a fold has folded so far
@license Apache-2.0
@notice Accumulators as specs/numerics.md N-12 to N-14 define them.
"""

from contracts_vyper.numerics import float32


# V is the 768-bit two's complement number high || middle || low; flags are below 256.
struct Accumulator:
    flags: uint256
    high: uint256
    middle: uint256
    low: uint256


FLAG_NAN: constant(uint256) = 1
FLAG_POSITIVE: constant(uint256) = 2
FLAG_NEGATIVE: constant(uint256) = 4
FLAG_SEEN: constant(uint256) = 8

FOLD_SUM: constant(uint256) = 1
FOLD_MAX: constant(uint256) = 2
FOLD_ARGMAX: constant(uint256) = 3


@internal
@pure
def add_exact(acc: Accumulator, x: uint256) -> Accumulator:
    """
    @notice A sum's accumulator with one more term.
    @param x An exact value as float32 packs it. V wraps modulo 2**768.
    """
    result: Accumulator = acc
    if x & float32.SPECIAL != 0:
        if x & float32.NOT_A_NUMBER != 0:
            result.flags |= FLAG_NAN
        elif x & float32.NEGATIVE != 0:
            result.flags |= FLAG_NEGATIVE
        else:
            result.flags |= FLAG_POSITIVE
        return result
    # The term's magnitude lies across two limbs: a below b, from the lowest limb or from the middle one.
    magnitude: uint256 = x & float32.MAGNITUDE
    place: uint256 = (x & float32.PLACE) >> 64
    offset: uint256 = place & 255
    a: uint256 = magnitude << offset
    b: uint256 = magnitude >> unsafe_sub(256, offset)
    sum: uint256 = 0
    if x & float32.NEGATIVE == 0:
        if place < 256:
            sum = unsafe_add(result.low, a)
            result.low = sum
            b = unsafe_add(b, convert(sum < a, uint256))
            if b != 0:
                sum = unsafe_add(result.middle, b)
                result.middle = sum
                result.high = unsafe_add(result.high, convert(sum < b, uint256))
        else:
            sum = unsafe_add(result.middle, a)
            result.middle = sum
            result.high = unsafe_add(result.high, unsafe_add(b, convert(sum < a, uint256)))
    elif place < 256:
        b = unsafe_add(b, convert(result.low < a, uint256))
        result.low = unsafe_sub(result.low, a)
        if b != 0:
            result.high = unsafe_sub(result.high, convert(result.middle < b, uint256))
            result.middle = unsafe_sub(result.middle, b)
    else:
        result.high = unsafe_sub(result.high, unsafe_add(b, convert(result.middle < a, uint256)))
        result.middle = unsafe_sub(result.middle, a)
    return result


@internal
@pure
def keep_larger(acc: Accumulator, word: uint256, index: uint256) -> Accumulator:
    """
    @notice One step of max and argmax: NaN wins, and of equals the first stays (N-10).
    @param word A float word, canonical.
    @param index The fold index, taken modulo 2**32.
    """
    winner: uint256 = float32.canonical(acc.low & float32.WORD)
    if acc.flags & FLAG_SEEN != 0:
        beaten: bool = winner != float32.NAN and (
            word == float32.NAN or float32.order(word) > float32.order(winner)
        )
        if not beaten:
            return acc
    return Accumulator(
        flags=acc.flags | FLAG_SEEN, high=0, middle=0, low=((index & float32.WORD) << 32) | word
    )


@internal
@pure
def finish(fold: uint256, acc: Accumulator) -> uint256:
    """
    @notice The word that a fold writes (N-13).
    """
    if fold != FOLD_SUM:
        if acc.flags & FLAG_SEEN == 0:
            return 0
        if fold == FOLD_MAX:
            return acc.low & float32.WORD
        if fold == FOLD_ARGMAX:
            return (acc.low >> 32) & float32.WORD
        return 0
    infinities: uint256 = acc.flags & (FLAG_POSITIVE | FLAG_NEGATIVE)
    if acc.flags & FLAG_NAN != 0 or infinities == FLAG_POSITIVE | FLAG_NEGATIVE:
        return float32.NAN
    if infinities == FLAG_POSITIVE:
        return float32.INFINITY
    if infinities == FLAG_NEGATIVE:
        return float32.SIGN | float32.INFINITY

    high: uint256 = acc.high
    middle: uint256 = acc.middle
    low: uint256 = acc.low
    negative: uint256 = high >> 255
    if negative != 0:
        # -V = ~V + 1: a limb is negated while all limbs below it are 0, inverted after that.
        high = unsafe_sub(max_value(uint256), high)
        middle = unsafe_sub(max_value(uint256), middle)
        low = unsafe_sub(0, low)
        if low == 0:
            middle = unsafe_add(middle, 1)
            if middle == 0:
                high = unsafe_add(high, 1)
    # Bring the leading bits into `high`; its unit is then 2**(exponent - 1000).
    exponent: uint256 = 1214
    for i: uint256 in range(2):
        if high != 0:
            break
        high = middle
        middle = low
        low = 0
        exponent = unsafe_sub(exponent, 256)
    # Less than 254 bits of it, the last of which also says whether anything follows.
    if high >> 128 != 0:
        low |= middle | (high & 3)
        high >>= 2
        exponent = unsafe_add(exponent, 2)
    else:
        low |= middle << 120
        high = (high << 120) | (middle >> 136)
        exponent = unsafe_sub(exponent, 120)
    return float32.round(negative, high | convert(low != 0, uint256), exponent)


@internal
@pure
def digest(acc: Accumulator) -> bytes32:
    """
    @notice sha256 of the 97 bytes of an accumulator (N-12).
    """
    return sha256(
        concat(
            convert(convert(acc.flags, uint8), bytes1),
            convert(acc.high, bytes32),
            convert(acc.middle, bytes32),
            convert(acc.low, bytes32),
        )
    )


@internal
@pure
def from_bytes(data: Bytes[97]) -> Accumulator:
    """
    @notice The accumulator of 97 bytes (N-12); any are one.
    """
    assert len(data) == 97, "accumulator: length"
    return Accumulator(
        flags=convert(slice(data, 0, 1), uint256),
        high=convert(extract32(data, 1), uint256),
        middle=convert(extract32(data, 33), uint256),
        low=convert(extract32(data, 65), uint256),
    )
