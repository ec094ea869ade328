"""`gavel certify`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from gavel.commands.shared import PATH
from protocol.numerics.opcodes import SCALAR_FUNCTIONS


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--threads", type=click.IntRange(min=1), default=None, help="[default: one per core]")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Scan only each N-th piece of the words, for a quick look; nothing is proven or recorded.",
)
@click.option("--record", type=PATH, default=None, metavar="FOLDER", help="Write NAME.json there.")
def certify(names: tuple[str, ...], threads: int | None, sample: int, record: Path | None) -> None:
    """Check the fast kernel of scalar functions at every one of the 2^32 words.

    NAME is exp, log, tanh, ... or all. Each binary64 value is compared with a second evaluation that has a
    proven bound, each word with what that rounds to, and MPFR decides wherever that is not enough.
    """
    from protocol.errors import UsageError
    from protocol.files import trouble, written

    known = [op.name.lower() for op in SCALAR_FUNCTIONS]
    chosen = known if "all" in names else [name.lower() for name in names]
    unknown = sorted(set(chosen).difference(known))
    if unknown:
        raise UsageError(f"no scalar function {', '.join(unknown)}: there are {', '.join(known)}, and all")
    if record is not None and sample != 1:
        raise UsageError("a sample proves nothing, so it is not recorded: leave out --sample or --record")
    try:
        from gavel.certify.record import record_of
        from gavel.certify.run import ALL
        from gavel.certify.run import certify as run
    except ModuleNotFoundError as error:
        if error.name != "gmpy2":
            raise
        raise UsageError("certify needs MPFR: install it with `pip install gmpy2`") from error
    if record is not None:
        try:
            record.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise trouble(f"the folder {record} cannot be made", error) from error
    count = threads or os.cpu_count() or 1
    for name in dict.fromkeys(chosen):
        with click.progressbar(length=ALL, label=f"{name:8}", update_min_steps=1 << 24) as bar:
            result = run(name.upper(), threads=count, every=sample, progress=bar.update)
        where = ", ".join(f"0x{word:08x}" for _, word in result.nearest[:2])
        click.echo(
            f"{name}: {result.words:,} words right; values within {result.worst * 2.0**53:.2f} * 2^-53; "
            f"{result.near} decided by MPFR, {result.flagged} left to the reference; nearest to a boundary "
            f"2^{result.nearest[0][0]:.2f} ({where}); {result.seconds:.1f} s on {count} threads"
        )
        if record is not None:
            with written(record / f"{name}.json") as file:
                file.write((json.dumps(record_of(result, count), indent=2) + "\n").encode())
