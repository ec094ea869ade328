"""What the ghost knows of demands for pages (availability.md)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from tests.stateful.ghost_base import (
    BURN,
    ZERO,
    Conditions,
    Logged,
    Refused,
    climb,
    digest,
    height,
    leads,
    sha,
)
from tests.stateful.ghost_board import GhostBoard
from tests.stateful.ghost_terms import ANYBODY

MOST_OPEN: Final = 128


@dataclass(frozen=True, slots=True)
class Demand:
    """Y-2, while it is open."""

    update: bytes
    slot: int
    page: int
    asker: str
    due: int
    fee: int


class GhostAvailability:
    """Open demands; the fees lie on the board."""

    def __init__(self, board: GhostBoard, address: str, log: list[Logged]) -> None:
        """The availability contract of a board."""
        self.board, self.address, self.log = board, address, log
        self.demands: dict[bytes, Demand] = {}
        self.made: Counter[bytes] = Counter()

    def say(self, name: str, **args: Any) -> None:
        """Log an event."""
        self.log.append(Logged("availability", name, args))

    def _known(self, demand: bytes) -> Demand:
        known = self.demands.get(demand)
        if known is None:
            raise Refused("availability: no such demand")
        return known

    def _end(self, demand: bytes) -> Demand:
        known = self.demands.pop(demand)
        self.board.updates[known.update].open_demands -= 1
        return known

    def demand(self, sender: str, update: bytes, slot: int, page: int) -> bytes:
        """Y-2."""
        known, if_ = self.board.updates.get(update), Conditions()
        if_(not self.board.is_live(update), "availability: update is not live")
        if known is None:
            raise Refused(*if_.reasons)
        terms, now = self.board.terms_of(update), self.board.now
        if_(terms.auditor not in (sender, ANYBODY), "availability: may not ask")
        if_(now > min(known.deadline, terms.demand_until), "availability: too late to ask")
        if_(slot >= terms.n_slots, "availability: no such slot")
        if_(page >= 1 << terms.tensor_height, "availability: no such page")
        if_(known.open_demands >= MOST_OPEN, "availability: no place left")
        fee = terms.demand_fee * 2 ** (known.open_demands // 16)
        self.board.short(if_, sender, fee)
        if_.refuse()
        self.board.take(sender, fee)
        made = digest(update, slot, page, sender, self.made[update])
        self.made[update] += 1
        known.open_demands += 1
        due = now + terms.answer_time
        self.demands[made] = Demand(update, slot, page, sender, due, fee)
        self.say(
            "PageDemanded", demand=made, update=update, asker=sender, slot=slot, page=page, due=due, fee=fee
        )
        return made

    def answer(
        self, sender: str, demand: bytes, page: bytes, page_path: list[bytes], slot_path: list[bytes]
    ) -> None:
        """Y-4."""
        known, if_ = self._known(demand), Conditions()
        terms, state = self.board.terms_of(known.update), self.board.updates[known.update].states[-1]
        if_(not self.board.is_live(known.update), "availability: update is not live")
        if_(self.board.now > known.due, "availability: too late to answer")
        if_(len(page) not in (0, 256), "availability: a page has 256 bytes")
        lengths = terms.tensor_height, height(terms.n_slots)
        if_((len(page_path), len(slot_path)) != lengths, "availability: length of a path")
        root = climb(sha(page) if page else ZERO, known.page, page_path)
        if_(not leads(root, known.slot, slot_path, lengths[1], state), "availability: not in the state")
        if_.refuse()
        self._end(demand)
        burned = terms.burned(known.fee)
        self.board.owe(BURN, burned)
        self.board.owe(sender, known.fee - burned)
        self.say("PageShown", demand=demand, update=known.update, holder=sender, page=page)

    def expire(self, sender: str, demand: bytes) -> None:
        """Y-5."""
        known, if_ = self._known(demand), Conditions()
        if_(not self.board.is_live(known.update), "availability: update is not live")
        if_(self.board.now <= known.due, "availability: not late")
        others = self.board.updates[known.update].open_disputes
        if_(others > 0, "availability: disputes are open")
        if_.refuse()
        self._end(demand)
        self.board.owe(known.asker, known.fee)
        self.say("DemandExpired", demand=demand, update=known.update, resolver=sender)
        self.board.fell(known.update, resolver=sender, winner=known.asker, others=others)

    def close_demand(self, _sender: str, demand: bytes) -> None:
        """Y-6."""
        known = self._known(demand)
        if self.board.is_live(known.update):
            raise Refused("availability: update is live")
        self._end(demand)
        self.board.owe(known.asker, known.fee)
        self.say("DemandClosed", demand=demand, update=known.update)
