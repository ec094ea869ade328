"""`gavel fixtures`."""

from __future__ import annotations

from pathlib import Path

import click

from gavel.commands.shared import PATH
from protocol.errors import MismatchError


@click.group()
def fixtures() -> None:
    """Make the fixtures in specs/fixtures, which any implementation can be held to."""


@fixtures.command()
@click.option(
    "--out",
    type=PATH,
    default=Path("specs/fixtures"),
    show_default=True,
    help="Folder that they are in.",
)
@click.option(
    "--only", default="", metavar="NAME", help="Only those whose names begin so, such as numerics/."
)
@click.option("--check", is_flag=True, help="Write nothing; say which are stale, and end with 4 if any are.")
def fill(out: Path, only: str, check: bool) -> None:
    """Make every fixture anew, the same bytes each time, and the index over them."""
    from gavel.fixtures.fill import fill as make
    from gavel.fixtures.fill import stale, write
    from gavel.scenarios.table import write_tables

    made = make(out, only=only, progress=lambda line: click.echo(line, err=True))
    if not check:
        changed = write(out, made.files)
        click.echo(f"{len(made.files)} files in {out}, {changed} of them changed")
        if made.outcomes:
            write_tables(out.parent, made.outcomes)
        return
    problems = stale(out, made.files)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise MismatchError(
            f"{len(problems)} files in {out} are stale: if that is meant, raise the version in "
            "gavel/fixtures/format.py, run `gavel fixtures fill`, and commit"
        )
    click.echo(f"{len(made.files)} files in {out} are as they should be")
