"""Demands for pages, read from a node, as `protocol.game.demands` takes them.

Ids come from logs, records from views at one block (A-6), as in `protocol.chain.court_view`.
"""

from __future__ import annotations

from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.errors import UsageError
from protocol.game.demands import DemandInfo


def read_demand(contracts: Contracts, demand: bytes, *, block: int | None = None) -> DemandInfo:
    """Return an open demand.

    Args:
        block: number of the block at whose end to look; the latest unless given.

    Raises:
        UsageError: it is over, or was never made.
        ChainError: the node failed.
    """
    known = contracts.availability.view("demand_info", demand, block=block)
    if not any(known["update"]):
        raise UsageError(f"the demand {demand.hex()} is over, or was never made; read the open ones again")
    names = ("update", "asker", "slot", "page", "due", "fee")
    return DemandInfo(demand=demand, **{name: known[name] for name in names})


class DemandView:
    """The demands against updates, as of a view's last refresh; `ChainView` itself tells the same."""

    def __init__(self, contracts: Contracts, view: ChainView) -> None:
        """Args: view: whose block is looked at."""
        del contracts
        self._view = view

    def refresh(self) -> None:
        """Nothing to do: the view reads the logs of demands too."""

    def open(self, update: bytes) -> list[DemandInfo]:
        """Return the open demands of an update, what is due first before the others.

        Raises:
            ChainError: the node failed.
        """
        return list(self._view.open_demands(update))
