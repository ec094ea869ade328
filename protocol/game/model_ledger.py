"""Who is owed what, in one token: the board's ledger as plain values (money.md, M-7, M-10; U-10)."""

from __future__ import annotations

from typing import Final

from protocol.errors import RefusedError
from protocol.job import Job

BURN: Final = bytes.fromhex("000000000000000000000000000000000000dead")
BPS: Final = 10_000


def require(condition: bool, reason: str) -> None:
    """Raise RefusedError with the contract's reason unless the condition holds."""
    if not condition:
        raise RefusedError(reason)


class Ledger:
    """Credits, and the tokens behind them. ``wallets`` holds what parties have outside, all approved."""

    def __init__(self) -> None:
        """Nobody has anything."""
        self.wallets: dict[bytes, int] = {}
        self.credits: dict[bytes, int] = {}
        self.balance = 0

    def credit(self, payee: bytes, amount: int) -> None:
        """Add to what ``withdraw`` pays the payee (U-10)."""
        self.credits[payee] = self.credits.get(payee, 0) + amount

    def require_tokens(self, payer: bytes, amount: int) -> None:
        """Refuse unless the payer holds the amount."""
        require(self.wallets.get(payer, 0) >= amount, "board: token transfer failed")

    def take(self, payer: bytes, amount: int) -> None:
        """Move tokens from a party to the board (U-10)."""
        self.require_tokens(payer, amount)
        self.wallets[payer] -= amount
        self.balance += amount

    def withdraw(self, payee: bytes) -> int:
        """Pay a credit out (U-10, M-7)."""
        amount = self.credits.get(payee, 0)
        require(amount > 0, "board: nothing to withdraw")
        self.credits[payee] = 0
        self.balance -= amount
        self.wallets[payee] = self.wallets.get(payee, 0) + amount
        return amount

    def _burn(self, terms: Job, amount: int) -> int:
        burned = amount * terms.money.burn_bps // BPS
        self.credit(BURN, burned)
        return burned
