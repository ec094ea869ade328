"""Calls as JSON: to calldata, to the game's moves, and back."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_args

import pytest

from gavel.fixtures.calls import call_of, calldata, decoded, move_of
from gavel.scenarios.job import small_job
from protocol.errors import MalformedError
from protocol.game import moves as m

COURT = b"\xc0" * 20
VALUES: dict[str, Any] = {
    "bytes": b"\x07" * 32,
    "int": 1 << 60,
    "bool": True,
    "Hashes": (b"\x01" * 32, b"\x02" * 32),
}


def sample(kind: type[Any]) -> Any:
    """A move of a kind with some value in each field."""
    if kind is m.OpenJob:
        return m.OpenJob(terms=small_job(chain_id=31337, expiry=1 << 60).job)
    given = {field.name: VALUES[str(field.type)] for field in fields(kind)}
    return kind(**given | ({"who": COURT} if kind is m.Delegate else {}))


@pytest.mark.parametrize("kind", get_args(m.Move), ids=lambda kind: kind.__name__)
def test_every_move_goes_to_json_and_calldata_and_back(kind: type[Any]) -> None:
    move = sample(kind)
    contract, call, arguments = call_of(move, COURT)
    read = json.loads(json.dumps(arguments))
    assert move_of(contract, call, read) == move
    data = calldata(contract, call, read)
    assert decoded(contract, data) == (call, arguments)
    for other in (data[:-1], data + b"\0", b"\0" + data, data[:4], b""):
        assert decoded(contract, other) in (None, (call, arguments) if other == data else None)


def test_calls_that_are_no_moves() -> None:
    assert move_of("token", "approve(address,uint256)", {"spender": "0x" + "00" * 20, "amount": 1}) is None
    assert move_of("board", "dispute_opened(bytes32)", {"update": "0x" + "00" * 32}) is None
    assert move_of("verifier", "finish(uint256,bytes)", {"fold": 1, "total": "0x"}) is None


@pytest.mark.parametrize(
    ("contract", "call", "arguments"),
    [
        ("bank", "lease(bytes32)", {"job": "0x" + "00" * 32}),
        ("court", "lease(bytes32)", {"job": "0x" + "00" * 32}),
        ("board", "lease(bytes32)", {}),
        ("board", "lease(bytes32)", None),
        ("board", "lease(bytes32)", {"job": "0x00"}),
        ("board", "lease(bytes32)", {"job": "0x" + "00" * 32, "more": 1}),
        ("court", "silence(bytes32,bytes32)", {"candidate": "0x" + "00" * 32, "dispute": "0x" + "00" * 32}),
        ("court", "delegate(address,bool)", {"who": "0x" + "00" * 20, "allowed": 1}),
        ("token", "approve(address,uint256)", {"spender": "0x" + "00" * 20, "amount": str(1 << 256)}),
        ("token", "approve(address,uint256)", {"spender": "0x" + "00" * 20, "amount": -1}),
    ],
)
def test_arguments_that_do_not_fit(contract: str, call: str, arguments: Any) -> None:
    with pytest.raises(MalformedError):
        calldata(contract, call, arguments)
