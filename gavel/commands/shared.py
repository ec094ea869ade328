"""What the commands share: options, keys, and how they read the chain."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from types import FrameType
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from protocol.chain.agent import Log
from protocol.chain.client import Client, read_key
from protocol.chain.deployment import Contracts, Deployment
from protocol.chain.fees import GWEI, Sending
from protocol.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

KEY_VARIABLE: Final = "GAVEL_KEY"
PASSPHRASE_VARIABLE: Final = "GAVEL_PASSPHRASE"  # noqa: S105  (a name)
_KEYSTORE: Final = "gavel.keystore"
_SENDING: Final = "gavel.sending"
PATH: Final = click.Path(path_type=Path)


def chain_options(command: Command) -> Command:
    """Add --rpc and --deployment."""
    return rpc_option(deployment_option(command))


def _joined(_context: click.Context, _parameter: click.Parameter, named: tuple[str, ...]) -> str | None:
    urls = " ".join(named).split()
    if named and not all(url.startswith(("http://", "https://")) for url in urls or [""]):
        raise click.BadParameter("write http:// or https:// and the node's address")
    if len(set(urls)) < len(urls):
        raise click.BadParameter("names a node twice, and compared with itself it tells nothing")
    return " ".join(urls) or None


def nodes_option(text: str, *, required: bool = False) -> Callable[[Command], Command]:
    """Return --rpc: one text, in which several URLs have spaces between them (A-20)."""
    return click.option(
        "--rpc",
        required=required,
        multiple=True,
        callback=_joined,
        envvar="GAVEL_RPC",
        metavar="URL",
        help=text,
    )


deployment_option: Final = click.option(
    "--deployment",
    type=PATH,
    default=Path("deployment.json"),
    show_default=True,
    help="File that `gavel deploy` wrote.",
)

rpc_option: Final = nodes_option(
    "JSON-RPC endpoint of the chain, also $GAVEL_RPC; repeat it for others to fall back on and compare with.",
    required=True,
)


def _keep_max_fee(context: click.Context, _parameter: click.Parameter, value: float) -> None:
    context.meta[_SENDING] = Sending(max_fee=int(value * GWEI))


def sending() -> Sending:
    """Fees as --max-fee limits them, for a command with `key_option`."""
    context = click.get_current_context(silent=True)
    found: Sending | None = context.meta.get(_SENDING) if context is not None else None
    return found or Sending()


def key_option(command: Command) -> Command:
    """Add --key-file, and --keystore and --max-fee, which `private_key` and `sending` look up."""
    for option in (
        click.option(
            "--max-fee",
            type=Real(min=0, min_open=True),
            default=Sending().max_fee / GWEI,
            show_default=True,
            metavar="GWEI",
            expose_value=False,
            callback=_keep_max_fee,
            help="Most that a transaction offers per gas; pending ones are raised up to it.",
        ),
        click.option(
            "--keystore",
            type=PATH,
            expose_value=False,
            callback=_keep_keystore,
            help=f"Encrypted keystore (`gavel key new`); passphrase: ${PASSPHRASE_VARIABLE}, or asked for.",
        ),
        click.option(
            "--key-file",
            type=PATH,
            default=None,
            help=f"File, readable by you alone, with the key as 0x and 64 digits; ${KEY_VARIABLE} otherwise.",
        ),
    ):
        command = option(command)
    return command


def _keep_keystore(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    context.meta[_KEYSTORE] = value


store_option: Final = click.option(
    "--store",
    default=None,
    metavar="URL",
    help="Folder or URL of checkpoints.  [default: FOLDER/checkpoints]",
)


class Real(click.FloatRange):
    """A number within bounds; not NaN, which no comparison refuses, and not infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it; the command line is refused unless it is one."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a number that can be counted with", param, ctx)
        return number


poll_option: Final = click.option(
    "--poll",
    type=Real(min=0.05),
    default=5.0,
    show_default=True,
    help="Seconds between two looks at the chain.",
)

once_option: Final = click.option(
    "--once", is_flag=True, help="Stop as soon as there is nothing to do, instead of waiting for more."
)

folder_argument: Final = click.argument("folder", type=click.Path(path_type=Path))


def key_is_named(key_file: Path | None) -> bool:
    """Whether there is a keystore, a file or a variable for `private_key` to read."""
    context = click.get_current_context(silent=True)
    keystore = context.meta.get(_KEYSTORE) if context is not None else None
    return keystore is not None or key_file is not None or bool(os.environ.get(KEY_VARIABLE))


def private_key(key_file: Path | None) -> bytes:
    """Return the key from the keystore, the file or the environment; a key is never an argument (K-6).

    Raises:
        UsageError: there is none or more than one, the passphrase is wrong, or others can read the file.
        MalformedError, StorageError: a file cannot be read.
        ChainError: it is not a key.
    """
    from gavel.keys import read_key_file, read_keystore

    context = click.get_current_context(silent=True)
    keystore: Path | None = context.meta.get(_KEYSTORE) if context is not None else None
    if keystore is not None and key_file is not None:
        raise UsageError("--keystore and --key-file are both given; name one")
    if keystore is not None:
        return read_keystore(keystore, passphrase)
    if key_file is not None:
        return read_key_file(key_file)
    text = os.environ.get(KEY_VARIABLE)
    if not text:
        raise UsageError(
            "no private key: name a keystore with --keystore or a file with --key-file, or set "
            f"{KEY_VARIABLE}"
        )
    return read_key(text)


def passphrase(*, new: bool = False) -> str:
    """Return the passphrase of a keystore from the environment, or ask for it.

    Args:
        new: it is for a new keystore: ask twice.

    Raises:
        UsageError: it is not in the environment, and there is no terminal to ask on.
    """
    text = os.environ.get(PASSPHRASE_VARIABLE)
    if text is not None:
        return text
    if not sys.stdin.isatty():
        raise UsageError(f"the keystore needs a passphrase: set {PASSPHRASE_VARIABLE}, or use a terminal")
    asked: str = click.prompt("passphrase", hide_input=True, confirmation_prompt=new, err=True)
    return asked


def connect(rpc: str, deployment: Path, key: bytes | None) -> Contracts:
    """Return the contracts of a deployment, bound to the account of a key, or to none for reading.

    Raises:
        MalformedError: the deployment file is not one.
        ChainError: the node does not answer, or is on another chain than the deployment.
    """
    where = Deployment.load(deployment)
    code = {str(getattr(where, name)): digest for name, digest in where.code.items()}
    client = Client.connect(rpc, key=key, chain_id=where.chain_id, code=code, sending=sending())
    client.tell(_warned)
    return Contracts.bind(client, where)


def _warned(text: str, /, *, level: str = "info", **_fields: object) -> None:
    """What a command that is no agent has to say of its nodes and transactions."""
    if level in ("warning", "error"):
        click.echo(f"gavel: {text}", err=True)


def logger(name: str) -> Log:
    """Return what prints one line with the actor's name to standard output, at once."""
    console = Console(soft_wrap=True)

    def log(text: str, /, *, level: str = "info", **fields: object) -> None:  # noqa: ARG001  (for people)
        console.print(f"{name}: {text}", highlight=False, markup=False)
        console.file.flush()

    return log


def stop_on_signals() -> Flag:
    """Return a flag that SIGINT and SIGTERM set, so that an agent ends between two moves."""
    flag = Flag()

    def stop(_number: int, _frame: FrameType | None) -> None:
        flag.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return flag
