"""Arrays as canonical words, before anything is committed (numerics.md, N-4; commitments.md, C-1).

A float word is canonical when it is neither -0 nor a NaN other than 0x7fc00000. Integers are 32-bit words in
two's complement.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.errors import MalformedError

Words = NDArray[np.uint32]

NAN_WORD: Final = 0x7FC00000
NEGATIVE_ZERO: Final = 0x80000000
_MAGNITUDE: Final = np.uint32(0x7FFFFFFF)
_INFINITY: Final = np.uint32(0x7F800000)


def canonical_words(array: NDArray[Any]) -> Words:
    """Return the words of an array in row-major order: uint32[array.size].

    float32 keeps its bits, except that every NaN becomes 0x7fc00000 and -0 becomes +0. float16 and float64
    must hold binary32 numbers, signed integers must lie in [-2**31, 2**31), unsigned ones below 2**32; bool
    gives 1 or 0. The result shares no memory with the array.

    Raises:
        MalformedError: a number has no such word, or the dtype is none of these.
    """
    kind = array.dtype.kind
    if kind == "f":
        return _float_words(array)
    if kind in "iu":
        low, high = (-(1 << 31), 1 << 31) if kind == "i" else (0, 1 << 32)
        if array.size and not (int(array.min()) >= low and int(array.max()) < high):
            raise MalformedError(
                f"integers from {array.min()} to {array.max()} do not fit 32-bit words; "
                f"renumber them into {low}..{high - 1}"
            )
    elif kind != "b":
        raise MalformedError(
            f"dtype {array.dtype} has no words; give floats of up to 64 bits, integers or bool"
        )
    return array.astype(np.int64).astype(np.uint32).ravel()


def _float_words(array: NDArray[Any]) -> Words:
    if array.dtype.itemsize > 8:
        raise MalformedError(f"dtype {array.dtype} has no words; round it to float32 first")
    with np.errstate(over="ignore", invalid="ignore"):
        single = array.astype(np.float32).ravel()
    if array.dtype.itemsize == 8 and not np.array_equal(
        single.astype(np.float64), array.ravel(), equal_nan=True
    ):
        raise MalformedError(
            "float64 numbers that are not binary32 would be rounded without anybody having said so; "
            "round to float32 before committing"
        )
    words = single.view(np.uint32)
    words[(words & _MAGNITUDE) > _INFINITY] = NAN_WORD
    words[words == NEGATIVE_ZERO] = 0
    return words


def is_canonical_f32(words: Words) -> bool:
    """Return whether no word is -0 or a NaN other than 0x7fc00000 (P-11 asks it of inputs and states)."""
    odd_nan = ((words & _MAGNITUDE) > _INFINITY) & (words != NAN_WORD)
    return not bool(np.any(odd_nan | (words == NEGATIVE_ZERO)))
