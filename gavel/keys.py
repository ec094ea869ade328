"""Private keys at rest: encrypted keystores, and files that nobody else can read (trainer.md, K-6)."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from eth_account import Account

from protocol.chain.client import read_key
from protocol.errors import MalformedError, UsageError
from protocol.files import read_file, written
from protocol.wire import read_json

MAX_KEYSTORE: Final = 1 << 16
"""Bytes."""

MAX_MEMORY: Final = 1 << 30
"""Bytes that scrypt may ask for: 128 * n * r."""

MAX_ROUNDS: Final = 1 << 24
"""Of PBKDF2."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read_key_file(path: Path) -> bytes:
    """Return the key in a plain file: 0x and 64 digits.

    Raises:
        UsageError: there is none, or others than the owner may read it.
        MalformedError, StorageError: it cannot be read.
        ChainError: it holds no key.
    """
    data = _content(path)
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & _OTHERS:
        raise UsageError(
            f"the key file {path} can be read by others (mode {mode:04o}), so nothing is sent with its key; "
            f"run `chmod 600 {path}`, and use another key if somebody may have seen this one"
        )
    return read_key(data.decode(errors="replace"))


def read_keystore(path: Path, passphrase: Callable[[], str]) -> bytes:
    """Return the key in an encrypted keystore (web3 secret storage, version 3).

    Args:
        passphrase: asked for once the file is found to be a keystore.

    Raises:
        MalformedError: it is not a keystore, or asks for more work than any honest one.
        UsageError: there is none, or the passphrase does not open it.
        StorageError: it cannot be read.
    """
    store = read_json(_content(path), what=str(path), limit=MAX_KEYSTORE)
    try:
        _check(store)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MalformedError(
            f"{path} is not a keystore of version 3 that gavel opens ({error}); make one with `gavel key new`"
        ) from error
    secret = passphrase()
    try:
        return bytes(Account.decrypt(store, secret))
    except ValueError as error:
        raise UsageError(f"the passphrase does not open {path} ({error}); try again") from error
    except (LookupError, TypeError, NotImplementedError, AttributeError) as error:
        raise MalformedError(f"{path} is not a whole keystore ({error!r}); use a copy") from error


def make_keystore(path: Path, passphrase: str, key: bytes | None = None) -> str:
    """Write a keystore for a key, a new one unless given, and return the address.

    Raises:
        UsageError: there is a file already, or the passphrase is empty.
        StorageError: it cannot be written.
    """
    if path.exists():
        raise UsageError(f"{path} is there already; name a new file: a key that is overwritten is lost")
    if not passphrase:
        raise UsageError("the passphrase is empty, so it would protect nothing; choose another")
    account = Account.create() if key is None else Account.from_key(key)
    content = json.dumps(Account.encrypt(account.key, passphrase), indent=2) + "\n"
    with written(path, private=True) as file:
        file.write(content.encode())
    return str(account.address)


def _content(path: Path) -> bytes:
    if not path.exists():
        raise UsageError(f"there is no key file {path}; name the file that holds the key")
    return read_file(path, limit=MAX_KEYSTORE)


def _check(store: Any) -> None:
    if not isinstance(store, dict) or store["version"] != 3:
        raise ValueError("its version is not 3")
    crypto = {name.lower(): value for name, value in store.items()}["crypto"]
    parameters: Mapping[str, Any] = crypto["kdfparams"]
    if crypto["kdf"] == "scrypt":
        n, r, p = (_number(parameters, name) for name in ("n", "r", "p"))
        if 128 * n * r > MAX_MEMORY or p > 16:
            raise ValueError(f"scrypt with n = {n}, r = {r}, p = {p} asks for too much memory")
    elif crypto["kdf"] == "pbkdf2":
        if _number(parameters, "c") > MAX_ROUNDS:
            raise ValueError(f"PBKDF2 with {parameters['c']} rounds takes too long")
    else:
        raise ValueError(f"key derivation {crypto['kdf']!r:.40}")


def _number(parameters: Mapping[str, Any], name: str) -> int:
    value = parameters[name]
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} is {value!r:.40}")
    return value
