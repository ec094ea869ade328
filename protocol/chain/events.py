"""Logs from a cursor, decoded.

What is read here is only ever used by content: child lists and pages are checked by their hash, updates by
their id. So a log that a reorganisation has removed does no harm, and one that it has moved is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protocol.chain.client import Client
from protocol.chain.contract import Contract, Event

REORGANISATION_DEPTH: Final = 16
"""Blocks that every reading goes back over."""

CHUNK: Final = 2_000
"""Blocks asked for at a time; public nodes refuse more."""


class LogCursor:
    """A place in the chain from which logs of some contracts are read on."""

    def __init__(self, client: Client, contracts: Sequence[Contract], *, first_block: int) -> None:
        """Start at a block, usually that of the deployment or of the job."""
        self._client = client
        self._contracts = tuple(contracts)
        self._first_block = first_block
        self._next = first_block
        self._seen: dict[tuple[bytes, int], int] = {}

    def advance(self, latest: int) -> list[Event]:
        """Return the events since the last call up to a block. Raises ChainError if the node fails."""
        first = max(self._first_block, self._next - REORGANISATION_DEPTH)
        events: list[Event] = []
        for start in range(first, latest + 1, CHUNK):
            addresses = [contract.address for contract in self._contracts]
            for log in self._client.logs(addresses, [], start, min(latest, start + CHUNK - 1)):
                place = (bytes(log["transactionHash"]), int(log["logIndex"]))
                block = int(log["blockNumber"])
                if self._seen.get(place) == block:
                    continue
                self._seen[place] = block
                events += [e for contract in self._contracts if (e := contract.decode_log(log)) is not None]
        self._next = latest + 1
        horizon = self._next - 2 * REORGANISATION_DEPTH
        self._seen = {place: block for place, block in self._seen.items() if block >= horizon}
        return events
