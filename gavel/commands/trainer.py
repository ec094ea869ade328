"""`gavel train`, `gavel submit`, `gavel defend`, and `gavel trainer run`, which is the three in one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gavel.commands.logs import line_log, log_option
from gavel.commands.metering import metrics_option, start_metrics
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
from gavel.commands.sharing import follow, processes_option, rendezvous_option, shared_executor
from gavel.commands.stored import device_option, steps_shown, threads_option
from protocol.errors import GavelError, UsageError

if TYPE_CHECKING:
    from gavel.metrics.meter import Meter
    from protocol.chain.agent import Log
    from protocol.chain.deployment import Contracts
    from protocol.game.trace import Hooks
    from protocol.job_folder import JobFolder
    from prover.agent import TrainerAccount
    from prover.trainer import Given

hooks_option = click.option(
    "--hooks",
    default=None,
    metavar="MODULE:FACTORY",
    help="For drills on a development chain: a function of the job folder that returns "
    "protocol.game.trace.Hooks, which depart from the program. Whoever uses it on a real job loses the bond.",
)

state_option = click.option(
    "--state",
    default=None,
    metavar="FILE|URL",
    help="Take the state to train from out of this file or store, instead of replaying what leads to it.",
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


def _given(url: str | None, folder: JobFolder, account: TrainerAccount, log: Log) -> Given:
    """The state of the tip, from where the user says (K-1); looked at before anything is sent."""
    from prover.engine.checkpoints import given_state

    if url is None:
        return lambda _root: None
    segments, root = account.tip()
    given = {root: given_state(folder, url, root)}
    log(
        f"takes the state after {segments} segments from {url}, not replayed: if what leads to it is wrong, "
        "what is built on it earns nothing",
        level="warning",
    )
    return given.get


def _unreadable(log: Log, error: GavelError) -> None:
    log(f"{error}; replays it instead", level="warning")


def _metered(
    log: Log, place: str | None, contracts: Contracts, folder: JobFolder, *, poll: float
) -> tuple[Log, list[Meter]]:
    """Return a log whose lines are counted, and what takes its turn to look at the chain, if metrics are
    served at some place.
    """
    from protocol.chain.court_view import ChainView

    meter = start_metrics(
        place,
        contracts=contracts,
        view=ChainView(contracts),
        account=contracts.account,
        log=log,
        poll=poll,
    )
    if meter is None:
        return log, []
    meter.follow(folder.job.job_id, folder.job.clocks.response / 4)
    return meter.log(log, job=folder.job.job_id), [meter]


@click.command()
@folder_argument
@chain_options
@key_option
@store_option
@hooks_option
@state_option
@threads_option
@device_option
@processes_option
@rendezvous_option
@click.option("--segments", type=click.IntRange(1), required=True, help="How many to train.")
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
    store: str | None,
    hooks: str | None,
    state: str | None,
    threads: int,
    device: str | None,
    processes: int,
    rendezvous: str | None,
    segments: int,
    lease: bool,
) -> None:
    """Train segments from the job's tip, or on from what is trained but not submitted yet, and store them.

    What it builds on is replayed, before the lease is taken, unless its state is stored or given.
    Interrupt it at any time: run again, it goes on after the last stored segment, to the same bits.
    """
    from protocol.job_folder import JobFolder
    from prover.agent import TrainerAccount
    from prover.engine.checkpoints import store_of_job
    from prover.trainer import Segment, Trainer

    log = logger("trainer")
    loaded = JobFolder.load(folder)
    contracts = connect(rpc, deployment, private_key(key_file))
    contracts.verify(loaded.job)
    account = TrainerAccount(contracts=contracts, folder=loaded, log=log)
    given = _given(state, loaded, account, log)
    checkpoints = store_of_job(loaded, store or folder / "checkpoints")
    first, root = account.tip()
    done = checkpoints.following(first, root)
    if done:
        first, root = done[-1].segments, done[-1].root
        log(f"goes on after segment {first}, stored but not submitted")
    shared = shared_executor(
        folder,
        loaded,
        threads=threads,
        device=device,
        processes=processes,
        rendezvous=rendezvous,
        log=log,
    )
    trainer = Trainer(
        folder=loaded,
        executor=click.get_current_context().with_resource(shared),
        store=checkpoints,
        hooks=_hooks(hooks, loaded),
        given=given,
        report=partial(_unreadable, log),
    )
    geometry = loaded.job.geometry
    steps = sum(
        geometry.steps_of(number) for number in range(first, min(first + segments, geometry.segments))
    )
    with steps_shown("training") as progress:
        for at in trainer.work(
            first_segment=first, root=root, segments=segments, ready=account.lease if lease else None
        ):
            if isinstance(at, Segment):
                log(f"{at.line(geometry.segments)}, state {at.root.hex()[:12]}")
            elif not at.replayed:
                progress(at.number + 1 - first * geometry.stride, steps)
            elif at.number % geometry.stride == 0:
                log(f"replays segment {at.number // geometry.stride + 1}, which it builds on")


@click.command()
@folder_argument
@chain_options
@key_option
@store_option
@click.option(
    "--segments",
    type=click.IntRange(1),
    default=None,
    help="At most so many.  [default: all that are stored]",
)
@click.option("--release", is_flag=True, help="Give the lease back afterwards.")
def submit(
    folder: Path,
    rpc: str,
    deployment: Path,
    key_file: Path | None,
    store: str | None,
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
    contracts.verify(loaded.job)
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
@log_option
@metrics_option
def defend(
    folder: Path,
    rpc: str,
    deployment: Path,
    key_file: Path | None,
    store: str | None,
    hooks: str | None,
    poll: float,
    once: bool,
    form: str,
    metrics: str | None,
) -> None:
    """Answer disputes against own updates, show their pages, collect rewards and bonds when they are due.

    Runs until it is interrupted. It keeps nothing: start it again at any time.
    """
    from gavel.jobs import make_executor
    from gavel.pages import pages_of_trainer
    from protocol.chain.agent import run as take_turns
    from protocol.job_folder import JobFolder
    from prover.agent import DefenderAgent
    from prover.engine.checkpoints import store_of_job

    loaded = JobFolder.load(folder)
    contracts = connect(rpc, deployment, private_key(key_file))
    log, metering = _metered(line_log("defender", form=form), metrics, contracts, loaded, poll=poll)
    checkpoints = store_of_job(loaded, store or folder / "checkpoints")
    agent = DefenderAgent(
        contracts=contracts,
        folder=loaded,
        executor=make_executor(loaded),
        store=checkpoints,
        log=log,
        hooks=_hooks(hooks, loaded),
    )
    showing = pages_of_trainer(agent, contracts, loaded, store=checkpoints, log=log)
    take_turns([agent, *showing, *metering], poll=poll, stop=stop_on_signals(), log=log, once=once)


@click.group()
def trainer() -> None:
    """Train, post, defend and collect in one process; share its steps among several."""


trainer.add_command(follow)


@trainer.command()
@folder_argument
@chain_options
@key_option
@store_option
@hooks_option
@state_option
@threads_option
@device_option
@processes_option
@rendezvous_option
@poll_option
@log_option
@click.option(
    "--segments", type=click.IntRange(1), default=None, help="Post so many.  [default: all that are left]"
)
@click.option(
    "--per-update",
    type=click.IntRange(1),
    default=None,
    help="Segments in an update.  [default: as many as the job allows]",
)
@metrics_option
def run(
    folder: Path,
    rpc: str,
    deployment: Path,
    key_file: Path | None,
    store: str | None,
    hooks: str | None,
    state: str | None,
    threads: int,
    device: str | None,
    processes: int,
    rendezvous: str | None,
    poll: float,
    segments: int | None,
    per_update: int | None,
    form: str,
    metrics: str | None,
) -> None:
    """Train, submit and defend until the job, or what was ordered, is done and collected.

    Between two steps of training it looks whether a dispute is to be answered. Interrupt it at any time: run
    again, it goes on from the chain and the store (specs/trainer.md, K-2 to K-4).
    """
    from gavel.pages import pages_of_trainer
    from protocol.chain.agent import run as take_turns
    from protocol.job_folder import JobFolder
    from prover.agent import DefenderAgent, TrainerAccount
    from prover.engine.checkpoints import store_of_job
    from prover.trainer import Trainer
    from prover.training import TrainingAgent

    stop, loaded = stop_on_signals(), JobFolder.load(folder)
    contracts = connect(rpc, deployment, private_key(key_file))
    log, metering = _metered(line_log("trainer", form=form), metrics, contracts, loaded, poll=poll)
    account = TrainerAccount(contracts=contracts, folder=loaded, log=log)
    checkpoints = store_of_job(loaded, store or folder / "checkpoints")
    shared = shared_executor(
        folder,
        loaded,
        threads=threads,
        device=device,
        processes=processes,
        rendezvous=rendezvous,
        log=log,
    )
    executor, departs = click.get_current_context().with_resource(shared), _hooks(hooks, loaded)
    defender = DefenderAgent(
        contracts=contracts, folder=loaded, executor=executor, store=checkpoints, log=log, hooks=departs
    )
    training = TrainingAgent(
        contracts=contracts,
        folder=loaded,
        trainer=Trainer(
            folder=loaded,
            executor=executor,
            store=checkpoints,
            hooks=departs,
            given=_given(state, loaded, account, log),
            report=partial(_unreadable, log),
        ),
        store=checkpoints,
        log=log,
        per_update=per_update,
        segments=segments,
        slice_seconds=poll,
        finished=stop.set,
    )
    showing = pages_of_trainer(defender, contracts, loaded, store=checkpoints, log=log)
    take_turns([defender, *showing, training, *metering], poll=poll, stop=stop, log=log)
    log(training.epilogue())
