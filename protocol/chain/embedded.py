"""An Ethereum chain inside this process: eth-tester's py-evm backend behind the JSON-RPC methods that we use.

Every transaction is mined at once in a block of its own. Blocks follow the clock plus what `evm_increaseTime`
added; they are at least one second apart. `evm_setNextBlockTimestamp`, `evm_snapshot` and `evm_revert` mean
what they mean on other development nodes. The same object serves the demo and the tests directly
(`EmbeddedProvider`) and other processes over HTTP (`protocol.chain.devnet`), so both see the same.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from web3.providers.base import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from protocol.chain.rpc_values import (
    RpcError,
    block_place,
    camel,
    hexed,
    number,
    receipt_values,
    reverted,
    topics_match,
    transaction_values,
    unhexed,
)

CHAIN_ID: Final = 31337
"""The customary id of development chains."""

BLOCK_GAS_LIMIT: Final = 60_000_000
DEVELOPMENT_MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The phrase that every Ethereum development tool uses. Its keys are public: worthless on any other chain."""

_HD_PATH: Final = "m/44'/60'/0'/0"
_BALANCE: Final = 10**24
_ZERO_ADDRESS: Final = bytes(20)


def frozen_clock() -> float:
    """A clock that stands still: a chain with it moves on by a second per block and by what it is told."""
    return 0.0


