"""Messages from strangers: one encoding for each value, and everything else refused with what is wrong."""

from __future__ import annotations

import struct
import sys
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MalformedError
from protocol.wire import MAX_DEPTH, MAX_ITEMS, pack, read_json, unpack

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=30,
)


@given(VALUES)
def test_values_come_back_and_other_readers_read_them(value: Any) -> None:
    data = pack(value)
    assert unpack(data, what="it") == value
    assert msgpack.unpackb(data) == value


@settings(max_examples=300)
@given(VALUES, st.data())
def test_no_changed_byte_gives_the_same_value(value: Any, data: st.DataObject) -> None:
    good = pack(value)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    try:
        found = unpack(changed, what="it")
    except MalformedError:
        return
    assert pack(found) == changed


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (unpack, read_json):
        with suppress(MalformedError):
            read(data, what="it")


def _nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not msgpack"),
        (b"\xc0\xc0", "not msgpack"),
        (b"\x82\xa1a\x01\xa1a\x02", "twice"),
        (b"\x81\x01\x01", "not msgpack"),
        (b"\x81\xc4\x01a\x01", "not a string"),
        (b"\x82\xa1b\x01\xa1a\x01", "one form"),
        (b"\xcd\x00\x01", "one form"),
        (b"\xca" + struct.pack(">f", 1.0), "one form"),
        (b"\xcb" + struct.pack(">d", float("nan")), "nan"),
        (b"\xcb" + struct.pack(">d", float("-inf")), "inf"),
        (b"\xd4\x05\x00", "extension"),
        (b"\xd6\xff\x00\x00\x00\x00", "extension"),
        (b"\xa1\xff", "not msgpack"),
        (b"\xdd\xff\xff\xff\xff", "not msgpack"),
        (b"\xdf\xff\xff\xff\xff", "not msgpack"),
        (b"\xc6\xff\xff\xff\xff", "not msgpack"),
        (b"\xdd" + struct.pack(">I", MAX_ITEMS + 1) + b"\xc0" * (MAX_ITEMS + 1), "not msgpack"),
        (_nested(MAX_DEPTH + 1), "deep"),
        (_nested(100_000), "not msgpack"),
    ],
)
def test_malformed_messages(data: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        unpack(data, what="it")


def test_limits_of_what_is_read_and_written() -> None:
    assert unpack(_nested(MAX_DEPTH), what="it")
    with pytest.raises(MalformedError, match="more than 10"):
        unpack(pack("x" * 20), what="it", limit=10)
    assert unpack(pack([float("inf")]), what="it", nan=True) == [float("inf")]
    for wrong in ({1: 2}, 1 << 64, object(), "\ud800", [[[]]] and (1, 2)):
        with pytest.raises(MalformedError):
            pack(wrong)
    deep: list[Any] = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    with pytest.raises(MalformedError, match="deep"):
        pack(deep)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"a":1,"a":2}', "twice"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"1e999", "1e999"),
        (b"9" * 10_000, "not JSON"),
        (b"[" * 100_000, "nested more than"),
        (b"{} {}", "not JSON"),
        (b'"' + b"x" * 2000 + b'"', "more than 1,024"),
    ],
)
def test_malformed_json(text: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        read_json(text, what="it", limit=1024 if b"xxx" in text else 1 << 20)


def test_json_is_read() -> None:
    assert read_json(b'{"a": [1, 2.5, null]}', what="it") == {"a": [1, 2.5, None]}


def test_json_nested_too_deep_is_refused_even_where_recursion_is_not_limited() -> None:
    """Packages of the chain lift Python's limit, and the reader would overflow the stack."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        for text in (b"[" * 200_000, b'{"a":' * 100_000, b'["]]]]", ' + b"[" * 17, b'"\\"' + b"[" * 17):
            with pytest.raises(MalformedError):
                read_json(text, what="it")
    finally:
        sys.setrecursionlimit(limit)
    assert read_json(b'["[[[[[[[[[[[[[[[[[[[[", "\\"[", {"{": 1}]', what="it") == ["[" * 20, '"[', {"{": 1}]
