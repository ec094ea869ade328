"""Contracts on pyrevm: microseconds per message, for tests with volume.

    evm = FastEvm()
    mock = evm.deploy_judge("NumericsMock")
    mock.call("apply", 0x10, 1, 2)              # the decoded value; several values come as a tuple
    mock.call("move", 1, sender=evm.account(3), value=0)
    mock.gas                                    # gas of the last call, with its 21,000 and its calldata
    evm.timestamp += 60                         # the block that the next call sees

Every call is a transaction of its own and what it writes stays (unless it reverts, which raises `Reverted`).
pyrevm ignores the floor price of calldata, so gas figures that are reported come from py-evm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyrevm
from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from protocol.chain.artifacts import Artifact, compile_contract

GAS_LIMIT = 100_000_000

_artifact = cache(compile_contract)  # sources do not change under a test
_OUTPUT = re.compile(r"output: 0x([0-9a-f]*)")


class Reverted(Exception):  # noqa: N818
    """A call that did not succeed.

    Attributes:
        reason: the string of the failed ``assert`` or ``raise``; ``""`` for a failure without one
            (arithmetic, bounds, ABI); for a call that was halted (out of gas) pyrevm's own description.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A decoded log: emitting address (checksummed), event name, arguments by name."""

    address: str
    name: str
    args: dict[str, Any]


class FastEvm:
    """One chain in memory (Prague rules), with block number and timestamp as the test sets them."""

    def __init__(self, *, timestamp: int = 1_700_000_000, number: int = 1_000) -> None:
        self._evm = pyrevm.EVM(spec_id="PRAGUE")
        self._timestamp, self._number = timestamp, number
        self._set_block()

    @staticmethod
    @cache
    def account(index: int) -> str:
        """The checksummed address of the index-th test account (any index >= 0)."""
        return str(to_checksum_address(keccak(b"account" + index.to_bytes(8, "big"))[12:]))

    @property
    def timestamp(self) -> int:
        """Seconds of the block that calls see; settable."""
        return self._timestamp

    @timestamp.setter
    def timestamp(self, seconds: int) -> None:
        self._timestamp = seconds
        self._set_block()

    @property
    def number(self) -> int:
        """Number of the block that calls see; settable."""
        return self._number

    @number.setter
    def number(self, number: int) -> None:
        self._number = number
        self._set_block()

    def balance(self, address: str) -> int:
        """Coins of an address, in wei."""
        return int(self._evm.get_balance(address))

    def set_balance(self, address: str, wei: int) -> None:
        self._evm.set_balance(address, wei)

    def snapshot(self) -> tuple[Any, int, int]:
        """A mark of contracts' state and the block, for `revert_to`."""
        return self._evm.snapshot(), self._timestamp, self._number

    def revert_to(self, mark: tuple[Any, int, int]) -> None:
        checkpoint, self._timestamp, self._number = mark
        self._evm.revert(checkpoint)
        self._set_block()

    def deploy(self, name: str, *args: Any, sender: str | None = None, value: int = 0) -> Handle:
        """Compile (cached) and deploy; `args` go to ``__init__``.

        Raises:
            Reverted: the constructor refuses.
        """
        artifact = _artifact(name)
        types = next(
            (abi_types(entry["inputs"]) for entry in artifact.abi if entry["type"] == "constructor"), []
        )
        code = artifact.bytecode + encode(types, args)
        try:
            address = self._evm.deploy(self._funded(sender), code, value=value, gas=GAS_LIMIT)
        except RuntimeError as error:
            raise Reverted(_reason(str(error))) from None
        return Handle(self, artifact, to_checksum_address(address))

    def deploy_judge(self, name: str) -> Handle:
        """Deploy a contract that asks the scalar functions (`StepVerifier`, `NumericsMock`), after them."""
        return self.deploy(name, self.deploy("ScalarFunctions").address)

    def at(self, name: str, address: str) -> Handle:
        """A handle on what is deployed at an address already, read by the ABI of the contract `name`."""
        return Handle(self, _artifact(name), to_checksum_address(address))

    def send(
        self, to: str, data: bytes, *, sender: str | None = None, value: int = 0, gas: int = GAS_LIMIT
    ) -> tuple[bytes, int, list[Any]]:
        """One raw transaction: returned bytes, gas used, raw logs.

        Raises:
            Reverted: with the reason that the contract gave.
        """
        try:
            output = self._evm.message_call(self._funded(sender), to, calldata=data, value=value, gas=gas)
        except RuntimeError as error:
            raise Reverted(_reason(str(error))) from None
        result: Any = self._evm.result
        return bytes(output), int(result.gas_used), list(result.logs)

    def write(self, address: str, slot: int, value: int) -> None:
        """Set a word of a contract's storage, where a test cannot wait for the contract to get there."""
        self._evm.insert_account_storage(address, slot, value)

    def _funded(self, sender: str | None) -> str:
        account = sender or self.account(0)
        if self._evm.get_balance(account) < 10**24:
            self._evm.set_balance(account, 10**27)
        return account

    def _set_block(self) -> None:
        self._evm.set_block_env(
            pyrevm.BlockEnv(
                number=self._number,
                timestamp=self._timestamp,
                gas_limit=GAS_LIMIT * 10,
                basefee=0,
                prevrandao=bytes(32),
            )
        )


