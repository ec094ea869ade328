"""Reading what strangers wrote: the one strict reader of msgpack, and of JSON (stores.md, S-6).

A value has one encoding here, the one that `pack` writes: shortest forms, binary64 numbers, keys in order.
What is read is checked against it, so every changed byte shows, and duplicate keys and trailing bytes cannot
hide anything. Nothing read here is ever hashed as part of the protocol (C-1).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import msgpack

from protocol.errors import MalformedError

MAX_BYTES: Final = 64 << 20
"""Of a message, unless a caller knows better."""

MAX_ITEMS: Final = 1 << 20
"""Of one array or map: an announced length costs memory before its items have come."""

MAX_DEPTH: Final = 16
"""Of maps and arrays in one another."""

_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
"""A string, whose brackets do not count, or a bracket of JSON."""

_PLAIN: Final = (bool, int, float, str, bytes)


def pack(value: Any) -> bytes:
    """Return the only encoding of a value: maps with str keys, arrays, str, bytes, int, float, bool, None.

    Raises:
        MalformedError: a part of it is none of these, an integer does not fit 64 bits, or it is too deep.
    """
    try:
        return bytes(
            msgpack.packb(_checked(value, MAX_DEPTH, nan=True), use_bin_type=True, strict_types=True)
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedError(f"a value cannot be written as msgpack: {error}") from error


def unpack(data: bytes, *, what: str, limit: int = MAX_BYTES, nan: bool = False) -> Any:
    """Return the value that `pack` wrote.

    Args:
        what: names the data in errors.
        limit: most bytes.
        nan: whether a number may be NaN or infinite.

    Raises:
        MalformedError: it is not the encoding of a value, and why.
    """
    if len(data) > limit:
        _refuse(what, f"it has {len(data):,} bytes, more than {limit:,}")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_no_duplicates,
            ext_hook=_no_extension,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )
        again = msgpack.packb(_checked(value, MAX_DEPTH, nan=nan), use_bin_type=True, strict_types=True)
    except MalformedError as error:
        _refuse(what, str(error))
    except (
        ValueError,
        TypeError,
        OverflowError,
        msgpack.UnpackException,
        RecursionError,
        MemoryError,
    ) as error:
        _refuse(what, f"it is not msgpack ({type(error).__name__}: {error})")
    if again != data:
        _refuse(what, "it is msgpack, but not in the one form that gavel writes")
    return value


def read_json(data: bytes, *, what: str, limit: int = MAX_BYTES) -> Any:
    """Return the value of a JSON text in UTF-8, without duplicate keys, NaN or infinities.

    Args:
        what: names the text in errors.
        limit: most bytes.

    Raises:
        MalformedError: it is not that, and why.
    """
    if len(data) > limit:
        _refuse(what, f"it has {len(data):,} bytes, more than {limit:,}")
    try:
        _check_depth(data)
        return json.loads(
            data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_number, parse_float=_finite
        )
    except MalformedError as error:
        _refuse(what, str(error))
    except (ValueError, RecursionError) as error:
        _refuse(what, f"it is not JSON ({error})")


def _check_depth(data: bytes) -> None:
    """Refuse a text whose nesting would overflow the stack: some packages lift Python's own limit."""
    depth = 0
    for token in _BRACKET.finditer(data):
        mark = token[0][:1]
        depth += (mark in b"[{") - (mark in b"]}")
        if depth > MAX_DEPTH:
            raise MalformedError(f"it is nested more than {MAX_DEPTH} deep")


def _checked(value: Any, depth: int, *, nan: bool) -> Any:
    """The value with the keys of its maps in order."""
    if isinstance(value, dict | list):
        if depth == 0:
            raise MalformedError(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(value, list):
            return [_checked(item, depth - 1, nan=nan) for item in value]
        if not all(isinstance(key, str) for key in value):
            raise MalformedError("a key of a map is not a string")
        return {key: _checked(value[key], depth - 1, nan=nan) for key in sorted(value)}
    if isinstance(value, float) and not nan and not math.isfinite(value):
        raise MalformedError(f"a number is {value}")
    if value is not None and type(value) not in _PLAIN:
        raise MalformedError(f"it holds a {type(value).__name__}, an extension type")
    return value


def _no_duplicates(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, value in pairs:
        if key in result:
            raise MalformedError(f"the key {key!r} is there twice")
        result[key] = value
    return result


def _no_extension(code: int, _data: bytes) -> NoReturn:
    raise MalformedError(f"it holds an extension type ({code})")


def _no_number(text: str) -> NoReturn:
    raise MalformedError(f"a number is {text}")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        _no_number(text)
    return number


def _refuse(what: str, why: str) -> NoReturn:
    raise MalformedError(f"{what} cannot be read: {why}; get it again, or from somewhere else")
