"""A development node's control over time and state: our devnet, anvil, and whatever else speaks like them."""

from __future__ import annotations

from typing import Any

from web3.types import RPCEndpoint

from protocol.chain.client import Client
from protocol.errors import ChainError, UnsupportedError


class DevelopmentNode:
    """Sets the next block's time, mines, takes snapshots, goes back to them."""

    def __init__(self, client: Client) -> None:
        """Bind to the node of a client."""
        self._client = client

    def set_next_time(self, timestamp: int) -> None:
        """The next block gets this timestamp, in seconds; it must be later than the latest block's."""
        self._ask("evm_setNextBlockTimestamp", timestamp)

    def mine(self, timestamp: int) -> None:
        """Mine an empty block at a timestamp, in seconds."""
        self.set_next_time(timestamp)
        self._ask("evm_mine")

    def snapshot(self) -> str:
        """Remember the chain as it is; the name serves once."""
        return str(self._ask("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Go back to a snapshot. Raises ChainError if the node knows it no more."""
        if self._ask("evm_revert", snapshot) is not True:
            raise ChainError("the node did not go back to its snapshot; start a fresh one and try again")

    def _ask(self, method: str, *params: Any) -> Any:
        """Call a method.

        Raises:
            UnsupportedError: the node does not offer it, or not so.
            ChainError: the node does not answer.
        """
        try:
            response = self._client.web3.provider.make_request(RPCEndpoint(method), list(params))
        except (OSError, ValueError) as error:
            raise ChainError(f"the node did not answer {method} ({error}); check that it runs") from error
        problem = response.get("error")
        if problem is not None:
            message = problem.get("message") if isinstance(problem, dict) else problem
            raise UnsupportedError(
                f"the node does not do {method} ({message}); this needs a fresh development node: "
                "`gavel devnet`, or anvil"
            )
        return response.get("result")
