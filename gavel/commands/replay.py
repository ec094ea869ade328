"""`gavel replay`."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TextIO

import click

from gavel.commands.shared import PATH
from protocol.files import trouble


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option(
    "--rpc",
    default=None,
    metavar="URL",
    help="Play disputes on a fresh development node (gavel devnet, anvil) instead of in this process. It is "
    "left as it was found.",
)
@click.option(
    "--trace",
    type=PATH,
    default=None,
    metavar="FILE",
    help="Write one JSON line for each primitive computed; - for standard output.",
)
@click.option("--quiet", is_flag=True, help="Leave the story out.")
def replay(paths: tuple[Path, ...], rpc: str | None, trace: Path | None, quiet: bool) -> None:
    """Hold this implementation to fixtures: files, or folders of them such as specs/fixtures.

    Vectors and jobs are computed again by the reference; disputes are played on the contracts and on the pure
    model. Ends with 4 at the first thing that comes out otherwise, and names it.
    """
    from gavel.fixtures.replay import Replay, find
    from gavel.fixtures.table import embedded, node_at
    from gavel.fixtures.trace import Trace

    # The trace has standard output for itself.
    aside = trace == Path("-")

    def tell(line: str) -> None:
        if not quiet:
            click.echo(line, err=aside)

    found = find(paths)
    with ExitStack() as stack:
        lines = None if trace is None else _lines(trace, stack)
        player = stack.enter_context(
            closing(
                Replay(
                    connect=embedded() if rpc is None else node_at(rpc),
                    trace=Trace(lines),
                    tell=tell,
                )
            )
        )
        for file in found:
            player.play(file)
    tally = player.tally
    what = {"vectors": "cases", "job": "steps", "dispute": "steps"}
    parts = [f"{kind} {n} ({tally.parts[kind]:,} {what[kind]})" for kind, n in sorted(tally.files.items())]
    agree = "fixture agrees" if len(found) == 1 else "fixtures agree"
    click.echo(f"{len(found)} {agree}: {', '.join(parts)}", err=aside)


def _lines(path: Path, stack: ExitStack) -> TextIO:
    """Open a trace until the stack unwinds; it grows line by line, and is kept where a replay differs.

    Raises:
        StorageError: it cannot be written.
    """
    if path == Path("-"):
        return sys.stdout
    try:
        return stack.enter_context(path.open("w", encoding="utf-8"))
    except OSError as error:
        raise trouble(f"the trace {path} cannot be written", error) from error
