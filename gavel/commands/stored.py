"""What `gavel job fetch` and `gavel verify` share: stores to read from, and a replay's progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from protocol.checkpoints import CheckpointStore
    from protocol.job_folder import JobFolder

stores_option: Final = click.option(
    "--store",
    "stores",
    multiple=True,
    metavar="URL",
    help="Folder or URL of checkpoints; may be repeated, asked in this order.  [default: FOLDER/checkpoints]",
)

threads_option: Final = click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Threads for large operations of a replay.",
)

device_option: Final = click.option(
    "--device",
    metavar="DEVICE",
    help="Multiply matrices by torch on this device, such as cuda; the bits are the same.",
)


def open_stores(loaded: JobFolder, folder: Path, stores: tuple[str, ...]) -> list[CheckpointStore]:
    """Return the named stores of a job, or the one in its folder. Raises UsageError for an unknown URL."""
    from prover.engine.checkpoints import store_of_job

    return [store_of_job(loaded, url) for url in stores or (folder / "checkpoints",)]


@contextmanager
def steps_shown(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of steps on a terminal's standard error once the first one is told; elsewhere nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
