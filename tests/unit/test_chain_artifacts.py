"""Compiling contracts and caching what comes out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from protocol.chain import artifacts
from protocol.chain.artifacts import MAX_RUNTIME_BYTES, CompileError, compile_contract
from protocol.errors import UsageError

HEADER = "# pragma version 0.4.3\n# pragma evm-version prague\n"
COUNTER = """
from contracts_vyper.numerics import float32
OWNER: immutable(address)
count: public(uint256)
@deploy
def __init__():
    OWNER = msg.sender
@external
def rise(word: uint256) -> uint256:
    self.count = float32.canonical(word)
    return self.count
"""


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAVEL_CACHE", str(tmp_path / "cache"))
    artifacts._compiled.cache_clear()
    return tmp_path / "cache" / "artifacts"


def write(folder: Path, body: str, name: str = "Counter") -> Path:
    path = folder / f"{name}.vy"
    path.write_text(HEADER + body)
    return path


def test_an_artifact_has_what_a_deployment_needs(tmp_path: Path, cache_folder: Path) -> None:
    artifact = compile_contract(write(tmp_path, COUNTER))
    assert artifact.name == "Counter"
    assert {entry.get("name") for entry in artifact.abi} == {None, "count", "rise"}
    assert artifact.runtime in artifact.bytecode
    assert artifact.deployed_bytes == len(artifact.runtime) + 32
    assert artifact.layout["storage_layout"]["count"]["slot"] == 0
    assert all(len(selector) == 10 for selector in artifact.method_identifiers.values())


def test_the_second_time_it_comes_from_the_cache(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, COUNTER)
    first = compile_contract(path)
    artifacts._compiled.cache_clear()
    monkeypatch.setattr(artifacts, "_compile", lambda source: pytest.fail(f"compiled {source} again"))
    assert compile_contract(path) == first
    assert [entry.suffix for entry in cache_folder.iterdir()] == [".json"]


def test_a_changed_source_is_compiled_again(tmp_path: Path, cache_folder: Path) -> None:
    first = compile_contract(write(tmp_path, COUNTER))
    second = compile_contract(write(tmp_path, COUNTER.replace("= float32.canonical(word)", "= word")))
    assert first.runtime != second.runtime


def test_a_changed_module_is_a_changed_contract(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = Path(shutil.copytree(artifacts.CONTRACTS, tmp_path / "contracts_vyper"))
    monkeypatch.setattr(artifacts, "CONTRACTS", sources)
    path = write(tmp_path, COUNTER)
    first = compile_contract(path)
    module = sources / "numerics" / "float32.vy"
    module.write_text(module.read_text().replace("if word == SIGN:", "if word == ONE:"))
    assert compile_contract(path).runtime != first.runtime


def test_a_damaged_entry_is_compiled_again(tmp_path: Path, cache_folder: Path) -> None:
    path = write(tmp_path, COUNTER)
    first = compile_contract(path)
    for entry in cache_folder.iterdir():
        entry.write_text("{")
    artifacts._compiled.cache_clear()
    assert compile_contract(path) == first


def test_a_name_finds_its_file() -> None:
    assert compile_contract("NumericsMock") == compile_contract("contracts_vyper/mocks/NumericsMock.vy")


@pytest.mark.parametrize("name", ["NoSuchContract", "contracts_vyper/NoSuchContract.vy"])
def test_an_unknown_name(name: str) -> None:
    with pytest.raises(UsageError, match="NoSuchContract"):
        compile_contract(name)


def test_a_source_that_does_not_compile(tmp_path: Path, cache_folder: Path) -> None:
    with pytest.raises(CompileError, match="does not compile"):
        compile_contract(write(tmp_path, "@external\ndef f() -> uint256:\n    return nothing\n"))
    assert not cache_folder.exists()


def test_code_that_no_chain_accepts(tmp_path: Path, cache_folder: Path) -> None:
    text = "x" * (MAX_RUNTIME_BYTES + 1)
    body = f'@external\n@pure\ndef f() -> String[{len(text)}]:\n    return "{text}"\n'
    with pytest.raises(CompileError, match="more than a chain accepts"):
        compile_contract(write(tmp_path, body))


def test_snekmate_is_compiled_from_the_installed_package(tmp_path: Path, cache_folder: Path) -> None:
    body = """
from snekmate.auth import ownable
initializes: ownable
exports: ownable.__interface__
@deploy
def __init__():
    ownable.__init__()
"""
    artifact = compile_contract(write(tmp_path, body, "Owned"))
    assert "transfer_ownership(address)" in artifact.method_identifiers
