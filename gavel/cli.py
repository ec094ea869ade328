"""The command line: `gavel`."""

from __future__ import annotations

import sys
from importlib.metadata import version

import click

from gavel.commands.certify import certify
from gavel.commands.chain import deploy, devnet
from gavel.commands.demo import demo
from gavel.commands.job import job, status
from gavel.commands.trainer import defend, submit, train
from gavel.commands.watcher import watch
from protocol.errors import GavelError

FAILED = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("gavel"))
def cli() -> None:
    """Optimistic fraud proofs for machine-learning training."""


for command in (certify, demo, devnet, deploy, job, train, submit, defend, watch, status):
    cli.add_command(command)


def main() -> None:
    """Run a command. A GavelError ends in one message on standard error and exit status 2."""
    try:
        cli()
    except GavelError as error:
        click.echo(f"gavel: {error}", err=True)
        sys.exit(FAILED)
