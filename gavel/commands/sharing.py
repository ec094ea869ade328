"""`gavel trainer follow`, and what lets a training share its steps among processes (trainer.md, K-7)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gavel.commands.shared import folder_argument, logger
from gavel.commands.stored import device_option, threads_option
from protocol.errors import UsageError

if TYPE_CHECKING:
    from protocol.chain.log import Log
    from protocol.job_folder import JobFolder
    from prover.engine.executor import Executor

ENDING: Final = 10.0
"""Seconds that a process has to end after it is told to."""

_SHARE: Final = re.compile(r"(\d+)/(\d+)")

processes_option: Final = click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Share each step among so many processes; the bits are the same.",
)

rendezvous_option: Final = click.option(
    "--rendezvous",
    default=None,
    metavar="tcp://HOST:PORT",
    help="With --processes: start none here, but meet those that `gavel trainer follow` starts elsewhere, "
    "at this address of this machine. Only for a network of your own: whoever reaches it can falsify your "
    "training.",
)


@contextmanager
def shared_executor(
    path: Path,
    folder: JobFolder,
    *,
    threads: int,
    device: str | None,
    processes: int,
    rendezvous: str | None,
    log: Log,
) -> Iterator[Executor]:
    """Prepare a job in this process, or as the first of several, which end with it.

    Args:
        path: of the job folder, for the others.
        processes, rendezvous: as the options.

    Raises:
        UsageError: a rendezvous for one process.
        PeerError: the others did not come.
    """
    from prover.engine.prepare import executor_of_job

    if processes == 1:
        if rendezvous is not None:
            raise UsageError("--rendezvous is where several processes meet; say how many with --processes")
        yield executor_of_job(folder, threads=threads, device=device)
        return
    from prover.sharding.executor import SharedExecutor
    from prover.sharding.group import Group, Place, free_address

    address = rendezvous or free_address()
    ranks = range(2, processes + 1) if rendezvous is None else ()
    others = [_started(path, f"{rank}/{processes}", address, threads, device) for rank in ranks]
    try:
        if rendezvous is not None:
            log(f"waits at {address} for `gavel trainer follow FOLDER --share 2/{processes}` and so on")
        group = Group(Place(rank=0, world=processes, rendezvous=address))
        executor = SharedExecutor(folder, group, threads=threads, device=device)
        counts = executor.plan.counts()
        log(
            f"shares each step among {processes} processes: {counts['local']} nodes by rows of the batch, "
            f"{counts['combined']} sums by terms, {counts['whole']} computed by all; "
            f"{counts['gathered']} gathered"
        )
        try:
            yield executor
        finally:
            executor.close()
    finally:
        for other in others:
            with suppress(subprocess.TimeoutExpired):
                other.wait(ENDING)
            other.kill()


def _started(
    path: Path, share: str, address: str, threads: int, device: str | None
) -> subprocess.Popen[bytes]:
    """A process of this machine; interrupting this one from the terminal does not reach it."""
    command = [sys.executable, "-m", "gavel", "trainer", "follow", str(path), "--share", share]
    command += ["--rendezvous", address, "--threads", str(threads)]
    command += [] if device is None else ["--device", device]
    return subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)


@click.command()
@folder_argument
@click.option(
    "--share",
    required=True,
    metavar="K/N",
    help="Which of the N processes this is; 1 is the one that trains.",
)
@click.option("--rendezvous", required=True, metavar="tcp://HOST:PORT", help="Where the first one waits.")
@threads_option
@device_option
def follow(folder: Path, share: str, rendezvous: str, threads: int, device: str | None) -> None:
    """Compute a share of the steps of `gavel train --processes N` or `gavel trainer run --processes N`.

    Needs the job folder and no key. It ends with the process that trains.
    """
    from protocol.job_folder import JobFolder
    from prover.sharding.executor import follow as work
    from prover.sharding.group import Group, Place

    numbers = _SHARE.fullmatch(share)
    if numbers is None or not 2 <= int(numbers[1]) <= int(numbers[2]):
        raise UsageError(f"--share {share!r}: write K/N, such as 2/3, with K from 2 to N")
    rank, world = int(numbers[1]) - 1, int(numbers[2])
    loaded = JobFolder.load(folder)
    group = Group(Place(rank=rank, world=world, rendezvous=rendezvous))
    done = work(loaded, group, threads=threads, device=device)
    logger("trainer")(f"process {share}: did its share of {done} steps")
