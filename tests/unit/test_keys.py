"""Keys: from keystores, private files and the environment; hostile keystores cost nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from eth_account import Account

from gavel.cli import cli
from gavel.commands.shared import KEY_VARIABLE, PASSPHRASE_VARIABLE
from gavel.keys import make_keystore, read_key_file, read_keystore
from protocol.errors import GavelError, MalformedError, UsageError

KEY = bytes(31) + b"\x05"
ADDRESS = Account.from_key(KEY).address


def _cheap(path: Path, **changes: Any) -> Path:
    """A keystore that is quick to open, with some of its parts replaced."""
    store = Account.encrypt(KEY, "secret", kdf="pbkdf2", iterations=10)
    store["crypto"] |= changes
    path.write_text(json.dumps(store))
    return path


def _gavel(*arguments: str, **environment: str | None) -> tuple[BaseException | None, str]:
    """Run a command in this process, without a terminal; the error that it ends with, and its output."""
    settings = {KEY_VARIABLE: None, PASSPHRASE_VARIABLE: None} | environment
    done = CliRunner().invoke(cli, arguments, env=settings, standalone_mode=False)
    return done.exception, done.output


def test_a_new_keystore_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "keystore.json"
    error, said = _gavel("key", "new", str(path), GAVEL_PASSPHRASE="secret")
    assert error is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = read_keystore(path, lambda: "secret")
    assert Account.from_key(key).address in said
    assert key.hex() not in path.read_text()
    with pytest.raises(UsageError, match="does not open"):
        read_keystore(path, lambda: "secreT")
    error, said = _gavel("key", "address", "--keystore", str(path), GAVEL_PASSPHRASE="secret")
    assert (error, said.strip()) == (None, Account.from_key(key).address)
    with pytest.raises(UsageError, match="there already"):
        make_keystore(path, "secret")
    with pytest.raises(UsageError, match="empty"):
        make_keystore(tmp_path / "other", "")
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_key_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "keystore.json"
    error, said = _gavel("key", "import", str(path), GAVEL_KEY=KEY.hex(), GAVEL_PASSPHRASE="secret")
    assert error is None
    assert ADDRESS in said
    assert read_keystore(path, lambda: "secret") == KEY


def test_where_a_key_comes_from(tmp_path: Path) -> None:
    keystore, plain = str(_cheap(tmp_path / "keystore")), tmp_path / "key"
    plain.write_text(KEY.hex() + "\n")
    plain.chmod(0o600)
    for arguments, environment in (
        (["--keystore", keystore], {"GAVEL_PASSPHRASE": "secret"}),
        (["--key-file", str(plain)], {}),
        ([], {"GAVEL_KEY": "0x" + KEY.hex()}),
    ):
        error, said = _gavel("key", "address", *arguments, **environment)
        assert (error, said.strip()) == (None, ADDRESS)
    for arguments, environment, why in (
        (["--keystore", keystore, "--key-file", str(plain)], {}, "name one"),
        (["--keystore", keystore], {}, "needs a passphrase"),
        (["--keystore", keystore], {"GAVEL_PASSPHRASE": ""}, "does not open"),
        ([], {}, "no private key"),
        (["--keystore", str(tmp_path / "none")], {"GAVEL_PASSPHRASE": ""}, "no key file"),
    ):
        error, said = _gavel("key", "address", *arguments, **environment)
        assert isinstance(error, GavelError)
        assert why in str(error)
        assert KEY.hex() not in str(error) + said


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o777])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    path.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        read_key_file(path)
    path.chmod(0o400)
    assert read_key_file(path) == KEY


def test_what_is_no_key_file_is_refused_without_repeating_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for content in (b"", b"0x12", b"\xff" * 64, b"z" * 64):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(GavelError) as caught:
            read_key_file(path)
        assert "zzzz" not in str(caught.value)
    path.write_bytes(b"0" * 70_000)
    with pytest.raises(MalformedError, match="more than"):
        read_key_file(path)
    with pytest.raises(MalformedError, match="not a regular file"):
        read_key_file(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"kdf": "none"},
        {"kdf": "scrypt", "kdfparams": {"n": 1 << 40, "r": 8, "p": 1, "dklen": 32, "salt": "00"}},
        {"kdf": "scrypt", "kdfparams": {"n": 2, "r": 1 << 40, "p": 1, "dklen": 32, "salt": "00"}},
        {"kdf": "scrypt", "kdfparams": {"n": 2, "r": 8, "p": 1 << 40, "dklen": 32, "salt": "00"}},
        {"kdf": "scrypt", "kdfparams": {"n": -1, "r": 8, "p": 1, "dklen": 32, "salt": "00"}},
        {"kdf": "scrypt", "kdfparams": {"n": "2", "r": 8, "p": 1, "dklen": 32, "salt": "00"}},
        {"kdfparams": {"c": 1 << 40, "dklen": 32, "prf": "hmac-sha256", "salt": "00"}},
        {"kdfparams": {}},
        {"kdfparams": 7},
        {"kdf": ["scrypt"]},
    ],
)
def test_keystores_that_ask_for_too_much_are_refused_before_they_are_opened(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = _cheap(tmp_path / "keystore", **changes)
    with pytest.raises(MalformedError, match="not a keystore"):
        read_keystore(path, _never)


def _never() -> str:
    raise AssertionError("the passphrase was asked for")


def test_files_that_are_no_keystores(tmp_path: Path) -> None:
    path = tmp_path / "keystore"
    for text in (
        "",
        "[]",
        "{}",
        '{"version": 3}',
        '{"version": 2}',
        "[" * 50_000,
        '{"version":3,"version":3}',
    ):
        path.write_text(text)
        with pytest.raises(MalformedError):
            read_keystore(path, _never)
    for part in ("ciphertext", "mac", "cipherparams"):
        store = json.loads(_cheap(path).read_text())
        for value in (None, "", "zz", 5, {}):
            store["crypto"][part] = value
            path.write_text(json.dumps(store))
            with pytest.raises(GavelError):
                read_keystore(path, lambda: "secret")
