"""`gavel verify`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from gavel.commands.shared import folder_argument, logger
from gavel.commands.stored import device_option, open_stores, steps_shown, stores_option, threads_option
from protocol.errors import UsageError

_RANGE = re.compile(r"(\d*):(\d*)")


@click.command()
@folder_argument
@stores_option
@click.option(
    "--segments", metavar="A:B", help="Segments A to B, from 1, both included; either may be left out."
)
@threads_option
@device_option
def verify(
    folder: Path, stores: tuple[str, ...], segments: str | None, threads: int, device: str | None
) -> None:
    """Check checkpoints against a job, without a chain.

    Every stored state has to hash to its name, and to be what a replay of its segment gives. Ends at the
    first wrong one with exit status 4, naming segment, slot and word, and the step that recorded losses point
    at.
    """
    from gavel.jobs import make_executor
    from gavel.verifying import Verifier
    from protocol.job_folder import JobFolder

    log = logger("verify")
    loaded = JobFolder.load(folder)
    wanted = None if segments is None else _segments(segments, loaded.job.geometry.segments)
    with steps_shown("replaying") as progress:
        verifier = Verifier(
            loaded,
            make_executor(loaded, threads=threads, device=device),
            open_stores(loaded, folder, stores),
            log=log,
            progress=progress,
        )
        done = verifier.verify(wanted)
    first, last = done.segments.start + 1, done.segments.stop
    since = "the stored state before it" if done.trusted else "the job's genesis state"
    log(f"segments {first} to {last} of {loaded.job.geometry.segments} are right, replayed from {since}")
    log(f"{done.stored} stored states compared, {len(done.gaps)} segments without one")


def _segments(text: str, total: int) -> range:
    match = _RANGE.fullmatch(text)
    first, last = (int(match[1] or 1), int(match[2] or total)) if match else (0, 0)
    if not 1 <= first <= last <= total:
        raise UsageError(
            f"--segments {text!r} is no range of segments from 1 to {total}; write A:B, such as 1:{total}"
        )
    return range(first - 1, last)