class Handle:
    """A deployed contract.

    Attributes:
        address: checksummed.
        artifact: what it was compiled to.
        gas: gas of the last successful call, including 21,000 and the calldata's price.
        events: decoded logs of the last successful call; logs that the ABI does not know are left out.
    """

    def __init__(self, evm: FastEvm, artifact: Artifact, address: str) -> None:
        self.evm, self.artifact, self.address = evm, artifact, address
        self.gas = 0
        self.events: list[Event] = []
        self._functions: dict[tuple[str, int], tuple[bytes, list[str], list[str]]] = {}
        self._event_abis: dict[bytes, dict[str, Any]] = {}
        for entry in artifact.abi:
            if entry["type"] == "function":
                types, outputs = abi_types(entry["inputs"]), abi_types(entry["outputs"])
                selector = keccak(f"{entry['name']}({','.join(types)})".encode())[:4]
                self._functions[entry["name"], len(types)] = (selector, types, outputs)
            elif entry["type"] == "event":
                topic = keccak(f"{entry['name']}({','.join(abi_types(entry['inputs']))})".encode())
                self._event_abis[topic] = entry

    def encode(self, function: str, *args: Any) -> bytes:
        """The calldata of a call, selector included."""
        selector, types, _ = self._functions[function, len(args)]
        return bytes(selector) + encode(types, args)

    def call(
        self, function: str, *args: Any, sender: str | None = None, value: int = 0, gas: int = GAS_LIMIT
    ) -> Any:
        """Send a transaction and decode what it returns: None, one value, or a tuple of values.

        Raises:
            Reverted: the contract refuses; nothing changed.
        """
        data = self.encode(function, *args)
        output, self.gas, logs = self.evm.send(self.address, data, sender=sender, value=value, gas=gas)
        self.events = [event for log in logs if (event := self.event(log)) is not None]
        return self.decode(function, output, len(args))

    def decode(self, function: str, output: bytes, arguments: int | None = None) -> Any:
        """What returned bytes mean: None, one value, or a tuple of values.

        Args:
            arguments: how many the function takes, where several have its name.
        """
        outputs = [
            o for (name, n), (_, _, o) in self._functions.items() if (name, arguments or n) == (function, n)
        ]
        values = decode(outputs[0], output)
        return values[0] if len(values) == 1 else values or None

    def event(self, log: Any) -> Event | None:
        """A raw log of `FastEvm.send`, decoded; None where the ABI does not know it."""
        topics = [bytes.fromhex(topic.removeprefix("0x")) for topic in log.topics]
        entry = self._event_abis.get(topics[0]) if topics else None
        if entry is None:
            return None
        indexed = [item for item in entry["inputs"] if item["indexed"]]
        plain = [item for item in entry["inputs"] if not item["indexed"]]
        args = dict(
            zip((item["name"] for item in plain), decode(abi_types(plain), bytes(log.data[1])), strict=True)
        )
        for item, topic in zip(indexed, topics[1:], strict=True):
            hashed = item["type"] in ("bytes", "string") or item["type"].endswith("]")
            args[item["name"]] = topic if hashed else decode(abi_types([item]), topic)[0]
        return Event(address=to_checksum_address(log.address), name=entry["name"], args=args)


def storage_slot(handle: Handle, name: str) -> int:
    """The slot of a variable of any module of the contract."""

    def search(layout: dict[str, Any]) -> list[int]:
        found = []
        for key, entry in layout.items():
            if isinstance(entry, dict) and isinstance(entry.get("slot"), int):
                found += [entry["slot"]] if key == name else []
            elif isinstance(entry, dict):
                found += search(entry)
        return found

    (slot,) = search(handle.artifact.layout["storage_layout"])
    return slot


def abi_types(items: list[dict[str, Any]]) -> list[str]:
    """The canonical ABI types of arguments, structs as tuples."""
    return [
        f"({','.join(abi_types(item['components']))}){item['type'][5:]}"
        if item["type"].startswith("tuple")
        else item["type"]
        for item in items
    ]


def _reason(message: str) -> str:
    match = _OUTPUT.search(message)
    if match is None:
        return message
    output = bytes.fromhex(match.group(1))
    if output[:4] == bytes.fromhex("08c379a0"):
        return str(decode(["string"], output[4:])[0])
    return output.hex()
