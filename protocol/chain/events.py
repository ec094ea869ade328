"""Logs from a cursor, decoded.

What is read here is only ever used by content: child lists and pages are checked by their hash, updates by
their id. So a log that a reorganisation has removed does no harm, and one that it has moved is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from web3.exceptions import Web3RPCError
from web3.types import LogReceipt

from protocol.chain.client import Client
from protocol.chain.contract import Contract, Event
from protocol.errors import ChainError

REORGANISATION_DEPTH: Final = 16
"""Blocks that every reading goes back over."""

CHUNK: Final = 2_000
"""Blocks asked for at a time; public nodes refuse more. Halved where a node refuses even those."""

Progress = Callable[[int, int], None]
"""Told the last block read and the one to read to, where there are more than a node gives at a time."""


class LogCursor:
    """A place in the chain from which logs of some contracts are read on."""

    def __init__(
        self,
        client: Client,
        contracts: Sequence[Contract],
        *,
        first_block: int,
        progress: Progress = lambda _last, _latest: None,
    ) -> None:
        """Start at a block, usually that of the deployment or of the job."""
        self._client = client
        self._contracts = tuple(contracts)
        self._first_block = first_block
        self._next = first_block
        self._seen: dict[tuple[bytes, int], int] = {}
        self._chunk = CHUNK
        self._progress = progress

    def advance(self, latest: int) -> list[Event]:
        """Return the events since the last call up to a block. Raises ChainError if the node fails."""
        first = max(self._first_block, self._next - REORGANISATION_DEPTH)
        events: list[Event] = []
        while first <= latest:
            last, logs = self._page(first, latest)
            for log in logs:
                place = (bytes(log["transactionHash"]), int(log["logIndex"]))
                block = int(log["blockNumber"])
                if self._seen.get(place) == block:
                    continue
                self._seen[place] = block
                events += [e for contract in self._contracts if (e := contract.decode_log(log)) is not None]
            if last < latest:
                self._progress(last, latest)
            first = last + 1
        self._next = latest + 1
        horizon = self._next - 2 * REORGANISATION_DEPTH
        self._seen = {place: block for place, block in self._seen.items() if block >= horizon}
        return events

    def _page(self, first: int, latest: int) -> tuple[int, list[LogReceipt]]:
        """The logs from a block on, as far as the node gives them at once, and the last block of them."""
        addresses = [contract.address for contract in self._contracts]
        while True:
            last = min(latest, first + self._chunk - 1)
            try:
                return last, self._client.logs(addresses, [], first, last)
            except ChainError as error:
                # A node that answers, but not this: too many blocks, or too many logs in them.
                if last == first or not isinstance(error.__cause__, Web3RPCError):
                    raise
                self._chunk = (last - first + 1) // 2
