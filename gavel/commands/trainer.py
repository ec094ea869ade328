"""`gavel train`, `gavel submit` and `gavel defend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    store_option,
)
from protocol.errors import UsageError

if TYPE_CHECKING:
    from protocol.game.trace import Hooks
    from protocol.job_folder import JobFolder

hooks_option = click.option(
    "--hooks",
    default=None,
    metavar="MODULE:FACTORY",
    help="For drills on a development chain: a function of the job folder that returns "
    "protocol.game.trace.Hooks, which depart from the program. Whoever uses it on a real job loses the bond.",
)


def _hooks(place: str | None, folder: JobFolder) -> Hooks:
    from gavel.setup import load_object
    from protocol.game.trace import HONEST, Hooks

    if place is None:
        return HONEST
    made = load_object(place)(folder)
    if not isinstance(made, Hooks):
        raise UsageError(f"{place!r} made {type(made).__name__}, not protocol.game.trace.Hooks")
    return made


@click.command()
@folder_argument
@chain_options
@key_option
@store_option
@hooks_option
@click.option("--segments", type=click.IntRange(1), required=True, help="How many to train.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="For large nodes.")
@click.option(
    "--lease/--no-lease",
    default=True,
    show_default=True,
    help="Take the job's lease, once the tip is replayed.",
)
def train(
    folder: Path,
    rpc: str,
    deployment: Path,
    key_file: Path | None,
    store: Path | None,
    hooks: str | None,
    segments: int,
    threads: int,
    lease: bool,
) -> None:
    """Train segments from the job's tip, or on from what is trained but not submitted yet, and store them.

    What it builds on is replayed, before the lease is taken, unless its state is stored. A crash loses at
    most the segment in work.
    """
    from gavel.jobs import make_executor
    from protocol.job_folder import JobFolder
    from prover.agent import TrainerAccount
    from prover.engine.checkpoints import store_of_job
    from prover.trainer import Trainer

    log = logger("trainer")
    loaded = JobFolder.load(folder)
    contracts = connect(rpc, deployment, private_key(key_file))
    contracts.verify()
    account = TrainerAccount(contracts=contracts, folder=loaded, log=log)
    checkpoints = store_of_job(loaded, store or folder / "checkpoints")
    first, root = account.tip()
    done = checkpoints.following(first, root)
    if done:
        first, root = done[-1].segments, done[-1].root
        log(f"goes on after segment {first}, stored but not submitted")
    trainer = Trainer(
        folder=loaded,
        executor=make_executor(loaded, threads=threads),
        store=checkpoints,
        hooks=_hooks(hooks, loaded),
    )
    ready = account.lease if lease else None
    for segment in trainer.train(first_segment=first, root=root, segments=segments, ready=ready):
        mean = sum(segment.losses) / len(segment.losses)
        log(
            f"segment {segment.number + 1} of {loaded.job.geometry.segments}: mean loss {mean:.4f}, "
            f"{segment.seconds:.2f} s, state {segment.root.hex()[:12]}"
        )


@click.command()
@folder_argument
@chain_options
@key_option
@store_option
@click.option(
    "--segments", type=click.IntRange(1), default=None, help="At most so many; all that are stored."
)
@click.option("--release", is_flag=True, help="Give the lease back afterwards.")
def submit(
    folder: Path,
    rpc: str,
    deployment: Path,
    key_file: Path | None,
    store: Path | None,
    segments: int | None,
    release: bool,
) -> None:
    """Post the trained segments that follow the job's tip as one update, with its bond."""
    from protocol.chain.moves import send_move
    from protocol.game.moves import Release
    from protocol.job_folder import JobFolder
    from prover.agent import TrainerAccount
    from prover.engine.checkpoints import store_of_job

    loaded = JobFolder.load(folder)
    contracts = connect(rpc, deployment, private_key(key_file))
    contracts.verify()
    log = logger("trainer")
    account = TrainerAccount(contracts=contracts, folder=loaded, log=log)
    first, root = account.tip()
    ready = store_of_job(loaded, store or folder / "checkpoints").following(first, root)
    geometry = loaded.job.geometry
    ready = ready[: min(segments or geometry.max_segments, geometry.max_segments)]
    if not ready:
        raise UsageError(
            f"no trained segment follows segment {first}, the job's tip; run `gavel train` first"
        )
    account.lease()
    account.post([checkpoint.root for checkpoint in ready])
    if release and first + len(ready) < geometry.segments:
        send_move(contracts, Release(job=loaded.job.job_id))
        log("gave the lease back")


@click.command()
@folder_argument
@chain_options
@key_option
@store_option
@hooks_option
@poll_option
@once_option
def defend(
    folder: Path,
    rpc: str,
    deployment: Path,
    key_file: Path | None,
    store: Path | None,
    hooks: str | None,
    poll: float,
    once: bool,
) -> None:
    """Answer disputes against own updates, and collect rewards and bonds when they are due.

    Runs until it is interrupted. It keeps nothing: start it again at any time.
    """
    from gavel.jobs import make_executor
    from protocol.job_folder import JobFolder
    from prover.agent import DefenderAgent
    from prover.engine.checkpoints import store_of_job

    loaded = JobFolder.load(folder)
    agent = DefenderAgent(
        contracts=connect(rpc, deployment, private_key(key_file)),
        folder=loaded,
        executor=make_executor(loaded),
        store=store_of_job(loaded, store or folder / "checkpoints"),
        log=logger("defender"),
        hooks=_hooks(hooks, loaded),
    )
    if once:
        while agent.step():
            pass
    else:
        agent.run(poll=poll, stop=stop_on_signals())
