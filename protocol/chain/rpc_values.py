"""What the embedded chain says and understands as values of JSON-RPC."""

from __future__ import annotations

from typing import Any, Final

from eth_abi.abi import decode

_REVERTED: Final = "execution reverted"
_ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")


class RpcError(Exception):
    """A JSON-RPC error to hand to the caller; `data` is what a reverted call returned, if it was one."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def number(value: int | str) -> int:
    """A quantity given as a number or as hexadecimal digits."""
    return int(value, 16) if isinstance(value, str) else value


def hexed(value: bytes) -> str:
    """Bytes as JSON-RPC writes them."""
    return "0x" + value.hex()


def unhexed(value: str) -> bytes:
    """Inverse of `hexed`."""
    return bytes.fromhex(value.removeprefix("0x"))


def block_place(value: str) -> str | int:
    """The number of a block, or a word such as ``latest``."""
    return int(value, 16) if value.startswith("0x") else value


def camel(name: str) -> str:
    """A name in the manner of JSON-RPC."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def reverted(computation: Any) -> RpcError:
    """The error that a call which failed is answered with."""
    from eth.exceptions import Revert

    error = computation.error
    if not isinstance(error, Revert):
        return RpcError(-32000, f"{type(error).__name__}: {error}")
    data = bytes(computation.output)
    if data[:4] == _ERROR_SELECTOR:
        return RpcError(3, f"{_REVERTED}: {decode(['string'], data[4:])[0]}", hexed(data))
    return RpcError(3, _REVERTED, hexed(data))


def transaction_values(found: dict[str, Any], chain_id: int) -> dict[str, Any]:
    """A mined transaction of eth-tester as values of JSON."""
    return {
        "blockHash": hexed(found["block_hash"]),
        "blockNumber": hex(found["block_number"]),
        "transactionIndex": hex(found["transaction_index"]),
        "hash": hexed(found["hash"]),
        "from": hexed(found["from"]),
        "to": hexed(found["to"]) if found["to"] else None,
        "input": hexed(found["data"]),
        "nonce": hex(found["nonce"]),
        "gas": hex(found["gas"]),
        "value": hex(found["value"]),
        "chainId": hex(chain_id),
    }


def receipt_values(receipt: dict[str, Any]) -> dict[str, Any]:
    """A receipt of eth-tester as values of JSON."""
    place = {
        "blockHash": hexed(receipt["block_hash"]),
        "blockNumber": hex(receipt["block_number"]),
        "transactionHash": hexed(receipt["transaction_hash"]),
        "transactionIndex": hex(receipt["transaction_index"]),
    }
    logs = [
        place
        | {
            "address": hexed(log["address"]),
            "data": hexed(log["data"]),
            "topics": [hexed(topic) for topic in log["topics"]],
            "logIndex": hex(log["log_index"]),
            "removed": False,
        }
        for log in receipt["logs"]
    ]
    created = receipt["contract_address"]
    return place | {
        "from": hexed(receipt["from"]),
        "to": hexed(receipt["to"]) if receipt["to"] else None,
        "contractAddress": hexed(created) if created else None,
        "cumulativeGasUsed": hex(receipt["cumulative_gas_used"]),
        "gasUsed": hex(receipt["gas_used"]),
        "effectiveGasPrice": hex(receipt["effective_gas_price"]),
        "status": hex(receipt["status"]),
        "type": hex(receipt["type"]),
        "logs": logs,
        "logsBloom": hexed(bytes(256)),
    }


def topics_match(topics: list[str], wanted: list[Any]) -> bool:
    """Whether a log's topics are those asked for."""
    if len(wanted) > len(topics):
        return False
    for topic, choice in zip(topics, wanted, strict=False):
        choices = [choice] if isinstance(choice, str) else choice
        if choices is not None and topic not in {c.lower() for c in choices}:
            return False
    return True
