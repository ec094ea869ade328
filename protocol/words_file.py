"""Tensors of words as safetensors, in one form only (stores.md, S-2).

    8 bytes   length of the header, little-endian
    header    {"0":{"dtype":"U32","shape":[n],"data_offsets":[first,end]},"1":...}, filled with spaces to a
              multiple of 8; keys in the order of strings: "0", "1", "10", "2"
    data      in the order of the header: little-endian words

These are the bytes that the safetensors library writes for flat uint32 tensors named by number. Whoever knows
the extents knows the header and the size of the file, so a reader compares and does not parse.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np

from protocol.commitments.canonical import Words
from protocol.errors import MalformedError

_CHUNK: Final = 8 << 20
"""Bytes read or written at once."""


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` next bytes; none at the end."""


def header(extents: Sequence[int]) -> bytes:
    """Return all bytes before the data, for tensors of so many words."""
    entries, start = {}, 0
    for name in _order(len(extents)):
        end = start + 4 * extents[int(name)]
        entries[name] = {"dtype": "U32", "shape": [extents[int(name)]], "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def size_of(extents: Sequence[int]) -> int:
    """Return the bytes of the whole file."""
    return len(header(extents)) + 4 * sum(extents)


def chunks(tensors: Sequence[Words]) -> Iterator[bytes]:
    """Yield the file piece by piece.

    Args:
        tensors: flat uint32 words each.
    """
    yield header([words.size for words in tensors])
    for name in _order(len(tensors)):
        raw = np.ascontiguousarray(tensors[int(name)], dtype="<u4").reshape(-1)
        for start in range(0, raw.size, _CHUNK // 4):
            yield raw[start : start + _CHUNK // 4].tobytes()


def read_words(file: Readable, extents: Sequence[int], *, what: str) -> tuple[Words, ...]:
    """Return the tensors in a file, flat uint32 words each.

    Args:
        extents: words of each tensor, known from the job.
        what: names the file in errors.

    Raises:
        MalformedError: it does not hold exactly these tensors. Nothing large is read before that is known.
    """
    expected = header(extents)
    found = _exactly(file, len(expected))
    if found != expected:
        raise MalformedError(
            f"{what} does not hold the {len(extents)} tensors of {sum(extents):,} words that the job has; "
            "it is damaged or something else: delete it, or get it from somewhere else"
        )
    tensors: dict[str, Words] = {}
    for name in _order(len(extents)):
        raw = _exactly(file, 4 * extents[int(name)])
        if len(raw) != 4 * extents[int(name)]:
            raise MalformedError(
                f"{what} ends within tensor {name}; the download or copy was cut off: get it again"
            )
        tensors[name] = np.frombuffer(raw, dtype="<u4").astype(np.uint32, copy=False)
    if file.read(1):
        raise MalformedError(f"{what} goes on after its last tensor; get it again, or from somewhere else")
    return tuple(tensors[str(i)] for i in range(len(extents)))


def _order(count: int) -> list[str]:
    return sorted(str(i) for i in range(count))


def _exactly(file: Readable, size: int) -> bytearray:
    """So many bytes, or fewer where the file ends."""
    data = bytearray()
    while len(data) < size and (more := file.read(min(size - len(data), _CHUNK))):
        data += more
    return data
