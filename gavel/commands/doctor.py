"""`gavel doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from gavel.commands.shared import PATH, key_option, nodes_option, private_key
from protocol.errors import UnsupportedError

if TYPE_CHECKING:
    from gavel.doctor.findings import Finding

_COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


@click.command()
@nodes_option("Look at a node, a key and a deployment too; may be repeated.")
@click.option(
    "--deployment",
    type=PATH,
    default=Path("deployment.json"),
    show_default=True,
    help="File that `gavel deploy` wrote.",
)
@key_option
@click.option(
    "--folder", type=PATH, default=Path(), show_default=True, help="Where checkpoints would be written."
)
@click.option(
    "--model",
    metavar="MODULE:FUNCTION",
    help="Only say what of a training can be captured: every operator, every refusal with its line.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=4, show_default=True, help="Rows per step, with --model."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_context
def doctor(
    context: click.Context,
    rpc: str | None,
    deployment: Path,
    key_file: Path | None,
    folder: Path,
    model: str | None,
    batch: int,
    as_json: bool,
) -> None:
    """Check machine, node, key, contracts and numerics, and say what to do.

    Ends with 0, or with the exit status of the first failure's class (specs/errors.md). Nothing is sent, and
    no key is shown.
    """
    from gavel.doctor.findings import exit_code

    if model is not None:
        context.exit(_model(model, batch, as_json=as_json))
    findings = list(_findings(rpc, deployment, key_file, folder))
    code = exit_code(findings)
    if as_json:
        click.echo(json.dumps({"exit": code, "findings": [f.to_json() for f in findings]}, indent=2))
    else:
        _show(findings)
        if rpc is None:
            click.echo("node, key and contracts were not looked at: give --rpc")
    context.exit(code)


def _findings(rpc: str | None, deployment: Path, key_file: Path | None, folder: Path) -> Iterator[Finding]:
    from gavel.doctor.chain import check_chain
    from gavel.doctor.environment import check_environment
    from gavel.doctor.numerics import check_numerics
    from protocol.chain.artifacts import cache_folder

    yield from check_environment(folder, cache_folder())
    yield from check_numerics()
    if rpc is not None:
        yield from check_chain(rpc, deployment, lambda: private_key(key_file))


def _model(place: str, batch: int, *, as_json: bool) -> int:
    """Report on a training without doing any of it; the exit status."""
    from dataclasses import asdict

    from gavel.setup import load_setup
    from prover.capture import coverage

    setup = load_setup(place)
    report = coverage(
        module=setup.module,
        loss=setup.loss,
        optimizer=setup.optimizer,
        columns=setup.columns,
        batch=batch,
        scheduler=setup.scheduler,
        accumulate=setup.accumulate,
        after_backward=setup.after_backward,
        noise_seed=setup.noise_seed,
    )
    if as_json:
        operators = [asdict(use) for use in report.operators]
        refusals = [asdict(refusal) for refusal in report.refusals]
        found = {"supported": report.supported, "operators": operators, "refusals": refusals}
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo("\n".join(report.lines()))
    return 0 if report.supported else UnsupportedError.exit_code


def _show(findings: list[Finding]) -> None:
    table = Table("what", "", "found, and what to do")
    table.columns[2].overflow = "fold"
    for finding in findings:
        level = finding.level.value
        text = finding.detail + (f"\n-> {finding.advice}" if finding.advice else "")
        table.add_row(f"{finding.group}: {finding.name}", f"[{_COLOURS[level]}]{level}[/]", text)
    Console().print(table)