def development_keys(count: int) -> tuple[bytes, ...]:
    """Private keys of the first accounts of `DEVELOPMENT_MNEMONIC`, 32 bytes each."""
    from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

    seed = seed_from_mnemonic(DEVELOPMENT_MNEMONIC, "")
    return tuple(key_from_seed(seed, f"{_HD_PATH}/{number}") for number in range(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedTransaction:
    """A transaction as it stands in a block.

    Attributes:
        sender, to: 20 bytes; `to` is None where a contract was created.
        accepted: whether it did not revert.
    """

    sender: bytes
    to: bytes | None
    data: bytes
    value: int
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedBlock:
    """A block: its timestamp in seconds, and its transaction, if it is not empty."""

    timestamp: int
    transaction: MinedTransaction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """What `evm_revert` goes back to: the head, and how much of the receipts and logs belongs to it."""

    head: Any
    offset: int
    by_hand: bool
    receipts: int
    logs: int


class EmbeddedChain:
    """One chain in memory, Prague rules, safe to use from several threads."""

    def __init__(
        self,
        *,
        accounts: int = 10,
        chain_id: int = CHAIN_ID,
        genesis_time: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start a chain.

        Args:
            accounts: prefunded accounts with 10**24 wei each.
            chain_id: for replay protection.
            genesis_time: timestamp in seconds; what the clock says unless given. Blocks follow the clock
                unless it lies in the future.
            clock: seconds; with `frozen_clock` and a `genesis_time` the same calls give the same timestamps.
        """
        from eth_tester import PyEVMBackend

        self._clock = clock
        self._offset = 0
        self._next_time: int | None = None
        self._by_hand = False
        self._snapshots: dict[int, _Snapshot] = {}
        self._snapshots_taken = 0
        self._lock = threading.RLock()
        self.chain_id = chain_id
        parameters = PyEVMBackend.generate_genesis_params(
            {
                "timestamp": int(clock()) if genesis_time is None else genesis_time,
                "gas_limit": BLOCK_GAS_LIMIT,
            }
        )
        self._backend: Any = PyEVMBackend.from_mnemonic(
            DEVELOPMENT_MNEMONIC,
            genesis_state_overrides={"balance": _BALANCE},
            num_accounts=accounts,
            genesis_parameters=parameters,
            hd_path=_HD_PATH,
        )
        # eth-tester fixes an id of its own in the class that it makes for each chain.
        type(self._backend.chain).chain_id = chain_id
        self._receipts: dict[str, dict[str, Any]] = {}
        self._calls: tuple[bytes, Any] | None = None
        self._logs: list[dict[str, Any]] = []
        self._log_blocks: list[int] = []
        self._methods: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "gavel-devnet/1",
            "net_version": lambda: str(self.chain_id),
            "eth_chainId": lambda: hex(self.chain_id),
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_blockNumber": lambda: hex(self._block("latest")["number"]),
            "eth_getBlockByNumber": self._get_block,
            "eth_getBalance": lambda who, at="latest": hex(
                self._backend.get_balance(unhexed(who), block_place(at))
            ),
            "eth_getTransactionCount": lambda who, at="latest": hex(
                self._backend.get_nonce(unhexed(who), block_place(at))
            ),
            "eth_getCode": lambda who, at="latest": hexed(
                self._backend.get_code(unhexed(who), block_place(at))
            ),
            "eth_gasPrice": lambda: hex(self._block("latest")["base_fee_per_gas"] + 10**9),
            "eth_maxPriorityFeePerGas": lambda: hex(10**9),
            "eth_call": self._call,
            "eth_sendRawTransaction": self._send,
            "eth_getTransactionReceipt": lambda tx: self._receipts.get(tx.lower()),
            "eth_getTransactionByHash": self._get_transaction,
            "eth_getLogs": self._get_logs,
            "evm_increaseTime": self._increase_time,
            "evm_setNextBlockTimestamp": self._set_next_time,
            "evm_mine": self._mine,
            "evm_snapshot": self._snapshot,
            "evm_revert": self._revert,
        }

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Private keys of the prefunded accounts, 32 bytes each; public, see `DEVELOPMENT_MNEMONIC`."""
        return tuple(key.to_bytes() for key in self._backend.account_keys)

    def rpc(self, method: str, params: list[Any]) -> Any:
        """Answer one JSON-RPC request with a JSON value.

        Raises:
            RpcError: unknown method, wrong parameters, a transaction that is not valid, a call that reverts.
        """
        from eth_keys.exceptions import BadSignature
        from eth_tester.exceptions import BlockNotFound, ValidationError
        from eth_utils.exceptions import ValidationError as EvmValidationError
        from rlp.exceptions import RLPException  # type: ignore[import-untyped]

        handler = self._methods.get(method)
        if handler is None:
            raise RpcError(-32601, f"the method {method} is not offered by this development chain")
        try:
            with self._lock:
                return handler(*params)
        except BlockNotFound as error:
            raise RpcError(-32001, str(error)) from error
        except (ValidationError, EvmValidationError, RLPException, BadSignature) as error:
            raise RpcError(-32003, f"transaction refused: {error}") from error
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise RpcError(-32602, f"{method}: parameters not understood ({error})") from error

    def history(self) -> list[MinedBlock]:
        """Every block after the genesis, oldest first."""
        with self._lock:
            return [self._mined(n) for n in range(1, int(self._block("latest")["number"]) + 1)]

    def _mined(self, number: int) -> MinedBlock:
        block = self._backend.chain.get_canonical_block_by_number(number)
        found = None
        for sent in block.transactions:
            receipt = self._receipts[hexed(sent.hash)]
            found = MinedTransaction(
                sender=bytes(sent.sender),
                to=bytes(sent.to) or None,
                data=bytes(sent.data),
                value=int(sent.value),
                accepted=receipt["status"] == "0x1",
            )
        return MinedBlock(timestamp=int(block.header.timestamp), transaction=found)

    def mine_if_behind(self) -> None:
        """Mine an empty block when the clock has passed the last one and nobody sets the time by hand."""
        with self._lock:
            if not self._by_hand and self._wall() > self._block("latest")["timestamp"]:
                self._mine()

    def _block(self, place: str | int) -> dict[str, Any]:
        return dict(self._backend.get_block_by_number(place, False))

    def _get_block(self, place: str, _full: bool = False) -> dict[str, Any] | None:
        block = self._block(block_place(place))
        quantities = ("number", "difficulty", "size", "gas_limit", "gas_used", "timestamp")
        names = {
            "sha3_uncles": "sha3Uncles",
            "coinbase": "miner",
            "logs_bloom": "logsBloom",
            "base_fee_per_gas": "baseFeePerGas",
        }
        out: dict[str, Any] = {name: hex(block[name] or 0) for name in ("number", "difficulty", "size")}
        for name in (*quantities[3:], "base_fee_per_gas"):
            out[names.get(name, camel(name))] = hex(block[name])
        for name in ("hash", "parent_hash", "nonce", "sha3_uncles", "transactions_root", "state_root"):
            out[names.get(name, camel(name))] = hexed(block[name])
        for name in ("receipts_root", "coinbase", "mix_hash", "extra_data"):
            out[names.get(name, camel(name))] = hexed(block[name])
        out["logsBloom"] = hexed(int(block["logs_bloom"]).to_bytes(256))
        out["transactions"] = [hexed(tx) for tx in block["transactions"]]
        out["uncles"] = []
        return out

    def _call(self, request: dict[str, Any], place: str = "latest", *_: Any) -> str:
        number = self._block(block_place(place))["number"]
        header = self._backend.chain.get_canonical_block_header_by_number(number)
        if self._calls is None or self._calls[0] != header.hash:
            # A view costs nothing, whoever asks: no base fee. Kept, so that what one view has read from the
            # tries is at hand for the next one.
            vm = self._backend.chain.get_vm(at_header=header.copy(base_fee_per_gas=0))
            self._calls = header.hash, vm
        vm = self._calls[1]
        before = vm.state.snapshot()
        try:
            return self._called(vm, request)
        finally:
            vm.state.revert(before)

    @staticmethod
    def _called(vm: Any, request: dict[str, Any]) -> str:
        from eth.vm.spoof import SpoofTransaction

        sender = unhexed(request["from"]) if request.get("from") else _ZERO_ADDRESS
        unsigned = vm.create_unsigned_transaction(
            nonce=vm.state.get_nonce(sender),
            gas_price=0,
            gas=int(request["gas"], 16) if request.get("gas") else BLOCK_GAS_LIMIT,
            to=unhexed(request.get("to") or "0x"),
            value=int(request.get("value") or "0x0", 16),
            data=unhexed(request.get("data") or request.get("input") or "0x"),
        )
        computation = vm.state.apply_transaction(SpoofTransaction(unsigned, from_=sender))
        if computation.is_error:
            raise reverted(computation)
        return hexed(computation.output)

    def _send(self, raw: str) -> str:
        self._set_time()
        tx_hash = self._backend.send_raw_transaction(unhexed(raw))
        self._close_block()
        receipt = receipt_values(self._backend.get_transaction_receipt(tx_hash))
        self._receipts[receipt["transactionHash"]] = receipt
        self._logs += receipt["logs"]
        self._log_blocks += [int(log["blockNumber"], 16) for log in receipt["logs"]]
        return str(receipt["transactionHash"])

    def _get_transaction(self, tx_hash: str) -> dict[str, Any] | None:
        if tx_hash.lower() not in self._receipts:
            return None
        return transaction_values(self._backend.get_transaction_by_hash(unhexed(tx_hash)), self.chain_id)

    def _wall(self) -> int:
        return int(self._clock()) + self._offset

    def _set_time(self, earliest: int = 0) -> None:
        # py-evm stamps a block when its parent is mined; a transaction belongs to the time it arrives.
        if self._next_time is not None:
            self._offset += self._next_time - self._wall()
        latest = self._block("latest")["timestamp"]
        stamp = self._next_time or max(latest + 1, self._wall(), earliest)
        self._backend.chain.set_header_timestamp(stamp)

    def _mine(self, timestamp: int | str = 0) -> str:
        # With a timestamp, as ganache and anvil take it: never earlier than that.
        self._set_time(number(timestamp))
        self._close_block()
        return "0x0"

    def _close_block(self) -> None:
        self._backend.mine_blocks(1)
        self._next_time = None

    def _increase_time(self, seconds: int | str) -> int:
        # Blocks are at least a second apart: the chain may be ahead of the clock. Move on from where it is.
        ahead = max(self._block("latest")["timestamp"] - self._wall(), 0)
        self._offset += ahead + number(seconds)
        return self._offset

    def _set_next_time(self, timestamp: int | str) -> None:
        latest = self._block("latest")["timestamp"]
        if number(timestamp) <= latest:
            raise ValueError(f"{number(timestamp)} is not later than {latest}, the latest block's timestamp")
        self._next_time, self._by_hand = number(timestamp), True

    def _snapshot(self) -> str:
        self._snapshots_taken += 1
        self._snapshots[self._snapshots_taken] = _Snapshot(
            head=self._backend.chain.get_canonical_head(),
            offset=self._offset,
            by_hand=self._by_hand,
            receipts=len(self._receipts),
            logs=len(self._logs),
        )
        return hex(self._snapshots_taken)

    def _revert(self, snapshot: str | int) -> bool:
        kept = self._snapshots.get(number(snapshot))
        if kept is None:
            return False
        # A snapshot serves once, and those taken after it are of a past that is gone.
        self._snapshots = {k: v for k, v in self._snapshots.items() if k < number(snapshot)}
        chain = self._backend.chain
        chain.chaindb._set_as_canonical_chain_head(chain.chaindb.db, kept.head, bytes(32))
        chain.header = chain.create_header_from_parent(kept.head)
        self._receipts = dict(list(self._receipts.items())[: kept.receipts])
        del self._logs[kept.logs :], self._log_blocks[kept.logs :]
        self._offset, self._next_time, self._by_hand = kept.offset, None, kept.by_hand
        return True

    def _get_logs(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        first = self._block(block_place(request.get("fromBlock", "latest")))["number"]
        place = block_place(request.get("toBlock", "latest"))
        last = place if isinstance(place, int) else self._block(place)["number"]
        address = request.get("address")
        addresses = {a.lower() for a in ([address] if isinstance(address, str) else address or [])}
        low = bisect.bisect_left(self._log_blocks, first)
        high = bisect.bisect_right(self._log_blocks, last)
        wanted = request.get("topics") or []
        return [
            log
            for log in self._logs[low:high]
            if (not addresses or log["address"] in addresses) and topics_match(log["topics"], wanted)
        ]


class EmbeddedProvider(BaseProvider):
    """web3's way to an `EmbeddedChain` in the same process."""

    def __init__(self, chain: EmbeddedChain) -> None:
        super().__init__()
        self.chain = chain

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer as an HTTP provider would; errors are values of the response."""
        return cast(RPCResponse, answer(self.chain, {"id": 1, "method": method, "params": params}))

    def is_connected(self, show_traceback: bool = False) -> bool:  # noqa: ARG002  (web3's signature)
        return True


def answer(chain: EmbeddedChain, request: dict[str, Any]) -> Any:
    """Return the JSON-RPC response to one request."""
    head = {"jsonrpc": "2.0", "id": request.get("id")}
    try:
        return head | {"result": chain.rpc(str(request.get("method")), list(request.get("params") or []))}
    except RpcError as error:
        problem: dict[str, Any] = {"code": error.code, "message": str(error)}
        if error.data is not None:
            problem["data"] = error.data
        return head | {"error": problem}
