"""`gavel quote`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gavel.commands.shared import chain_options, connect, folder_argument, store_option
from gavel.commands.stored import threads_option

_COLOURS = {"info": "green", "warning": "yellow", "error": "bold red"}


@click.command()
@folder_argument
@chain_options
@store_option
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def quote(folder: Path, rpc: str, deployment: Path, store: str | None, threads: int, as_json: bool) -> None:
    """Say what training the rest of a job will cost, pay and risk on this machine.

    It runs some steps of the job to measure them, and reads the chain. It sends nothing and needs no key.
    Amounts are in the token's smallest unit.
    """
    from gavel.jobs import make_executor
    from gavel.quote import make_quote
    from protocol.job_folder import JobFolder
    from prover.engine.checkpoints import store_of_job

    loaded = JobFolder.load(folder)
    contracts = connect(rpc, deployment, None)
    contracts.verify(loaded.job)
    made = make_quote(
        contracts,
        loaded,
        make_executor(loaded, threads=threads),
        store_of_job(loaded, store or folder / "checkpoints"),
    )
    if as_json:
        click.echo(json.dumps(made.to_json(), indent=2))
        return
    console, table = Console(), Table("what", "value", title=f"job 0x{made.job}", title_justify="left")
    table.columns[1].overflow = "fold"
    for what, value in made.rows():
        table.add_row(what, value)
    for finding in made.findings:
        colour = _COLOURS[finding.level]
        table.add_row(f"[{colour}]{finding.level}[/{colour}]", finding.text)
    console.print(table)
