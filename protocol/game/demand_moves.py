"""What a party can send about pages (availability.md), as `protocol.game.moves` for the rest.

A move's fields are the arguments of the contract's function, in order: `Demand`, `Answer`, `Expire` and
`CloseDemand`.
"""

from __future__ import annotations

from dataclasses import dataclass

Hashes = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Ask for one page of an update's last state (Y-2).

    Attributes:
        slot, page: of the state, of the slot's tensor.
    """

    update: bytes
    slot: int
    page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Show the page that a demand asks for (Y-4).

    Attributes:
        page: 256 bytes, or none for a page that the tensor does not have (C-5).
        page_path, slot_path: siblings up to the tensor root and from there up to the state root.
    """

    demand: bytes
    page: bytes
    page_path: Hashes
    slot_path: Hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """Fell the update of a demand that nobody answered in time (Y-5)."""

    demand: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseDemand:
    """Give the fee back of a demand whose update is not live (Y-6)."""

    demand: bytes


DemandMove = Demand | Answer | Expire | CloseDemand
