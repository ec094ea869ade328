"""Demands for pages, read from a node, as `protocol.game.demands` takes them."""

from __future__ import annotations

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


def read_open_demands(contracts: Contracts, update: bytes, *, block: int | None = None) -> list[DemandInfo]:
    """Return the open demands of an update, the one that is due first before the others.

    Args:
        block: as for `read_demand`.

    Raises:
        ChainError: the node failed.
    """
    listed = contracts.availability.view("open_demands", update, block=block)
    return sorted((read_demand(contracts, d, block=block) for d in listed), key=lambda known: known.due)
