"""A challenger that replays nothing and copies what another one sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from protocol.chain.agent import Agent
from protocol.chain.moves import ensure_allowance
from protocol.game.moves import CancelReservation, Close, Move, Open, Reserve
from protocol.game.view import DisputeStatus, UpdateStatus


class Copycat(Agent):
    """Reserves the digest that another one has reserved, which is worth nothing, and sends the other's
    opening as it is, which opens a dispute of its own over the same segment (D-1, D-2). It can make no move
    in it.
    """

    def __init__(self, *, seen: Callable[[], Sequence[Move]], **agent: Any) -> None:
        """Bind as `Agent` does.

        Args:
            seen: the other one's moves so far, as everybody sees them.
            agent: arguments of `Agent`.
        """
        super().__init__(**agent)
        self._seen = seen

    def step(self) -> list[Move]:
        """Copy what there is to copy, and take back what can be taken back."""
        self.view.refresh()
        return [move for move in (*self._copies(), *self._returns()) if self.send(move)]

    def prepare(self, move: Move) -> None:
        """Approve the challenge bond that a reservation or an opening locks."""
        if isinstance(move, Reserve | Open):
            ensure_allowance(self._contracts, self._folder.job.money.challenge_bond)

    def _copies(self) -> list[Move]:
        me, seen = self._contracts.account, self._seen()
        mine = {reservation.digest for reservation in self.view.reservations(me)}
        opening = next((move for move in seen if isinstance(move, Open)), None)
        if opening is None:
            return [move for move in seen if isinstance(move, Reserve) and move.digest not in mine]
        return [] if self.view.disputes(challenger=me) else [opening]

    def _returns(self) -> list[Move]:
        me, clocks = self._contracts.account, self._folder.job.clocks
        moves: list[Move] = [
            CancelReservation(digest=reservation.digest)
            for reservation in self.view.reservations(me)
            if not reservation.opened and self.view.now() > reservation.time + clocks.opening
        ]
        for dispute in self.view.disputes(challenger=me):
            status = self.view.update(dispute.update).status
            if dispute.status == DisputeStatus.OPEN and status in (UpdateStatus.FALLEN, UpdateStatus.VOID):
                moves.append(Close(dispute=dispute.dispute))
        return moves
