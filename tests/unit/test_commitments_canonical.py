"""Canonical words: one pattern for NaN, one for zero, integers in 32 bits (N-4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protocol.commitments.canonical import canonical_words, is_canonical_f32
from protocol.errors import MalformedError


def floats(*words: int) -> np.ndarray[Any, Any]:
    return np.array(words, np.uint32).view(np.float32)


@pytest.mark.parametrize(
    ("word", "canonical"),
    [
        (0x00000000, 0x00000000),
        (0x80000000, 0x00000000),
        (0x7FC00000, 0x7FC00000),
        (0xFFC00000, 0x7FC00000),
        (0x7F800001, 0x7FC00000),  # signalling
        (0xFFFFFFFF, 0x7FC00000),
        (0x7F800000, 0x7F800000),
        (0xFF800000, 0xFF800000),
        (0x00000001, 0x00000001),
        (0x80000001, 0x80000001),
        (0x807FFFFF, 0x807FFFFF),
        (0x3F800000, 0x3F800000),
    ],
)
def test_float_words(word: int, canonical: int) -> None:
    words = canonical_words(floats(word))
    assert words.tolist() == [canonical]
    assert words.dtype == np.uint32
    assert is_canonical_f32(words)
    assert is_canonical_f32(np.array([0x3F800000, word], np.uint32)) == (word == canonical)


def test_row_major_and_a_copy() -> None:
    array = np.array([[1.0, 2.0], [3.0, -0.0]], np.float32)
    words = canonical_words(array.T)
    assert words.tolist() == [0x3F800000, 0x40400000, 0x40000000, 0]
    words[:] = 7
    assert array.tolist() == [[1.0, 2.0], [3.0, -0.0]]
    assert np.signbit(array[1, 1])


def test_other_byte_orders_and_widths_have_the_same_words() -> None:
    values = [1.5, -0.0, float("nan"), float("-inf"), 2.0**-14]
    expected = canonical_words(np.array(values, np.float32)).tolist()
    for dtype in (">f4", np.float16, np.float64, ">f8"):
        assert canonical_words(np.array(values, dtype)).tolist() == expected


@pytest.mark.parametrize("value", [0.1, 1e39, 2.0**-150, 1 + 2.0**-24, -1e300])
def test_float64_that_is_not_binary32_is_refused(value: float) -> None:
    with pytest.raises(MalformedError, match="float64"):
        canonical_words(np.array([1.0, value]))


def test_integers_and_bool() -> None:
    assert canonical_words(np.array([0, 5, -1, -(2**31), 2**31 - 1])).tolist() == [
        0,
        5,
        2**32 - 1,
        2**31,
        2**31 - 1,
    ]
    assert canonical_words(np.array([2**32 - 1], np.uint32)).tolist() == [2**32 - 1]
    assert canonical_words(np.array([2**32 - 1], np.uint64)).tolist() == [2**32 - 1]
    assert canonical_words(np.array([-1, 127], np.int8)).tolist() == [2**32 - 1, 127]
    assert canonical_words(np.array([[True, False]])).tolist() == [1, 0]


@pytest.mark.parametrize(
    "array",
    [
        np.array([2**31]),
        np.array([-(2**31) - 1]),
        np.array([2**32], np.uint64),
        np.array([2**64 - 1], np.uint64),
        np.array([1j]),
        np.array(["1"]),
        np.array([None]),
    ],
)
def test_what_has_no_words_is_refused(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(MalformedError):
        canonical_words(array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_empty_arrays(dtype: type) -> None:
    words = canonical_words(np.zeros((0, 3), dtype))
    assert words.shape == (0,)
    assert words.dtype == np.uint32
    assert is_canonical_f32(words)
