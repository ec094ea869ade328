"""The command line: what each command asks for, and how it says that something is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from eth_account import Account

from gavel import cli
from gavel.commands.shared import KEY_VARIABLE
from gavel.setup import load_object, load_setup
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain
from protocol.errors import UsageError

CHAIN_COMMANDS = ["deploy", "quote", "train", "submit", "defend", "watch", "status"]


@pytest.fixture(scope="module")
def served() -> Iterator[Devnet]:
    with Devnet(EmbeddedChain(accounts=2), port=0) as devnet:
        yield devnet


def _gavel(*arguments: str, key: bytes | None = None) -> tuple[int, str, str]:
    """Run the command in a process of its own; returns status, standard output, standard error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GAVEL_")}
    environment["COLUMNS"] = "200"
    if key is not None:
        environment[KEY_VARIABLE] = "0x" + key.hex()
    done = subprocess.run(
        [sys.executable, "-m", "gavel", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    return done.returncode, done.stdout, done.stderr


def test_all_commands_are_there() -> None:
    expected = {"demo", "devnet", "deploy", "job", "train", "submit", "defend", "trainer"} | {
        "watch",
        "status",
        "verify",
        "doctor",
        "key",
    }
    assert set(cli.cli.commands) >= expected


@pytest.mark.parametrize("command", CHAIN_COMMANDS)
def test_chain_commands_need_an_rpc(command: str) -> None:
    arguments = [command] if command == "deploy" else [command, "folder"]
    result = CliRunner().invoke(cli.cli, arguments, env={"GAVEL_RPC": None})
    assert result.exit_code == 2
    assert "--rpc" in result.output


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "0", "soon"])
def test_seconds_are_numbers_that_can_be_waited(number: str) -> None:
    result = CliRunner().invoke(cli.cli, ["watch", "folder", "--rpc", "http://127.0.0.1:9", "--poll", number])
    assert result.exit_code == 2
    assert "--poll" in result.output


def test_no_command_takes_a_key_as_an_argument() -> None:
    commands = [*cli.cli.commands.values(), *cli.job.commands.values()]
    options = {option for command in commands for p in command.params for option in p.opts}
    assert {o for o in options if "key" in o} == {"--key-file", "--keystore"}


def test_an_expected_error_is_one_message_and_its_status(tmp_path: Path) -> None:
    status, out, err = _gavel("job", "show", str(tmp_path))
    assert (status, out) == (3, "")
    assert err.startswith("gavel: ")
    assert "job.json" in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_no_node_and_no_key_are_said(served: Devnet, tmp_path: Path) -> None:
    status, _, err = _gavel("deploy", "--rpc", served.url)
    assert status == 2
    assert KEY_VARIABLE in err
    status, _, err = _gavel("deploy", "--rpc", "http://127.0.0.1:9", key=served.chain.keys[0])
    assert status == 7
    assert "no answer from the node" in err
    status, _, err = _gavel("deploy", "--rpc", served.url, "--key-file", str(tmp_path / "none"))
    assert status == 2
    assert "key file" in err


def test_deploy_writes_a_file_and_hands_out_tokens(served: Devnet, tmp_path: Path) -> None:
    key_file, out = tmp_path / "key", tmp_path / "deployment.json"
    key_file.write_text("0x" + served.chain.keys[0].hex() + "\n")
    key_file.chmod(0o600)
    friend = "0x" + "22" * 20
    status, told, err = _gavel(
        *("deploy", "--rpc", served.url, "--key-file", str(key_file), "--out", str(out), "--give", friend),
        *("--timelock", "3600", "--scheduled-gas", "12000000"),
    )
    assert (status, err) == (0, "")
    assert "at least 12,000,000 gas" in told
    assert "takes 3,600 s" in told
    assert friend in told
    assert re.search(r"court at 0x[0-9a-fA-F]{40}", told)
    assert out.exists()
    assert served.chain.keys[0].hex() not in told

    account = Account.from_key(served.chain.keys[0]).address
    sent = served.chain.rpc("eth_getTransactionCount", [account, "latest"])
    (tmp_path / "file").write_text("")
    kept = out.read_text()
    for place, expected, said in (
        (out, 2, "is there already"),
        (tmp_path, 2, "is there already"),
        (tmp_path / "file" / "out.json", 8, "cannot be written"),
    ):
        status, told, err = _gavel(
            "deploy", "--rpc", served.url, "--key-file", str(key_file), "--out", str(place)
        )
        assert (status, told) == (expected, "")
        assert said in err
    assert out.read_text() == kept
    assert served.chain.rpc("eth_getTransactionCount", [account, "latest"]) == sent


@pytest.mark.parametrize(
    "arguments",
    [["--give", "0x12"], ["--token", "x"], ["--token", "0x" + "22" * 20, "--give", "0x" + "22" * 20]],
)
def test_deploy_refuses_wrong_addresses(served: Devnet, arguments: list[str]) -> None:
    status, _, err = _gavel("deploy", "--rpc", served.url, *arguments, key=served.chain.keys[0])
    assert status == 2
    assert err.startswith("gavel: ")


def test_setup_functions_are_loaded_by_name() -> None:
    setup = load_setup("tests.e2e.small_job:setup")
    assert list(setup.columns) == ["inputs", "targets"]


@pytest.mark.parametrize("place", ["nowhere", "nowhere:function", "gavel.setup:nothing", ":", ""])
def test_wrong_places_are_named(place: str) -> None:
    with pytest.raises(UsageError, match="cannot be imported"):
        load_object(place)


def test_other_functions_are_no_setups() -> None:
    with pytest.raises(UsageError, match="returned dict"):
        load_setup("builtins:dict")
    with pytest.raises(UsageError, match="not a function"):
        load_setup("gavel.cli:INTERRUPTED")
