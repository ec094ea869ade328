"""Demands for pages as a party sees them, and how the holder of a state answers them (availability.md).

Pure: no chain, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import page_bytes, page_count, tensor_tree
from protocol.commitments.tree import Tree
from protocol.errors import MismatchError
from protocol.game.demand_moves import Answer, CloseDemand, DemandMove, Expire
from protocol.job import Geometry

MAX_OPEN: Final = 128
"""Demands that can be open on one update (Y-2)."""

OPEN_PER_DOUBLING: Final = 16
"""Open demands after which the fee doubles (Y-3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandInfo:
    """A demand that is open.

    Attributes:
        demand: id; update: id; asker: 20 bytes.
        slot, page: what is asked for.
        due: last second of an answer in time; fee: tokens that the asker paid.
    """

    demand: bytes
    update: bytes
    asker: bytes
    slot: int
    page: int
    due: int
    fee: int


def fee_of(demand_fee: int, open_demands: int) -> int:
    """Return what one more demand costs, in tokens, where so many are open (Y-3)."""
    return demand_fee << open_demands // OPEN_PER_DOUBLING


class PageOpener:
    """The trees over one state: opens any page of it.

    Trees of slots are made when one of their pages is opened first, and kept.
    """

    def __init__(self, state: Sequence[Words], geometry: Geometry, root: bytes) -> None:
        """Hash the state.

        Args:
            state: slots, each flat uint32; geometry: of the job; root: state root that it has to have.

        Raises:
            MismatchError: it is another state.
            MalformedError: it does not fit the geometry.
        """
        self._state, self._height = state, geometry.tensor_height
        self._trees: dict[int, Tree] = {}
        roots = [tensor_tree(words, self._height).root for words in state]
        self._slots = Tree(roots, geometry.state_height)
        if self._slots.root != root:
            raise MismatchError(
                f"the state hashes to {self._slots.root.hex()}, not to {root.hex()}, whose pages are "
                "asked for; take the state that the update ends with"
            )

    def answer(self, demand: DemandInfo) -> Answer:
        """Return the answer to a demand for a page of this state (Y-4)."""
        words = self._state[demand.slot]
        if demand.slot not in self._trees:
            self._trees[demand.slot] = tensor_tree(words, self._height)
        shown = page_bytes(words, demand.page) if demand.page < page_count(len(words)) else b""
        return Answer(
            demand=demand.demand,
            page=shown,
            page_path=tuple(self._trees[demand.slot].path(demand.page)),
            slot_path=tuple(self._slots.path(demand.slot)),
        )


def ended(
    open_demands: Iterable[DemandInfo], *, live: bool, now: int, disputed: bool = False
) -> list[DemandMove]:
    """Return how anybody may end demands that are late, or whose update is gone (Y-5, Y-6).

    Args:
        live: whether the update is; disputed: whether a dispute is open on it, which decides first.
    """
    if not live:
        return [CloseDemand(demand=known.demand) for known in open_demands]
    if disputed:
        return []
    # one that is late takes the update along, and with it all others
    late = sorted((known for known in open_demands if now > known.due), key=lambda known: known.due)
    return [Expire(demand=known.demand) for known in late[:1]]
