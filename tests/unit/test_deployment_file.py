"""Deployment files: what specs/deployment.md, B-1 to B-4, refuses."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.chain.client import Client
from protocol.chain.deployment import NAMES, Contracts, Deployment, deploy
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.errors import MalformedError, MismatchError

ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
GOOD: dict[str, Any] = {
    "format": "gavel deployment 2",
    "chain_id": 31337,
    "block": 0,
    **dict.fromkeys(NAMES, ADDRESS),
    "code": dict.fromkeys(NAMES, "0" * 64),
}


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    chain = EmbeddedChain(accounts=1)
    return deploy(Client(EmbeddedProvider(chain), key=chain.keys[0]))


def _load(folder: Path, data: object) -> Deployment:
    path = folder / "deployment.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return Deployment.load(path)


def test_a_good_file_loads_and_its_addresses_get_their_checksum(tmp_path: Path) -> None:
    loaded = _load(tmp_path, GOOD | {"court": ADDRESS.lower()})
    assert loaded.court == ADDRESS
    assert loaded.code == GOOD["code"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"chain_id": "31337"}, "chain_id"),
        ({"chain_id": True}, "chain_id"),
        ({"chain_id": 0}, "chain_id"),
        ({"chain_id": 1 << 256}, "chain_id"),
        ({"block": -1}, "block"),
        ({"block": 1.0}, "block"),
        ({"board": ADDRESS[:-1]}, "board"),
        ({"court": 12}, "court"),
        ({"token": ADDRESS.replace("F", "f", 1)}, "token"),
        ({"code": []}, "code"),
        ({"code": {"court": "0" * 64}}, "code"),
        ({"code": dict.fromkeys(NAMES, "0x" + "0" * 62)}, "code of"),
        ({"owner": ADDRESS}, "owner"),
        ({"format": "gavel deployment 1"}, "gavel deploy"),
    ],
)
def test_each_wrong_key_is_named(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match=named):
        _load(tmp_path, GOOD | change)


@pytest.mark.parametrize("key", sorted(GOOD))
def test_no_key_may_be_missing(key: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="deployment"):
        _load(tmp_path, {name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        "[" * 5000,
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "x" * 70_000,
    ],
)
def test_hostile_files_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="deployment"):
        _load(tmp_path, text)


def test_a_pipe_or_a_folder_is_no_deployment_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MalformedError, match="regular file"):
        Deployment.load(tmp_path / "pipe")
    with pytest.raises(MalformedError, match="regular file"):
        Deployment.load(tmp_path)
    with pytest.raises(MalformedError, match="no file"):
        Deployment.load(tmp_path / "none.json")


@pytest.mark.parametrize("name", NAMES)
def test_an_address_without_code_is_no_contract(name: str, contracts: Contracts) -> None:
    empty = replace(contracts.deployment, **{name: "0x" + "11" * 20})
    with pytest.raises(MismatchError, match=f"no contract at 0x11.*where the {name} should be"):
        Contracts.bind(contracts.client, empty).verify()


@pytest.mark.parametrize("name", NAMES)
def test_code_on_chain_has_to_hash_to_the_file(name: str, contracts: Contracts) -> None:
    contracts.verify()
    lying = replace(contracts.deployment, code=contracts.deployment.code | {name: "1" * 64})
    with pytest.raises(MismatchError, match=f"{name} at .* does not hash"):
        Contracts.bind(contracts.client, lying).verify()
