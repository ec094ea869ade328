"""What a transaction offers for its gas, and how that is raised while it is not mined (actors.md, A-22)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.errors import AccountError

GWEI: Final = 10**9
PRIORITY: Final = GWEI
"""Wei per gas that a block's proposer is offered at first."""

_RAISE: Final = (5, 4)
"""By a quarter: nodes ask for a tenth or an eighth more before they let one transaction replace another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """An offer in the terms of EIP-1559.

    Attributes:
        most: wei per gas that the transaction pays at most.
        priority: wei per gas of it for the proposer.
    """

    most: int
    priority: int

    def __str__(self) -> str:
        return f"{self.most / GWEI:.4g} gwei"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How patient and how generous an account is.

    Attributes:
        max_fee: wei per gas that no transaction goes beyond.
        pending: seconds after which a transaction that is not mined is replaced by one that offers more.
        give_up: seconds after which something else may take its number.
        poll: seconds between the first looks whether it is mined; later ones are further apart.
    """

    max_fee: int = 500 * GWEI
    pending: float = 30.0
    give_up: float = 180.0
    poll: float = 0.05

    def offered(self, base_fee: int) -> int:
        """Return what a transaction offers at most at first, wei per gas: room for the base fee to double."""
        return min(2 * base_fee + PRIORITY, self.max_fee)

    def first(self, base_fee: int) -> Fee:
        """Return the first offer at a base fee, in wei per gas.

        Raises:
            AccountError: the limit is below the base fee, so nothing would be mined.
        """
        if base_fee >= self.max_fee:
            raise AccountError(
                f"the chain asks {base_fee / GWEI:.4g} gwei per gas, and --max-fee is "
                f"{self.max_fee / GWEI:.4g}: nothing can be sent until gas is cheaper or the limit higher"
            )
        return Fee(most=self.offered(base_fee), priority=min(PRIORITY, self.max_fee - base_fee))

    def raised(self, fee: Fee, base_fee: int) -> Fee | None:
        """Return a higher offer that may take the place of one; None where the limit forbids it."""
        least, priority = _more(fee.most), _more(fee.priority)
        if max(least, base_fee + 1) > self.max_fee:
            return None
        return Fee(most=min(max(least, 2 * base_fee + priority), self.max_fee), priority=priority)


def _more(amount: int) -> int:
    return -(-amount * _RAISE[0] // _RAISE[1])
