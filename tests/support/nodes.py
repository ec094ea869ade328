"""A node that lags, lies, drops, holds back, changes its chain or goes away, as a test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from eth_account.typed_transactions import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3 import HTTPProvider
from web3.providers.base import BaseProvider
from web3.types import RPCEndpoint

from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.chain.rpc_values import RpcError

Upstream = Callable[[str, list[Any]], Any]
Lie = Callable[[str, list[Any], Any], Any]

_PLACE = {"eth_call": 1, "eth_getBalance": 1, "eth_getCode": 1, "eth_getTransactionCount": 1}
"""Where in its parameters a method names a block."""


class Fickle:
    """Stands for one node of the chain behind it.

    Attributes:
        off: it does not answer.
        chain_id: told instead of the true one, unless None.
        frozen: number of the block at which its view of the chain ends, None for the true head.
        forked: blocks from this number on have other hashes, None for none.
        dropping: takes transactions and forgets them.
        holding: keeps transactions pending, until `release`.
        lie: gets method, parameters and the true result, and returns what is told.
        asked: methods in the order in which they were asked.
        held: raw pending transactions by number; offers: their priority fees, in order.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.off = self.dropping = self.holding = False
        self.chain_id: int | None = None
        self.frozen: int | None = None
        self.forked: int | None = None
        self.lie: Lie = lambda _method, _params, result: result
        self.asked: list[str] = []
        self.held: dict[int, str] = {}
        self.offers: list[int] = []

    @classmethod
    def of(cls, chain: EmbeddedChain) -> Fickle:
        """Before a chain in this process."""
        return cls(chain.rpc)

    @classmethod
    def at(cls, url: str) -> Fickle:
        """Before a chain at a URL."""
        provider = HTTPProvider(url)

        def ask(method: str, params: list[Any]) -> Any:
            response: Any = provider.make_request(RPCEndpoint(method), params)
            if "error" in response:
                problem = response["error"]
                raise RpcError(problem["code"], problem["message"], problem.get("data"))
            return response["result"]

        return cls(ask)

    @property
    def provider(self) -> BaseProvider:
        """The way to it in this process."""
        return EmbeddedProvider(cast(EmbeddedChain, self))

    def served(self) -> Devnet:
        """It as a server, to be entered."""
        return Devnet(cast(EmbeddedChain, self), port=0)

    def mine_if_behind(self) -> None:
        """The chain behind it keeps its own time."""

    def release(self) -> None:
        """Let what was held go to the chain."""
        self.holding = False
        for raw in self.held.values():
            self._upstream("eth_sendRawTransaction", [raw])
        self.held.clear()

    def rpc(self, method: str, params: list[Any]) -> Any:
        """Answer. Raises RpcError as the chain does; ConnectionError while it is off."""
        if self.off:
            raise ConnectionError("no route to the node")
        self.asked.append(method)
        return self.lie(method, params, self._answer(method, params))

    def _answer(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_chainId" if self.chain_id is not None:
                return hex(self.chain_id)
            case "eth_sendRawTransaction" if self.dropping:
                return "0x" + keccak(HexBytes(params[0])).hex()
            case "eth_sendRawTransaction" if self.holding:
                return self._hold(params[0])
            case "eth_getTransactionByHash":
                pending = any(keccak(HexBytes(raw)) == HexBytes(params[0]) for raw in self.held.values())
                found = pending or self._upstream("eth_getTransactionReceipt", params) is not None
                return {"hash": params[0]} if found else None
            case "eth_getTransactionCount" if params[1] == "pending":
                return hex(
                    int(self._at("eth_getTransactionCount", [params[0], "latest"]), 16) + len(self.held)
                )
            case _:
                return self._at(method, params)

    def _hold(self, raw: str) -> str:
        transaction = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        held, offer = self.held.get(transaction["nonce"]), transaction["maxPriorityFeePerGas"]
        if held == raw:
            raise RpcError(-32000, "already known")
        if held is not None and offer < 1.1 * self.offers[-1]:
            raise RpcError(-32000, "replacement transaction underpriced")
        self.held[transaction["nonce"]] = raw
        self.offers.append(offer)
        return "0x" + keccak(HexBytes(raw)).hex()

    def _at(self, method: str, params: list[Any]) -> Any:
        """The chain's answer as of the block at which this node stands."""
        params = list(params)
        if self.frozen is not None:
            if method == "eth_blockNumber":
                return hex(self.frozen)
            if method == "eth_getTransactionReceipt":
                receipt = self._upstream(method, params)
                return receipt if receipt and int(receipt["blockNumber"], 16) <= self.frozen else None
            if method in _PLACE and params[_PLACE[method]] == "latest":
                params[_PLACE[method]] = hex(self.frozen)
            if method == "eth_getBlockByNumber":
                if params[0] == "latest":
                    params[0] = hex(self.frozen)
                elif int(params[0], 16) > self.frozen:
                    return None
        found = self._upstream(method, params)
        if method == "eth_getBlockByNumber" and found and self._is_forked(int(found["number"], 16)):
            found = found | {"hash": "0x" + keccak(HexBytes(found["hash"])).hex()}
        return found

    def _is_forked(self, number: int) -> bool:
        return self.forked is not None and number >= self.forked
