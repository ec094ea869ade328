"""Calls gone wrong: right ones with one argument changed, others made up, and calldata that is none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from tests.support.evm import FastEvm, Handle, abi_types

BOUNDS: Final = {
    ("post", "states"): 63,
    ("open", "first_path"): 6,
    ("open", "last_path"): 6,
    ("select", "path"): 8,
    ("select_step", "path"): 8,
    ("commit", "children"): 256,
    ("reveal", "children"): 256,
    ("commit", "accumulator"): 97,
    ("finish", "total"): 97,
    ("reveal_page", "page"): 256,
    ("select_word", "page"): 256,
    ("answer", "page"): 256,
    ("answer", "page_path"): 26,
    ("select_word", "opening"): 2048,
    ("fold_shape", "opening"): 2048,
    ("prove", "witness"): 98_304,
}
"""What a list or a byte string has at most; others have 32."""

NUMBERS: Final = (0, 1, 7, 64, 255, 2**32 - 1, 2**32, 2**64, 2**128, 2**255, 2**256 - 1)
NOBODY: Final = FastEvm.account(99)
PRECOMPILE: Final = "0x" + "02".rjust(40, "0")
ZERO_ADDRESS: Final = "0x" + "00" * 20


class Hostile:
    """Makes wrong calls out of right ones.

    Attributes:
        known: 32-byte values that mean something: ids and hashes of the calls seen so far.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.known: list[bytes] = [bytes(32)]

    def inputs(self, handle: Handle, function: str) -> list[dict[str, Any]]:
        """The ABI of a function's arguments."""
        entries = [e for e in handle.artifact.abi if e["type"] == "function" and e["name"] == function]
        return list(entries[0]["inputs"])

    def meet(self, value: Any) -> None:
        """Remember the ids in an argument or a result."""
        if isinstance(value, bytes) and len(value) == 32 and value not in self.known:
            self.known.append(value)
        elif isinstance(value, list | tuple):
            for item in value:
                self.meet(item)

    def variants(self, handle: Handle, function: str, args: list[Any]) -> Iterator[list[Any]]:
        """The same call with one argument changed, in every way that there is."""
        for place, (entry, value) in enumerate(zip(self.inputs(handle, function), args, strict=True)):
            bound = BOUNDS.get((function, entry["name"]), 32)
            for other in self._others(entry, value, bound):
                yield [*args[:place], other, *args[place + 1 :]]

    def strangers(self, handle: Handle, function: str) -> list[Any]:
        """Arguments of no call in particular."""
        return [
            self._any(entry, BOUNDS.get((function, entry["name"]), 32))
            for entry in self.inputs(handle, function)
        ]

    def garbage(self, data: bytes) -> Iterator[bytes]:
        """Calldata that no encoder writes: cut short, offsets and lengths astray, high bits set."""
        body = data[4:]
        yield data[:4]
        yield data[: self.random.randrange(len(data))]
        yield data[:-1]
        yield data[:4] + self.random.randbytes(len(body))
        for place in range(0, min(len(body), 320), 32):
            for wrong in (2**256 - 1, 2**255, 2**64, len(body), len(body) + 1):
                yield data[: 4 + place] + wrong.to_bytes(32) + data[36 + place :]

    def _others(self, entry: dict[str, Any], value: Any, bound: int) -> Iterator[Any]:
        kind = entry["type"]
        if kind == "tuple":
            for place, (part, held) in enumerate(zip(entry["components"], value, strict=True)):
                for other in self._others(part, held, bound):
                    yield (*value[:place], other, *value[place + 1 :])
        elif kind == "bool":
            yield not value
        elif kind == "address":
            yield from (ZERO_ADDRESS, NOBODY, PRECOMPILE)
        elif kind == "uint256":
            yield from (n for n in (*NUMBERS, value + 1, max(value - 1, 0)) if n != value and n < 2**256)
        elif kind == "bytes32":
            yield from (bytes(32), self.random.randbytes(32), self.random.choice(self.known))
        elif kind == "bytes32[]":
            yield from self._lists(list(value), bound)
        elif kind == "bytes":
            yield from self._strings(value, bound)
        else:
            raise AssertionError(f"arguments of type {kind} are not known here")

    def _lists(self, value: list[bytes], bound: int) -> Iterator[list[bytes]]:
        yield []
        yield value[:-1]
        yield [self.random.randbytes(32)] * bound
        if len(value) < bound:
            yield [*value, bytes(32)]
        if value:
            place = self.random.randrange(len(value))
            yield [*value[:place], self.random.randbytes(32), *value[place + 1 :]]

    def _strings(self, value: bytes, bound: int) -> Iterator[bytes]:
        yield b""
        yield value[:-1]
        yield value[: len(value) // 2]
        yield self.random.randbytes(bound)
        if len(value) < bound:
            yield value + b"\0"
        for _ in range(4 if value else 0):
            place = self.random.randrange(len(value))
            yield value[:place] + bytes([value[place] ^ 1 << self.random.randrange(8)]) + value[place + 1 :]

    def _any(self, entry: dict[str, Any], bound: int) -> Any:
        kind = entry["type"]
        pick = self.random.choice
        if kind == "tuple":
            return tuple(self._any(part, bound) for part in entry["components"])
        if kind == "bool":
            return pick([False, True])
        if kind == "address":
            return pick([ZERO_ADDRESS, NOBODY, PRECOMPILE, FastEvm.account(0)])
        if kind == "uint256":
            return pick(NUMBERS)
        if kind == "bytes32":
            return pick([self.random.randbytes(32), pick(self.known)])
        count = pick([0, 1, 2, bound])
        if kind == "bytes32[]":
            return [self._any({"type": "bytes32"}, bound) for _ in range(count)]
        return self.random.randbytes(count)


def functions(handle: Handle) -> list[str]:
    """Names of a contract's external functions, views included."""
    return [entry["name"] for entry in handle.artifact.abi if entry["type"] == "function"]


def decoded(handle: Handle, data: bytes) -> tuple[str, list[Any]]:
    """The function that calldata calls, and its arguments."""
    from eth_abi.abi import decode

    signatures = {bytes.fromhex(s[2:]): name for name, s in handle.artifact.method_identifiers.items()}
    name = signatures[data[:4]].split("(")[0]
    entry = next(e for e in handle.artifact.abi if e["type"] == "function" and e["name"] == name)
    return name, list(decode(abi_types(entry["inputs"]), data[4:]))
