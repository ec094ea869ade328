"""`gavel replay`."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TextIO

import click

from gavel.commands.shared import PATH


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
    type=click.File("w", lazy=True),
    default=None,
    metavar="FILE",
    help="Write one JSON line for each primitive computed; - for standard output.",
)
@click.option("--quiet", is_flag=True, help="Leave the story out.")
def replay(paths: tuple[Path, ...], rpc: str | None, trace: TextIO | None, quiet: bool) -> None:
    """Hold this implementation to fixtures: files, or folders of them such as specs/fixtures.

    Vectors and jobs are computed again by the reference; disputes are played on the contracts and on the pure
    model. Ends with 4 at the first thing that comes out otherwise, and names it.
    """
    from gavel.fixtures.replay import Replay, find
    from gavel.fixtures.table import embedded, node_at
    from gavel.fixtures.trace import Trace

    # The trace has standard output for itself.
    aside = trace is not None and trace.name in ("-", "<stdout>")

    def tell(line: str) -> None:
        if not quiet:
            click.echo(line, err=aside)

    found = find(paths)
    with ExitStack() as stack:
        player = stack.enter_context(
            closing(
                Replay(
                    connect=embedded() if rpc is None else node_at(rpc),
                    trace=Trace(trace),
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
