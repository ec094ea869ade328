"""Transactions and reads, over any JSON-RPC provider.

Every transaction is signed here with the account's key; the node never holds one. Gas limits are explicit,
because estimating one costs over ten times the transaction itself, and the answer for a move in a game
depends on when it is asked. A transaction that fails on chain raises the reason that the contract gave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress, HexStr
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import ContractLogicError, TransactionNotFound
from web3.providers.base import BaseProvider
from web3.types import FilterParams, LogReceipt, TxParams, TxReceipt

from protocol.chain.fees import Sending
from protocol.chain.log import Log, quiet
from protocol.chain.nodes import Nodes
from protocol.chain.sender import TRANSPORT_ERRORS, Sender
from protocol.errors import ChainError, RefusedError

DEFAULT_GAS: Final = 3_000_000

_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Of the curve secp256k1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTransaction:
    """One mined transaction of this client.

    Attributes:
        tag: what it was for, for people and accounting.
        tx_hash: 32 bytes.
        gas: gas used, intrinsic and calldata included; price: wei paid for each unit of it.
        block: number of the block that holds it.
        calldata: length of its data, in bytes.
        logs: its logs, raw.
        created: address of the contract that it created, if any.
    """

    tag: str
    tx_hash: bytes
    gas: int
    block: int
    calldata: int
    logs: tuple[LogReceipt, ...] = field(repr=False, default=())
    created: ChecksumAddress | None = None
    price: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedTransaction:
    """Anybody's transaction, as a node tells it.

    Attributes:
        sender: 20 bytes; to: likewise, None for a creation; data: calldata.
        block: number; gas: used; price: wei paid for each unit of it.
    """

    sender: bytes
    to: bytes | None
    data: bytes
    block: int
    gas: int
    price: int


class Client:
    """One account (or none, for reading) on one chain.

    Attributes:
        web3: the web3 instance, for ABI work.
        chain_id: as the node reported at the start.
        account: signs; None for a reader.
        sent: every transaction that this client has sent, in order.
    """

    def __init__(
        self,
        provider: BaseProvider,
        *,
        key: bytes | None = None,
        chain_id: int | None = None,
        sending: Sending | None = None,
    ) -> None:
        """Connect.

        Args:
            provider: a web3 provider.
            key: private key, 32 bytes; None to read only.
            chain_id: what the caller believes to talk to.
            sending: fees and patience; the usual ones unless given.

        Raises:
            ChainError: the node does not answer, or is on another chain.
        """
        self.web3 = Web3(provider)
        # It asks for the chain's id again before every call; that is done once, below, and signed with.
        self.web3.middleware_onion.remove("validation")
        try:
            self.chain_id = int(self.web3.eth.chain_id)
        except TRANSPORT_ERRORS as error:
            raise ChainError(
                f"no answer from the node ({error}); check that it runs and that --rpc names it"
            ) from error
        if chain_id is not None and chain_id != self.chain_id:
            raise ChainError(
                f"the node is on chain {self.chain_id}, not on chain {chain_id} where the contracts are; "
                "nothing was sent; use the right --rpc"
            )
        self.account: LocalAccount | None = Account.from_key(key) if key is not None else None
        self.sending = sending or Sending()
        self.sent: list[SentTransaction] = []
        self._sender = (
            Sender(self.web3, self.account, sending=self.sending, log=quiet) if self.account else None
        )

    @classmethod
    def connect(
        cls,
        urls: str,
        *,
        key: bytes | None = None,
        chain_id: int | None = None,
        code: Mapping[str, str] | None = None,
        sending: Sending | None = None,
    ) -> Client:
        """Connect over HTTP to a JSON-RPC URL, or to several with spaces between them (A-20).

        Args:
            code: sha256 of the code, hexadecimal, of each address where a node must have it to be used;
                given, a node that goes over to another branch is left too.

        The other arguments and errors as for the constructor.
        """
        nodes = Nodes.over_http(urls.split(), chain_id=chain_id, code=code)
        return cls(nodes, key=key, chain_id=chain_id, sending=sending)

    @property
    def nodes(self) -> Nodes | None:
        """What chooses among several nodes; None for a provider that is used as it is."""
        return self.web3.provider if isinstance(self.web3.provider, Nodes) else None

    def tell(self, log: Log) -> None:
        """Say to this log what becomes of nodes and of transactions."""
        if self.nodes is not None:
            self.nodes.tell(log)
        if self._sender is not None:
            self._sender.tell(log)

    @property
    def address(self) -> ChecksumAddress:
        """The account's address. Raises ChainError for a client without a key."""
        return self._signer().address

    def _signer(self) -> LocalAccount:
        if self.account is None:
            raise ChainError("this command sends transactions; give a key in GAVEL_KEY or with --key-file")
        return self.account

    def now(self) -> int:
        """Timestamp of the latest block, in seconds."""
        return self.head()[1]

    def block_number(self) -> int:
        """Number of the latest block."""
        return self.head()[0]

    def head(self) -> tuple[int, int]:
        """Number and timestamp (seconds) of the latest block. Raises ChainError if the node fails."""
        return self.latest()[:2]

    def latest(self) -> tuple[int, int, bytes]:
        """Number, timestamp (seconds) and hash of the latest block. Raises ChainError if the node fails."""
        latest = self._latest()
        return int(latest["number"]), int(latest["timestamp"]), bytes(latest["hash"])

    def block(self, number: int) -> tuple[bytes, int]:
        """Hash (32 bytes) and timestamp (seconds) of a block. Raises ChainError if the node does not know."""
        try:
            found = cast(Mapping[str, Any], self.web3.eth.get_block(number))
        except TRANSPORT_ERRORS as error:
            raise ChainError(f"the node did not give block {number} ({error})") from error
        return bytes(found["hash"]), int(found["timestamp"])

    def coins(self) -> int:
        """Coins of the account, in wei. Raises ChainError if the node fails, or without a key."""
        try:
            return int(self.web3.eth.get_balance(self.address))
        except TRANSPORT_ERRORS as error:
            raise ChainError(f"the node did not give the balance of {self.address} ({error})") from error

    def fee(self) -> int:
        """Wei per gas that a transaction sent now offers at most."""
        return self.sending.offered(int(self._latest().get("baseFeePerGas", 0)))

    def timestamp(self, number: int) -> int:
        """Timestamp of a block, in seconds. Raises ChainError if the node fails."""
        try:
            return int(self.web3.eth.get_block(cast(Any, number))["timestamp"])
        except TRANSPORT_ERRORS as error:
            raise ChainError(f"the node did not give block {number} ({error})") from error

    def _latest(self) -> Mapping[str, Any]:
        try:
            return cast(Mapping[str, Any], self.web3.eth.get_block("latest"))
        except TRANSPORT_ERRORS as error:
            raise ChainError(f"the node did not give its latest block ({error})") from error

    def call(self, to: ChecksumAddress, data: bytes, *, block: int | None = None) -> bytes:
        """Return what a call of a view returns, at a block's end; the latest block unless given.

        Raises:
            RefusedError: the contract reverts with a named reason.
            ChainError: any other failure.
        """
        request: TxParams = {"to": to, "data": data, "value": self.web3.to_wei(0, "wei")}
        if self.account is not None:
            request["from"] = self.account.address
        return self._eth_call(request, "latest" if block is None else block)

    def _eth_call(self, request: TxParams, block: Any) -> bytes:
        try:
            return bytes(self.web3.eth.call(request, block))
        except ContractLogicError as error:
            raise RefusedError(_reason(error)) from error
        except TRANSPORT_ERRORS as error:
            raise ChainError(f"a call to {request.get('to')!r} failed: {error}") from error

    def code(self, address: ChecksumAddress) -> bytes:
        """Deployed code of an address; empty where there is none."""
        try:
            return bytes(self.web3.eth.get_code(address))
        except TRANSPORT_ERRORS as error:
            raise ChainError(f"the node did not give the code of {address} ({error})") from error

    def logs(
        self, addresses: Sequence[ChecksumAddress], topics: Sequence[Any], first: int, last: int
    ) -> list[LogReceipt]:
        """Logs of some contracts in blocks first..last, both included, in order of the chain."""
        request: FilterParams = {
            "address": list(addresses),
            "topics": list(topics),
            "fromBlock": cast(Any, first),
            "toBlock": cast(Any, last),
        }
        try:
            return list(self.web3.eth.get_logs(request))
        except TRANSPORT_ERRORS as error:
            raise ChainError(
                f"the node did not give the logs of blocks {first} to {last} ({error})"
            ) from error

    def is_mined(self, tx_hash: bytes) -> bool:
        """Whether the chain holds a transaction, 32 bytes. Raises ChainError if the node fails."""
        try:
            self.web3.eth.get_transaction_receipt(HexBytes(tx_hash))
        except TransactionNotFound:
            return False
        except TRANSPORT_ERRORS as error:
            raise ChainError(f"the node did not say what became of a transaction ({error})") from error
        return True

    def mined(self, tx_hash: bytes) -> MinedTransaction:
        """Return a mined transaction, 32 bytes of hash. Raises ChainError if the node does not have it."""
        try:
            told: Any = self.web3.eth.get_transaction(HexBytes(tx_hash))
            receipt: Any = self.web3.eth.get_transaction_receipt(HexBytes(tx_hash))
        except (TransactionNotFound, *TRANSPORT_ERRORS) as error:
            raise ChainError(
                f"the node does not have transaction 0x{tx_hash.hex()} ({error}); ask one that keeps the "
                "whole history"
            ) from error
        to = told.get("to")
        return MinedTransaction(
            sender=bytes(HexBytes(told["from"])),
            to=bytes(HexBytes(to)) if to else None,
            data=bytes(HexBytes(told["input"])),
            block=int(receipt["blockNumber"]),
            gas=int(receipt["gasUsed"]),
            price=int(receipt.get("effectiveGasPrice", 0)),
        )

    def send(
        self,
        to: ChecksumAddress | None,
        data: bytes,
        *,
        tag: str,
        gas: int = DEFAULT_GAS,
        value: int = 0,
        tried: bool = False,
    ) -> SentTransaction:
        """Sign and send a transaction and wait until it is mined.

        Before its first one it waits a while for those that this account has sent before, say, by a process
        that was killed. One that stays pending is replaced under its own number by one that offers more, one
        that was dropped is sent again, and what is not mined in the end gives its number to the next one
        (A-12, A-22). So of all that is signed with one number at most one is mined.

        Args:
            to: None creates a contract.
            data: calldata, or creation code.
            tag: for `sent`.
            gas: limit.
            value: wei.
            tried: whether to ask the node first what would come of it: what is refused then costs nothing.

        Raises:
            RefusedError: the contract refuses it, or refused it when it was mined; carries the reason.
            AccountError: the account has too few coins, or the fee is at its limit.
            ChainError: it was not accepted, not mined in time, or failed without a reason.
        """
        signer = self._signer()
        request: TxParams = {
            "chainId": self.chain_id,
            "data": data,
            "gas": gas,
            "value": cast(Any, value),
            "type": cast(Any, 2),
        }
        if to is not None:
            request["to"] = to
        sender = cast(Sender, self._sender)
        sender.take_number()
        if tried:
            self._eth_call(_as_call(signer.address, request), "latest")
        receipt = sender.mined(request, tag)
        if receipt["status"] != 1:
            self._raise_refusal(signer, request, receipt, tag)
        created = receipt.get("contractAddress")
        record = SentTransaction(
            tag=tag,
            tx_hash=bytes(receipt["transactionHash"]),
            gas=int(receipt["gasUsed"]),
            block=int(receipt["blockNumber"]),
            calldata=len(data),
            logs=tuple(receipt["logs"]),
            created=created,
            price=int(receipt.get("effectiveGasPrice", 0)),
        )
        self.sent.append(record)
        return record

    def _raise_refusal(self, signer: LocalAccount, request: TxParams, receipt: TxReceipt, tag: str) -> None:
        replay = _as_call(signer.address, request)
        with suppress(ChainError):  # only a refusal says why
            self._eth_call(replay, receipt["blockNumber"])
        out_of_gas = int(receipt["gasUsed"]) >= int(request["gas"])
        why = "it ran out of gas" if out_of_gas else "its reason does not show when it is replayed"
        raise ChainError(
            f"the transaction for {tag!r} failed on chain and {why}; nothing has changed but its fee"
        )


def _as_call(sender: ChecksumAddress, request: TxParams) -> TxParams:
    call: TxParams = {
        "from": sender,
        "data": request["data"],
        "gas": request["gas"],
        "value": request["value"],
    }
    if "to" in request:
        call["to"] = request["to"]
    return call


def _reason(error: ContractLogicError) -> str:
    text = str(error.message or "")
    reason = text.removeprefix("execution reverted").removeprefix(": ").strip()
    return reason.removeprefix("revert: ") or "without a reason (arithmetic, bounds, or no gas)"


def read_key(text: str) -> bytes:
    """Return the 32 bytes of a private key written as hexadecimal digits, with or without ``0x``.

    Raises:
        ChainError: it is not one. The message does not repeat it.
    """
    try:
        key = bytes.fromhex(HexStr(text.strip()).removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ChainError("the key is not 64 hexadecimal digits; write it as 0x and 64 digits")
    if not 0 < int.from_bytes(key) < _ORDER:
        raise ChainError("the key is no key of the curve, a number from 1 to its order; make a new one")
    return key
