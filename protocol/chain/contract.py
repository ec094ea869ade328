"""A deployed contract of ours, by its compiled ABI: views, transactions, events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eth_abi.abi import decode, encode
from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from web3.types import LogReceipt

from protocol.chain.artifacts import Artifact, compile_contract
from protocol.chain.client import DEFAULT_GAS, Client, SentTransaction
from protocol.errors import ChainError, UsageError

AbiEntry = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A decoded log.

    Attributes:
        name: of the event.
        args: by name; bytes as bytes, addresses as 20 bytes, structs as dicts.
        block: number of its block.
        transaction: hash of its transaction, 32 bytes.
    """

    name: str
    args: dict[str, Any]
    block: int
    transaction: bytes


class Contract:
    """One contract at one address, through one client."""

    def __init__(self, client: Client, name: str, address: bytes | str) -> None:
        """Bind the compiled contract `name` to an address. Nothing is checked on chain here."""
        self.client = client
        self.artifact: Artifact = compile_contract(name)
        self.address: ChecksumAddress = to_checksum_address(address)

    @property
    def address_bytes(self) -> bytes:
        """The 20 bytes of the address."""
        return bytes.fromhex(self.address[2:])

    def view(self, function: str, *args: Any, block: int | None = None) -> Any:
        """Call a view: its value, a dict for a struct, a tuple where there are several values.

        Args:
            function: name; args: its arguments, hashes and addresses as bytes.
            block: at whose end to look; the latest unless given.

        Raises:
            RefusedError: the view reverts with a reason.
            ChainError: the node failed, or there is no such contract at the address.
        """
        entry = self._function(function, len(args))
        data = self.client.call(self.address, self._calldata(entry, args), block=block)
        if not data and entry["outputs"]:
            raise ChainError(
                f"{self.address} does not answer as {self.artifact.name}; check the deployment file"
            )
        values = named(entry["outputs"], decode([abi_type(out) for out in entry["outputs"]], data))
        return values[0] if len(values) == 1 else tuple(values)

    def send(
        self, function: str, *args: Any, tag: str | None = None, gas: int = DEFAULT_GAS, tried: bool = False
    ) -> SentTransaction:
        """Send a transaction to a function; `tag` is its name unless given. The rest is `Client.send`."""
        data = self._calldata(self._function(function, len(args)), args)
        return self.client.send(self.address, data, tag=tag or function, gas=gas, tried=tried)

    def decode_log(self, log: LogReceipt) -> Event | None:
        """Decode a log, or None if it is not an event of this contract."""
        if to_checksum_address(log["address"]) != self.address or not log["topics"]:
            return None
        entry = self._events.get(bytes(log["topics"][0]))
        if entry is None:
            return None
        indexed = [field for field in entry["inputs"] if field["indexed"]]
        plain = [field for field in entry["inputs"] if not field["indexed"]]
        topics = [decode([abi_type(f)], bytes(t))[0] for f, t in zip(indexed, log["topics"][1:], strict=True)]
        body = decode([abi_type(field) for field in plain], bytes(log["data"]))
        values = dict(zip((f["name"] for f in indexed), named(indexed, topics), strict=True))
        values |= dict(zip((f["name"] for f in plain), named(plain, body), strict=True))
        return Event(
            name=entry["name"],
            args=values,
            block=int(log["blockNumber"]),
            transaction=bytes(log["transactionHash"]),
        )

    def topic(self, event: str) -> bytes:
        """First topic of an event. Raises UsageError if the contract has none of that name."""
        for topic, entry in self._events.items():
            if entry["name"] == event:
                return topic
        raise UsageError(f"{self.artifact.name} has no event {event}")

    @cached_property
    def _events(self) -> dict[bytes, AbiEntry]:
        return {keccak(text=signature(e)): e for e in self.artifact.abi if e["type"] == "event"}

    def _function(self, name: str, arguments: int) -> AbiEntry:
        for entry in self.artifact.abi:
            if entry.get("name") == name and len(entry["inputs"]) == arguments:
                return entry
        raise UsageError(f"{self.artifact.name} has no function {name} of {arguments} arguments")

    def _calldata(self, entry: AbiEntry, args: tuple[Any, ...]) -> bytes:
        return keccak(text=signature(entry))[:4] + encode(
            [abi_type(field) for field in entry["inputs"]], args
        )


def creation_code(name: str, *args: Any) -> bytes:
    """Creation code of a contract with its constructor's arguments."""
    artifact = compile_contract(name)
    inputs: list[AbiEntry] = next((e["inputs"] for e in artifact.abi if e["type"] == "constructor"), [])
    return artifact.bytecode + encode([abi_type(field) for field in inputs], args)


def signature(entry: AbiEntry) -> str:
    """A function or an event as selectors hash it: ``name(type,...)``."""
    return f"{entry['name']}({','.join(abi_type(field) for field in entry['inputs'])})"


def abi_type(field: AbiEntry) -> str:
    """The type of a parameter, tuples spelt out."""
    kind = str(field["type"])
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(abi_type(component) for component in field["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


def named(fields: list[AbiEntry], values: Any) -> list[Any]:
    """Decoded values with structs as dicts, addresses as 20 bytes."""
    return [_value(field, value) for field, value in zip(fields, values, strict=True)]


def _value(field: AbiEntry, value: Any) -> Any:
    kind = str(field["type"])
    if kind.endswith("]"):
        element = field | {"type": kind[: kind.rindex("[")]}
        return [_value(element, item) for item in value]
    if kind == "tuple":
        names = (component["name"] for component in field["components"])
        return dict(zip(names, named(field["components"], value), strict=True))
    if kind == "address":
        return bytes.fromhex(value.removeprefix("0x"))
    return value
