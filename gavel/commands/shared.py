"""What the commands share: options, keys, and how they read the chain."""

from __future__ import annotations

import os
import signal
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
from protocol.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

KEY_VARIABLE: Final = "GAVEL_KEY"
PATH: Final = click.Path(path_type=Path)


def chain_options(command: Command) -> Command:
    """Add --rpc and --deployment."""
    for option in (
        click.option(
            "--deployment",
            type=PATH,
            default=Path("deployment.json"),
            show_default=True,
            help="File that `gavel deploy` wrote.",
        ),
        rpc_option,
    ):
        command = option(command)
    return command


rpc_option: Final = click.option(
    "--rpc",
    required=True,
    envvar="GAVEL_RPC",
    metavar="URL",
    help="JSON-RPC endpoint of the chain, also $GAVEL_RPC.",
)

key_option: Final = click.option(
    "--key-file",
    type=PATH,
    default=None,
    help=f"File with the private key as 0x and 64 digits; ${KEY_VARIABLE} otherwise.",
)

store_option: Final = click.option(
    "--store",
    default=None,
    metavar="URL",
    help="Folder or URL of checkpoints.  [default: FOLDER/checkpoints]",
)

poll_option: Final = click.option(
    "--poll", type=click.FloatRange(min=0.05), default=5.0, show_default=True, help="Seconds between looks."
)

once_option: Final = click.option(
    "--once", is_flag=True, help="Stop as soon as there is nothing to send, instead of waiting for more."
)

folder_argument: Final = click.argument("folder", type=click.Path(path_type=Path))


def private_key(key_file: Path | None) -> bytes:
    """Return the key from the file or the environment; a key is never an argument.

    Raises:
        UsageError: there is none, or the file cannot be read.
        ChainError: it is not a key.
    """
    if key_file is not None:
        try:
            return read_key(key_file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the key file {key_file} cannot be read: {error}") from error
    text = os.environ.get(KEY_VARIABLE)
    if not text:
        raise UsageError(f"no private key: set {KEY_VARIABLE}, or name a file with --key-file")
    return read_key(text)


def connect(rpc: str, deployment: Path, key: bytes | None) -> Contracts:
    """Return the contracts of a deployment, bound to the account of a key, or to none for reading.

    Raises:
        MalformedError: the deployment file is not one.
        ChainError: the node does not answer, or is on another chain than the deployment.
    """
    where = Deployment.load(deployment)
    return Contracts.bind(Client.connect(rpc, key=key, chain_id=where.chain_id), where)


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
