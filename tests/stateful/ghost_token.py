"""What the ghost knows of the bond token: an ERC-20 that moves exactly what it says (money.md, M-10)."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tests.stateful.ghost_base import NOBODY, Conditions, Logged

UNLIMITED: Final = 2**256 - 1
"""An allowance of all ones is not used up."""


class GhostToken:
    """Balances and allowances in the smallest unit."""

    def __init__(self, minter: str, log: list[Logged]) -> None:
        """An empty token; `minter` alone may mint; events go to `log`."""
        self.minter, self.log = minter, log
        self.balance: defaultdict[str, int] = defaultdict(int)
        self.allowed: defaultdict[tuple[str, str], int] = defaultdict(int)

    @property
    def supply(self) -> int:
        """All tokens there are."""
        return sum(self.balance.values())

    def _moved(self, owner: str, to: str, amount: int) -> None:
        if owner != NOBODY:
            self.balance[owner] -= amount
        if to != NOBODY:
            self.balance[to] += amount
        self.log.append(Logged("token", "Transfer", {"sender": owner, "receiver": to, "value": amount}))

    def _approved(self, owner: str, spender: str, amount: int) -> None:
        self.allowed[owner, spender] = amount
        args = {"owner": owner, "spender": spender, "value": amount}
        self.log.append(Logged("token", "Approval", args))

    def short(self, if_: Conditions, owner: str, spender: str, amount: int) -> None:
        """Note what keeps `spender` from taking `amount` of the owner's tokens."""
        if_(self.allowed[owner, spender] < amount, "erc20: insufficient allowance")
        if_(self.balance[owner] < amount, "erc20: transfer amount exceeds balance")

    def take(self, owner: str, spender: str, to: str, amount: int) -> None:
        """What transferFrom does, once nothing forbids it."""
        if self.allowed[owner, spender] != UNLIMITED:
            self._approved(owner, spender, self.allowed[owner, spender] - amount)
        self._moved(owner, to, amount)

    def give(self, owner: str, to: str, amount: int) -> None:
        """What transfer does, once nothing forbids it."""
        self._moved(owner, to, amount)

    # ---------------------------------------------------------------- functions

    def transfer(self, sender: str, to: str, amount: int) -> bool:
        """Send tokens."""
        if_ = Conditions()
        if_(to == NOBODY, "erc20: transfer to the zero address")
        if_(self.balance[sender] < amount, "erc20: transfer amount exceeds balance")
        if_.refuse()
        self._moved(sender, to, amount)
        return True

    def transfer_from(self, sender: str, owner: str, to: str, amount: int) -> bool:
        """Send an owner's tokens."""
        if_ = Conditions()
        if_(to == NOBODY, "erc20: transfer to the zero address")
        if_(owner == NOBODY, "erc20: transfer from the zero address")
        if_(owner == NOBODY, "erc20: approve from the zero address")
        self.short(if_, owner, sender, amount)
        if_.refuse()
        self.take(owner, sender, to, amount)
        return True

    def approve(self, sender: str, spender: str, amount: int) -> bool:
        """Let another account take tokens."""
        if_ = Conditions()
        if_(spender == NOBODY, "erc20: approve to the zero address")
        if_.refuse()
        self._approved(sender, spender, amount)
        return True

    def mint(self, sender: str, owner: str, amount: int) -> None:
        """Make tokens."""
        if_ = Conditions()
        if_(sender != self.minter, "erc20: access is denied")
        if_(owner == NOBODY, "erc20: mint to the zero address")
        if_.refuse()
        self._moved(NOBODY, owner, amount)

    def burn(self, sender: str, amount: int) -> None:
        """Destroy tokens of one's own."""
        if_ = Conditions()
        if_(self.balance[sender] < amount, "erc20: burn amount exceeds balance")
        if_.refuse()
        self._moved(sender, NOBODY, amount)
