"""`gavel watch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gavel.commands.logs import line_log, log_option
from gavel.commands.shared import (
    PATH,
    Real,
    chain_options,
    connect,
    key_is_named,
    key_option,
    once_option,
    poll_option,
    private_key,
    stop_on_signals,
)
from protocol.errors import UsageError

if TYPE_CHECKING:
    from protocol.chain.agent import Agent, Log
    from protocol.job_folder import JobFolder

MOST_CONFIRMATIONS = 64
"""Nodes that are no archives answer for the last 128 blocks."""


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="FOLDER...")
@chain_options
@key_option
@poll_option
@once_option
@log_option
@click.option(
    "--confirmations",
    type=click.IntRange(0, MOST_CONFIRMATIONS),
    default=0,
    show_default=True,
    help="Decide from the chain as it was so many blocks below its head.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing; say what would be sent. Needs no key.")
@click.option("--account", metavar="ADDRESS", help="With --dry-run and no key: whom to look as.")
@click.option(
    "--store",
    "stores",
    multiple=True,
    metavar="URL",
    help="Folder or URL with states of the job: with the last final one it begins there and not at the "
    "start, with all of them --processes work side by side. May be repeated.",
)
@click.option(
    "--cache",
    type=PATH,
    help="Folder for states of one's own, so that a restart replays little. Safe to delete.",
)
@click.option(
    "--cache-size",
    type=Real(min=0.0, min_open=True),
    metavar="GIB",
    help="What the states in the cache may take, for each job.  [default: 4]",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="Replay segments side by side in so many processes, each from the state before it in a --store, "
    "what looks suspect first.  [default: one after the other, in this process]",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Replay on a Ray cluster: HOST:PORT, ray://HOST:PORT, auto, or local. Needs the extra `ray`. Only "
    "a cluster of your own: its nodes can run code in this process.",
)
@click.option(
    "--direct",
    is_flag=True,
    help="Open disputes without reserving them first: one transaction less. Only where nobody sees your "
    "transactions before they are mined; a copier that is mined first takes the bounty.",
)
@click.option(
    "--defend",
    is_flag=True,
    help="Also answer for updates that the replay confirms, where their trainer is silent. Each answer to "
    "a demand locks a defence bond, which comes back.",
)
@click.option(
    "--defend-limit",
    type=click.IntRange(1),
    metavar="TOKENS",
    help="Most tokens held in defence bonds at a time, for each job, in the smallest unit.  [default: any]",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="For large nodes.")
@click.option(
    "--measure/--no-measure",
    default=True,
    show_default=True,
    help="Say at the start whether this machine keeps up with each job.",
)
def watch(
    folders: tuple[Path, ...],
    rpc: str,
    deployment: Path,
    key_file: Path | None,
    poll: float,
    once: bool,
    form: str,
    confirmations: int,
    dry_run: bool,
    account: str | None,
    stores: tuple[str, ...],
    cache: Path | None,
    cache_size: float | None,
    processes: int | None,
    ray: str | None,
    direct: bool,
    defend: bool,
    defend_limit: int | None,
    threads: int,
    measure: bool,
) -> None:
    """Replay every update of one or several jobs and dispute the wrong ones.

    Each FOLDER is a job as `gavel job new` wrote it. Runs until it is interrupted. It keeps nothing that it
    needs: start it again at any time. A line of level ERROR asks for an operator.
    """
    from challenger.agent import Watcher
    from challenger.ledger import Ledger
    from challenger.pace import Machine, block_time, check_confirmations
    from gavel.guarding import guards_of
    from gavel.jobs import make_executor
    from gavel.pools import cache_of, pool_of
    from protocol.chain.agent import run
    from protocol.chain.court_view import ChainView
    from protocol.job_folder import JobFolder
    from prover.engine.checkpoints import store_of_job

    looked = read_address(account)
    key = _key(key_file, dry_run=dry_run, account=account)
    log = line_log("watcher", form=form)
    jobs = _distinct([JobFolder.load(folder) for folder in folders], folders)
    contracts = connect(rpc, deployment, key)
    contracts.verify()
    if confirmations:
        seconds = block_time(contracts.client)
        for job in jobs:
            finding = check_confirmations(confirmations, seconds, job.job.clocks)
            if finding is not None:
                log(finding.text, level=finding.level, job=job.job.job_id)
    view = ChainView(contracts, confirmations=confirmations, progress=_progress(log))
    address = contracts.account if key is not None else looked
    ledger = Ledger(contracts, address, log=log) if address is not None else None
    machine = Machine() if measure else None
    watchers: list[Agent] = []
    side_by_side = processes is not None or ray is not None
    if cache_size is not None and cache is None and not side_by_side:
        raise UsageError("--cache-size limits a cache, and there is none; name a --cache")
    for path, job in zip(folders, jobs, strict=True):
        named = line_log("watcher", form=form, job=job.job.job_id) if len(jobs) > 1 else log
        kept = pool = None
        if cache is not None or side_by_side:
            kept = cache_of(job, cache, size=cache_size, log=named)
        if kept is not None and side_by_side:
            pool = pool_of(
                path, kept, processes=processes, ray=ray, stores=stores, threads=threads, log=named
            )
        known = [store_of_job(job, url) for url in stores]
        watcher = Watcher(
            contracts=contracts,
            folder=job,
            executor=make_executor(job, threads=threads),
            key=key,
            log=named,
            view=view,
            stores=known,
            cache=kept,
            pool=pool,
            listed=known,
            dry_run=dry_run,
            account=address,
            machine=machine,
            ledger=ledger,
            direct=direct,
        )
        watchers.append(watcher)
        watchers += guards_of(
            watcher,
            contracts,
            job,
            log=named,
            account=address or bytes(20),
            dry_run=dry_run,
            defend=defend,
            limit=defend_limit,
        )
        named(
            f"follows job {job.job.job_id.hex()}" + (", and sends nothing" if dry_run else ""), **_about(job)
        )
        if ledger is not None and not dry_run:
            ledger.check_means(job.job)
    run(watchers, poll=poll, stop=stop_on_signals(), log=log, once=once)


def _key(key_file: Path | None, *, dry_run: bool, account: str | None) -> bytes | None:
    if account is not None and not dry_run:
        raise UsageError("--account looks as somebody else, who cannot send; use it with --dry-run")
    if dry_run and (account is not None or not key_is_named(key_file)):
        return None
    return private_key(key_file)


def read_address(account: str | None) -> bytes | None:
    """Return the 20 bytes of an address, None where none is given. Raises UsageError if it is not one."""
    from eth_utils.address import is_address

    if account is None:
        return None
    if not is_address(account):
        raise UsageError(f"{account!r} is not an address; write 0x and 40 hexadecimal digits")
    return bytes.fromhex(account.removeprefix("0x"))


def _distinct(jobs: list[JobFolder], folders: tuple[Path, ...]) -> list[JobFolder]:
    """Two watchers of one job in one process would send everything twice."""
    ids = [job.job.job_id for job in jobs]
    for number, job_id in enumerate(ids):
        if job_id in ids[:number]:
            first = folders[ids.index(job_id)]
            raise UsageError(f"{first} and {folders[number]} hold the same job; name one of them")
    return jobs


def _about(job: JobFolder) -> dict[str, Any]:
    clocks = job.job.clocks
    return {
        "segments": job.job.geometry.segments,
        "window": clocks.window,
        "replay": clocks.replay,
        "response": clocks.response,
    }


def _progress(log: Log) -> Any:
    from protocol.chain.agent import Said

    said = Said(log, again=PROGRESS)

    def progress(last: int, latest: int) -> None:
        said.once("reads the chain's logs since the deployment", block=last, head=latest)

    return progress


PROGRESS = 10.0
"""Seconds between two lines about a long reading."""
