"""`gavel key`."""

from __future__ import annotations

from pathlib import Path

import click

from gavel.commands.shared import PATH, key_option, logger, passphrase, private_key


@click.group()
def key() -> None:
    """Make an encrypted keystore; see the address of a key."""


@key.command()
@click.argument("file", type=PATH)
def new(file: Path) -> None:
    """Make a new key in an encrypted keystore FILE.

    The passphrase comes from GAVEL_PASSPHRASE or is asked for. Whoever loses either has lost the key.
    """
    from gavel.keys import make_keystore

    logger("key")(f"{make_keystore(file, passphrase(new=True))} in {file}")


@key.command(name="import")
@click.argument("file", type=PATH)
@key_option
def import_(file: Path, key_file: Path | None) -> None:
    """Put the key of GAVEL_KEY, or of --key-file, into an encrypted keystore FILE."""
    from gavel.keys import make_keystore

    secret = private_key(key_file)
    logger("key")(f"{make_keystore(file, passphrase(new=True), secret)} in {file}")


@key.command()
@key_option
def address(key_file: Path | None) -> None:
    """Print the address of the key that the other commands would use."""
    from eth_account import Account

    click.echo(Account.from_key(private_key(key_file)).address)
