"""What an account may begin, by limits that its operator sets (actors.md, A-30)."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from challenger.ledger import Exposure, exposure
from protocol.amounts import amount
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.game.demand_moves import Demand
from protocol.game.ids import Kind, dispute_id
from protocol.game.moves import Commit, Move, Open, Reserve

DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one account; None where there is none.

    Attributes:
        exposure: tokens locked at the same time, in bonds and fees; loss: in bonds lost. Smallest unit.
        gas: coins for gas in any 24 hours of this process, in wei.
    """

    exposure: int | None = None
    loss: int | None = None
    gas: int | None = None


class Purse:
    """Holds back what an account would begin beyond its limits, and nothing else."""

    def __init__(self, limits: Limits, contracts: Contracts, account: bytes) -> None:
        """Args: contracts: bound to the client whose transactions are counted; account: 20 bytes."""
        self._limits, self._contracts, self._account = limits, contracts, account
        self._counted, self._spent = 0, deque[tuple[float, int]]()

    def held(self, view: ChainView, move: Move, locks: int) -> str | None:
        """Return why a move is held back and what to do about it; None if it is not.

        Args:
            locks: tokens that it would lock, in the smallest unit.

        Raises:
            ChainError: the node failed.
        """
        spent, limits = self.spent(), self._limits
        if not locks or limits == Limits() or not begins(view, move, self._account):
            return None
        now = exposure(view, self._account)
        if limits.exposure is not None and (locked := self._locked(now)) + locks > limits.exposure:
            return (
                f"{amount(locked)} tokens are locked, and {amount(locks)} more would pass the limit of "
                f"{amount(limits.exposure)} (--max-exposure): raise it, or wait for bonds to come back"
            )
        if limits.loss is not None and now.forfeited >= limits.loss:
            return (
                f"{amount(now.forfeited)} tokens are lost, and the limit is {amount(limits.loss)} "
                "(--max-loss): find out why before you raise it"
            )
        if limits.gas is not None and spent >= limits.gas:
            return (
                f"{spent:,} wei were spent on gas in the last 24 hours, and the limit is {limits.gas:,} "
                "(--max-gas): raise it, or wait"
            )
        return None

    def _locked(self, seen: Exposure) -> int:
        """What is locked now, if that was seen at the view's block.

        What was sent later (in this step, or within the confirmations, A-10) is missing in balance and
        credit; a withdrawal leaves their sum as it is.
        """
        contracts = self._contracts
        has = contracts.token.view("balanceOf", self._account) + contracts.board.view("credit", self._account)
        return seen.locked + max(seen.balance + seen.credit - int(has), 0)

    def spent(self) -> int:
        """Wei that this process has paid for gas in the last 24 hours."""
        now = time.monotonic()
        for sent in self._contracts.client.sent[self._counted :]:
            self._spent.append((now, sent.gas * sent.price))
        self._counted = len(self._contracts.client.sent)
        while self._spent and now - self._spent[0][0] > DAY:
            self._spent.popleft()
        return sum(cost for _, cost in self._spent)


def begins(view: ChainView, move: Move, account: bytes) -> bool:
    """Whether a move begins something, so that an account that makes it not loses nothing (A-30).

    Raises:
        UsageError: a commitment at a position that was not demanded.
        ChainError: the node failed.
    """
    match move:
        case Reserve() | Demand():
            return True
        case Open():
            digest = dispute_id(update=move.update, segment=move.segment, challenger=account, salt=move.salt)
            return all(known.digest != digest for known in view.reservations(account))
        case Commit():
            return not _protects(view, move.position, account)
        case _:
            return False


def _protects(view: ChainView, position: bytes, account: bytes) -> bool:
    """Whether a bond of this account stands or falls with a position: of its update, or of a candidate."""
    here = view.position(position)
    if view.update(here.update).trainer == account:
        return True
    while here.kind != Kind.STEPS:
        above = view.candidate(here.parent)
        if above.poster == account:
            return True
        here = view.position(above.position)
    return False
