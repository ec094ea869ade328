"""`gavel monitor`."""

from __future__ import annotations

from pathlib import Path

import click

from gavel.commands.logs import Attention, line_log, log_option
from gavel.commands.metering import metrics_option, start_metrics
from gavel.commands.shared import PATH, chain_options, connect, once_option, poll_option, stop_on_signals
from gavel.commands.stored import threads_option


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="FOLDER...")
@chain_options
@poll_option
@once_option
@log_option
@click.option(
    "--store",
    "stores",
    multiple=True,
    metavar="URL",
    help="Folder or URL with the last final state, to begin there and not at the start; may be repeated.",
)
@click.option(
    "--cache",
    type=PATH,
    help="Folder for states of one's own, so that a restart replays little. Safe to delete.",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="Replay segments side by side in so many processes, each from the state before it in a --store.  "
    "[default: one after the other, in this process]",
)
@threads_option
@metrics_option
def monitor(
    folders: tuple[Path, ...],
    rpc: str,
    deployment: Path,
    poll: float,
    once: bool,
    form: str,
    stores: tuple[str, ...],
    cache: Path | None,
    processes: int | None,
    threads: int,
    metrics: str | None,
) -> None:
    """Replay jobs, forecast every dispute, and say where the chain disagrees. Holds no key, sends nothing.

    WARNING: a side that is right is about to miss its time, or nobody disputes what is wrong. ERROR: the
    chain has come to another end than the replay, or is about to. With --once, the exit status is 9 if there
    was an ERROR.
    """
    from gavel.jobs import make_executor
    from gavel.monitor.agent import Monitor
    from gavel.pools import replaying
    from protocol.chain.agent import Turns, run
    from protocol.chain.court_view import ChainView
    from protocol.chain.log import Log
    from protocol.job_folder import JobFolder
    from prover.engine.checkpoints import store_of_job

    loaded = [JobFolder.load(folder) for folder in folders]
    attention = Attention()
    log = attention.log(line_log("monitor", form=form))
    contracts = connect(rpc, deployment, None)
    contracts.verify()
    view = ChainView(contracts)
    meter = start_metrics(
        metrics, contracts=contracts, view=view, account=None, log=log, poll=poll, everybody=True
    )
    agents: list[Turns] = []
    for path, job in {
        job.job.job_id: (path, job) for path, job in zip(folders, loaded, strict=True)
    }.values():
        name, listed = job.job.job_id, [store_of_job(job, url) for url in stores]
        said: Log = attention.log(line_log("monitor", form=form, job=name))
        if meter is not None:
            said = meter.log(said, job=name)
        kept, pool = replaying(
            path, job, cache=cache, processes=processes, stores=stores, threads=threads, log=said
        )
        agent = Monitor(
            metrics=None if meter is None else meter.metrics,
            contracts=contracts,
            folder=job,
            executor=make_executor(job, threads=threads),
            log=said,
            view=view,
            stores=listed,
            cache=kept,
            pool=pool,
            listed=listed,
        )
        said(f"follows job {name.hex()}, and sends nothing")
        agents.append(agent)
        if meter is not None:
            meter.follow(name, agent.patience, agent)
    if meter is not None:
        agents.append(meter)
    run(agents, poll=poll, stop=stop_on_signals(), log=log if meter is None else meter.log(log), once=once)
    if once:
        attention.check()
