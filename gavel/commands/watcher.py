"""`gavel watch`."""

from __future__ import annotations

from pathlib import Path

import click

from gavel.commands.shared import (
    chain_options,
    connect,
    folder_argument,
    key_option,
    logger,
    once_option,
    poll_option,
    private_key,
    stop_on_signals,
)


@click.command()
@folder_argument
@chain_options
@key_option
@poll_option
@once_option
def watch(folder: Path, rpc: str, deployment: Path, key_file: Path | None, poll: float, once: bool) -> None:
    """Replay every update of a job and dispute the wrong ones.

    Runs until it is interrupted. It keeps nothing: start it again at any time.
    """
    from challenger.agent import Watcher
    from gavel.jobs import make_executor
    from protocol.job_folder import JobFolder

    key = private_key(key_file)
    loaded = JobFolder.load(folder)
    watcher = Watcher(
        contracts=connect(rpc, deployment, key),
        folder=loaded,
        executor=make_executor(loaded),
        key=key,
        log=logger("watcher"),
    )
    if once:
        while watcher.step():
            pass
    else:
        watcher.run(poll=poll, stop=stop_on_signals())
