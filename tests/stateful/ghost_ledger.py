"""What the ghost knows of money on the board: credits, and how lost bonds are split (money.md)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.stateful.ghost_base import BURN, NOBODY, Conditions, Logged
from tests.stateful.ghost_terms import GhostTerms
from tests.stateful.ghost_token import GhostToken


class Ledger:
    """Tokens in, credits, tokens out (U-10); bonds are known by those who hold them."""

    def __init__(self, token: GhostToken, address: str, log: list[Logged]) -> None:
        """The ledger of the board at an address."""
        self.token, self.address, self.log = token, address, log
        self.credit: defaultdict[str, int] = defaultdict(int)

    def say(self, name: str, **args: Any) -> None:
        """Log an event of the board."""
        self.log.append(Logged("board", name, args))

    def short(self, if_: Conditions, payer: str, amount: int) -> None:
        """Note what keeps a payer from paying."""
        self.token.short(if_, payer, self.address, amount)

    def take(self, payer: str, amount: int) -> None:
        """Tokens to the board (U-10)."""
        self.token.take(payer, self.address, self.address, amount)

    def owe(self, payee: str, amount: int) -> None:
        """Credit an account."""
        self.credit[payee] += amount

    def withdraw(self, sender: str) -> None:
        """Pay the sender's credit (U-10)."""
        self._pay(sender)

    def withdraw_burned(self, _sender: str) -> None:
        """Move what was burned (M-7)."""
        self._pay(BURN)

    def _pay(self, payee: str) -> None:
        if_ = Conditions()
        if_(self.credit[payee] == 0, "board: nothing to withdraw")
        if_.refuse()
        amount, self.credit[payee] = self.credit[payee], 0
        self.token.give(self.address, payee, amount)
        self.say("Withdrawn", payee=payee, amount=amount)

    # ---------------------------------------------------------------- lost bonds

    def split(
        self, terms: GhostTerms, bond: int, *, resolver: str | None, tip: int, winner: str, prize: int
    ) -> tuple[int, int, int]:
        """Burn, tip, pay the winner; what is left is the caller's to give away.

        Returns:
            burned, to the winner, left.
        """
        burned = terms.burned(bond)
        left = bond - burned
        self.owe(BURN, burned)
        if resolver is not None:
            self.owe(resolver, tip)
            left -= tip
        self.owe(winner, prize)
        return burned, prize, left - prize

    def lose_lease(self, terms: GhostTerms, resolver: str | None) -> None:
        """M-6."""
        split = self.split(
            terms, terms.lease_deposit, resolver=resolver, tip=terms.tip, winner=NOBODY, prize=0
        )
        self.owe(terms.requester, split[2])

    def lose_challenge(self, terms: GhostTerms, resolver: str | None, winner: str) -> None:
        """M-4."""
        prize, bond = terms.gas_refund + terms.bounty, terms.challenge_bond
        burned, paid, left = self.split(
            terms, bond, resolver=resolver, tip=terms.tip, winner=winner, prize=prize
        )
        self.owe(terms.requester, left)
        self.say("BondLost", job=terms.job, winner=winner, amount=bond, burned=burned, to_winner=paid)

    def lose_defence(self, terms: GhostTerms, winner: str, feller: str) -> None:
        """M-5."""
        bond, share = terms.defence_bond, terms.gas_refund
        burned, paid, left = self.split(terms, bond, resolver=None, tip=0, winner=winner, prize=share)
        other = min(share, left) if feller != winner else 0
        self.owe(feller, other)
        self.owe(terms.requester, left - other)
        self.say("BondLost", job=terms.job, winner=winner, amount=bond, burned=burned, to_winner=paid)
