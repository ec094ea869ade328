"""What all parts of the ghost share: how it refuses, what it logs, its hashes and trees.

The ghost is a second reading of specs/, made without looking at the contracts or at protocol/game. It says of
every call which conditions of the specification forbid it. A contract tests one condition after the other and
names the first; the order is nowhere specified, so the ghost names all, and the contract has to name one of
them. A call that nothing forbids has to succeed.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

ZERO: Final = bytes(32)
NOBODY: Final = "0x" + "00" * 20
BURN: Final = "0x000000000000000000000000000000000000dead"


class Refused(Exception):  # noqa: N818
    """A call that the specification forbids.

    Attributes:
        reasons: the reasons of errors.md, E-3, of all conditions that forbid it.
    """

    def __init__(self, *reasons: str) -> None:
        super().__init__(", ".join(sorted(reasons)))
        self.reasons = frozenset(reasons)


class Conditions:
    """Collects what forbids a call.

    if_ = Conditions()
    if_(now > due, "board: lease is late")
    if_.refuse()                          # raises Refused if anything held; from here on the call happens
    """

    def __init__(self) -> None:
        self.reasons: set[str] = set()

    def __call__(self, forbidden: bool, *reasons: str) -> bool:
        """Note the reasons if the condition holds; returns whether it does."""
        if forbidden:
            self.reasons.update(reasons)
        return forbidden

    def refuse(self) -> None:
        """Raise Refused if any condition held."""
        if self.reasons:
            raise Refused(*self.reasons)


@dataclass(frozen=True, slots=True)
class Logged:
    """One event: the contract that logs it (board, court, ...), its name, its arguments by name."""

    contract: str
    name: str
    args: dict[str, Any]


# ---------------------------------------------------------------- hashes (commitments.md)


def sha(*parts: bytes) -> bytes:
    """C-1: SHA-256 of the concatenation."""
    return sha256(b"".join(parts)).digest()


def in_word(value: int | bytes | str) -> bytes:
    """A value in 32 bytes: integers and addresses (hexadecimal strings) right-aligned."""
    if isinstance(value, str):
        value = bytes.fromhex(value[2:])
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def digest(*values: int | bytes | str) -> bytes:
    """The hash of 32-byte words: ids of jobs, updates, disputes, positions, candidates."""
    return sha(*(in_word(value) for value in values))


def height(n: int) -> int:
    """C-4: the least h with 2^h >= n."""
    return (n - 1).bit_length()


def root_of(leaves: list[bytes], levels: int) -> bytes:
    """C-3: the root of a tree of so many levels, missing leaves zero."""
    row, empty = list(leaves), ZERO
    for _ in range(levels):
        if len(row) % 2:
            row.append(empty)
        row = [sha(row[i], row[i + 1]) for i in range(0, len(row), 2)]
        empty = sha(empty, empty)
    return row[0] if row else empty


def climb(leaf: bytes, index: int, path: list[bytes] | tuple[bytes, ...]) -> bytes:
    """C-3: where a leaf with its siblings, lowest first, leads."""
    for level, sibling in enumerate(path):
        leaf = sha(sibling, leaf) if index >> level & 1 else sha(leaf, sibling)
    return leaf


def leads(leaf: bytes, index: int, path: list[bytes] | tuple[bytes, ...], levels: int, root: bytes) -> bool:
    """C-3: whether a leaf stands at an index of a tree of so many levels, by exactly so many siblings."""
    return len(path) == levels and index < 1 << levels and climb(leaf, index, path) == root
