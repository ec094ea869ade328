"""Numba kernels for exact sums: certifying a TwoSum accumulation, and the integer superaccumulator.

No fastmath anywhere: error-free transformations hold only for IEEE operations in the order written.
Self-contained, because numba's cache watches one file only. Notation: u = 2^-53.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

kernel: Final[Any] = njit(cache=True, error_model="numpy", nogil=True, fastmath=False, boundscheck=False)


@kernel
def _round(value: float) -> Any:
    """Canonical word of a binary64 rounded to binary32 (N-1 to N-3)."""
    if math.isnan(value):
        return np.uint32(0x7FC00000)
    return np.float32(np.float32(value) + np.float32(0.0)).view(np.uint32)


@kernel
def finish_sum(s: float, errors: float, magnitude: float, terms: Any) -> Any:
    """Round a sum held as s plus TwoSum errors; returns (word, certified).

    The exact sum is s + E, E the sum of the error terms. Products of binary32 lie between 2^-298 and 2^256,
    so nothing in here over- or underflows and TwoSum is exact. ``magnitude`` is the rounded sum of |error
    terms|: when it is zero, s is the exact sum. A value that is not finite can only come from terms that
    are not, and IEEE addition then gives the result of N-5 in any order. Otherwise c = s + E' with |E' - E|
    <= (n u)(1 + n u) sum |e|, n = additions, and ``bound`` doubles that and the roundings of c, c - bound
    and c + bound.
    """
    if not math.isfinite(s):
        return _round(s), True
    if magnitude == 0.0:
        return _round(s), True
    c = s + errors
    bound = (np.float64(terms) + 16.0) * 2.0**-52 * magnitude + 2.0**-51 * abs(c)
    low = np.float32(c - bound)
    high = np.float32(c + bound)
    return _round(np.float64(low)), low == high


@kernel
def finish_sums(words: Array, sums: Array, errors: Array, sizes: Array, terms: Any, width: Any) -> Any:
    """`finish_sum` of the first ``width`` lanes, without branches; return how many are not certified."""
    scale = (np.float64(terms) + 16.0) * 2.0**-52
    open_ = np.int64(0)
    for j in range(width):
        s = sums[j]
        c = s + errors[j]
        bound = scale * sizes[j] + 2.0**-51 * abs(c)
        low = np.float32(c - bound)
        high = np.float32(c + bound)
        exact = (sizes[j] == 0.0) | (s - s != 0.0)
        value = np.float32(s) if exact else low
        word = np.float32(value + np.float32(0.0)).view(np.uint32)
        words[j] = np.uint32(0x7FC00000) if math.isnan(value) else word
        open_ += np.int64((not exact) & (low != high))
    return open_


LIMBS: Final = 24
"""32-bit limbs of the superaccumulator: 768 bits, unit 2^-298, as N-12 has it."""


@kernel
def _carry(limbs: Array) -> None:
    for i in range(LIMBS - 1):
        limbs[i + 1] += limbs[i] >> 32
        limbs[i] &= 0xFFFFFFFF


@kernel
def exact_sum(terms: Array, count: Any) -> Any:
    """The word of the exact sum of the first ``count`` binary64 terms, each a multiple of 2^-298 below 2^257.

    Limbs hold signed 64-bit integers; each term adds less than 2^32 to three of them, and carries are spread
    every 2^30 terms, so none overflows.
    """
    limbs = np.zeros(LIMBS, np.int64)
    special = 0.0
    pending = 0
    for i in range(count):
        x = terms[i]
        if not math.isfinite(x):
            special += x
            continue
        if x == 0.0:
            continue
        bits = np.float64(x).view(np.int64)
        exponent = (bits >> 52) & 0x7FF
        mantissa = np.uint64((bits & 0x000FFFFFFFFFFFFF) | 0x0010000000000000)
        place = exponent - 1075 + 298
        if place < 0:
            mantissa = mantissa >> np.uint64(-place)
            place = np.int64(0)
        limb = place >> 5
        shift = np.uint64(place & 31)
        low = mantissa & np.uint64(0xFFFFFFFF)
        high = mantissa >> np.uint64(32)
        low = low << shift
        high = high << shift
        part0 = np.int64(low & np.uint64(0xFFFFFFFF))
        part1 = np.int64(low >> np.uint64(32)) + np.int64(high & np.uint64(0xFFFFFFFF))
        part2 = np.int64(high >> np.uint64(32))
        if bits < 0:
            part0, part1, part2 = -part0, -part1, -part2
        limbs[limb] += part0
        limbs[limb + 1] += part1
        limbs[limb + 2] += part2
        pending += 1
        if pending == 1 << 29:
            _carry(limbs)
            pending = 0
    if special != 0.0:
        return _round(special)
    _carry(limbs)
    negative = limbs[LIMBS - 1] < 0
    if negative:
        for i in range(LIMBS):
            limbs[i] = -limbs[i]
        _carry(limbs)
    return _round_limbs(limbs, negative)


@kernel
def _round_limbs(limbs: Array, negative: bool) -> Any:
    """Round a non-negative integer times 2^-298, with sign, to binary32 (N-1)."""
    top = LIMBS - 1
    while top >= 0 and limbs[top] == 0:
        top -= 1
    if top < 0:
        return np.uint32(0)
    width = 0
    while limbs[top] >> width:
        width += 1
    bit = 32 * top + width - 1
    # The lowest bit kept: 24 bits below the top, or 2^-149 (place 149) for subnormals.
    keep = max(bit - 23, 149)
    kept = np.int64(0)
    for i in range(bit, keep - 1, -1):
        kept = (kept << 1) | ((limbs[i >> 5] >> (i & 31)) & 1)
    half = (limbs[(keep - 1) >> 5] >> ((keep - 1) & 31)) & 1
    sticky = (limbs[(keep - 1) >> 5] & ((np.int64(1) << ((keep - 1) & 31)) - 1)) != 0
    for i in range((keep - 1) >> 5):
        sticky = sticky or limbs[i] != 0
    if half and (sticky or kept & 1):
        kept += 1
    # kept * 2^(keep - 298): a product of a 25-bit integer and a power of two, exact in binary64.
    value = np.float64(kept) * np.int64((keep - 298 + 1023) << 52).view(np.float64)
    return _round(-value if negative else value)
