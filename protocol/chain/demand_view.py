"""Demands for pages, read from a node, as `protocol.game.demands` takes them.

Ids come from logs, records from views at one block (A-6), as in `protocol.chain.court_view`.
"""

from __future__ import annotations

from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.events import LogCursor
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
    """The demands against updates, as of a view's last refresh."""

    def __init__(self, contracts: Contracts, view: ChainView) -> None:
        """Start at the block of the deployment; the first `refresh` reads all logs since.

        Args:
            view: whose block is looked at.
        """
        self._contracts, self._view = contracts, view
        self._cursor = LogCursor(
            contracts.client, [contracts.availability], first_block=contracts.deployment.block
        )
        self._made: dict[bytes, dict[bytes, tuple[bytes, int, int]]] = {}
        self._block = -1

    def refresh(self) -> None:
        """Read what was logged up to the view's block. Raises ChainError if the node fails."""
        if self._view.block == self._block:
            return
        for event in self._cursor.advance(self._view.block):
            args = event.args
            if event.name == "PageDemanded":
                made = self._made.setdefault(args["update"], {})
                made[args["demand"]] = (args["asker"], int(args["slot"]), int(args["page"]))
        self._block = self._view.block

    def open(self, update: bytes) -> list[DemandInfo]:
        """Return the open demands of an update, what is due first before the others.

        Raises:
            ChainError: the node failed.
        """
        if update not in self._made:
            return []
        contracts, block = self._contracts, self._view.block
        listed = contracts.availability.view("open_demands", update, block=block)
        found = [read_demand(contracts, demand, block=block) for demand in listed]
        return sorted(found, key=lambda known: (known.due, known.demand))

    def asked(self, update: bytes, asker: bytes) -> set[tuple[int, int]]:
        """Return slot and page of what an account, 20 bytes, has ever demanded of an update."""
        return {(slot, page) for who, slot, page in self._made.get(update, {}).values() if who == asker}
