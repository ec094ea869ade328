"""Demands for pages as plain values (availability.md).

Written from the rules, to be compared with contracts_vyper/Availability.vy. Every method checks before it
changes anything, so a refused move leaves no trace.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from protocol.commitments.tree import ZERO, fold_path
from protocol.errors import RefusedError
from protocol.game.demand_moves import Answer, Demand
from protocol.game.demands import MAX_OPEN, DemandInfo, fee_of
from protocol.game.ids import demand_id
from protocol.game.model_board import Board, UpdateRecord
from protocol.game.model_ledger import require
from protocol.job import Job

PAGE_BYTES: Final = 256


class Availability:
    """The demands of a board's updates. ``made`` counts those ever made against an update."""

    def __init__(self, board: Board) -> None:
        """No demands yet."""
        self.board = board
        self.demands: dict[bytes, DemandInfo] = {}
        self.made: dict[bytes, int] = {}

    def terms(self, update: bytes) -> Job:
        """Return the terms of the job that an update belongs to."""
        return self.board.jobs[self.board.updates[update].job].terms

    def _live(self, update: bytes) -> UpdateRecord:
        record = self.board.updates.get(update)
        if record is None or not self.board.is_live(update):
            raise RefusedError("availability: update is not live")
        return record

    def demand(self, sender: bytes, move: Demand) -> bytes:
        """Ask for a page (Y-2); returns the demand's id."""
        record = self._live(move.update)
        terms = self.terms(move.update)
        require(terms.audit.allows(sender), "availability: may not ask")
        # INVARIANT: I-3, demands hold finality back for one answer time at most.
        until = min(record.deadline, terms.audit.demand_until)
        require(self.board.time <= until, "availability: too late to ask")
        require(move.slot < terms.geometry.n_slots, "availability: no such slot")
        require(move.page < 1 << terms.geometry.tensor_height, "availability: no such page")
        # INVARIANT: I-6, no more than an honest trainer can answer.
        require(record.open_demands < MAX_OPEN, "availability: no place left")
        fee = fee_of(terms.audit.demand_fee, record.open_demands)
        self.board.take(sender, fee)
        number = self.made.get(move.update, 0)
        # INVARIANT: I-9, the id says what is asked, by whom.
        demand = demand_id(update=move.update, slot=move.slot, page=move.page, asker=sender, number=number)
        self.made[move.update] = number + 1
        record.open_demands += 1
        self.demands[demand] = DemandInfo(
            demand=demand,
            update=move.update,
            asker=sender,
            slot=move.slot,
            page=move.page,
            due=self.board.time + terms.audit.answer_time,
            fee=fee,
        )
        return demand

    def _known(self, demand: bytes) -> DemandInfo:
        require(demand in self.demands, "availability: no such demand")
        return self.demands[demand]

    def answer(self, sender: bytes, move: Answer) -> None:
        """Show a page (Y-4)."""
        known = self._known(move.demand)
        record = self._live(known.update)
        # INVARIANT: I-7, a page that is not shown in time is not shown.
        require(self.board.time <= known.due, "availability: too late to answer")
        require(len(move.page) in (0, PAGE_BYTES), "availability: a page has 256 bytes")
        geometry = self.terms(known.update).geometry
        lengths = (len(move.page_path), len(move.slot_path))
        require(lengths == (geometry.tensor_height, geometry.state_height), "availability: length of a path")
        leaf = sha256(move.page).digest() if move.page else ZERO
        tensor = fold_path(leaf, known.page, move.page_path)
        # INVARIANT: C-3, this page of this slot and no other.
        shown = fold_path(tensor, known.slot, move.slot_path) == record.states[-1]
        require(shown, "availability: not in the state")
        del self.demands[move.demand]
        self.board.demand_closed(known.update, sender, known.fee, answered=True)

    def expire(self, sender: bytes, demand: bytes) -> None:
        """Fell the update of a demand that nobody answered (Y-5)."""
        known = self._known(demand)
        record = self._live(known.update)
        # INVARIANT: I-6, at its due time an answer is in time.
        require(self.board.time > known.due, "availability: not late")
        # INVARIANT: I-5, no demand takes what a challenger is about to win.
        require(not record.open_disputes, "availability: disputes are open")
        del self.demands[demand]
        self.board.demand_closed(known.update, known.asker, known.fee, answered=False)
        self.board.fell(known.update, sender, known.asker)

    def close(self, demand: bytes) -> None:
        """Give the fee back when the update is not live (Y-6)."""
        known = self._known(demand)
        require(not self.board.is_live(known.update), "availability: update is live")
        del self.demands[demand]
        self.board.demand_closed(known.update, known.asker, known.fee, answered=False)

    def open_demands(self, update: bytes) -> list[bytes]:
        """Ids of the open demands of an update, oldest first."""
        return [demand for demand, known in self.demands.items() if known.update == update]

    def fees(self) -> int:
        """Tokens that the board holds for open demands (I-1)."""
        return sum(known.fee for known in self.demands.values())
