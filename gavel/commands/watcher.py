"""`gavel watch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gavel.commands.logs import Attention, line_log, log_option
from gavel.commands.metering import metrics_option, start_metrics
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
    from protocol.chain.agent import Log
    from protocol.job_folder import JobFolder

AMOUNT = click.IntRange(0)
"""Of tokens or coins, in the smallest unit."""

MOST_CONFIRMATIONS = 64
"""Nodes that are no archives answer for the last 128 blocks."""


@click.command()
@click.argument("folders", nargs=-1, type=PATH, metavar="[FOLDER]...")
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
    help="Also answer for updates that the replay confirms, where their trainer is silent: in disputes, "
    "where each commitment locks a defence bond, which comes back, and to demands for pages, which are paid.",
)
@click.option(
    "--defend-limit",
    type=click.IntRange(1),
    metavar="TOKENS",
    help="Most tokens held in defence bonds at a time, for each job, in the smallest unit.  [default: any]",
)
@click.option(
    "--sample-pages",
    "sample",
    type=click.IntRange(1, 128),
    metavar="N",
    help="Demand N pages of the last state of each new update, chosen by a later block's hash, where the job "
    "lets the account. Each costs a fee, which whoever shows the page gets; an update of which one is not "
    "shown falls.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Threads for large operations of a replay.",
)
@click.option(
    "--measure/--no-measure",
    default=True,
    show_default=True,
    help="Say at the start whether this machine keeps up with each job.",
)
@click.option(
    "--jobs", type=PATH, help="Follow the jobs in the folders of this folder, new ones as they come."
)
@click.option("--select", type=PATH, metavar="TOML", help="Follow only jobs that meet these criteria.")
@click.option(
    "--max-exposure",
    type=AMOUNT,
    metavar="TOKENS",
    help="Begin nothing that would lock more at one time, in bonds of disputes and of --defend and in fees "
    "of --sample-pages together.",
)
@click.option(
    "--max-loss", type=AMOUNT, metavar="TOKENS", help="Begin nothing after so much is lost in bonds."
)
@click.option(
    "--max-gas",
    type=AMOUNT,
    metavar="WEI",
    help="Begin nothing after so much was paid for gas in 24 hours. Counted from the start of this process: "
    "what one before it paid cannot be read from the chain.",
)
@metrics_option
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
    sample: int | None,
    threads: int,
    measure: bool,
    jobs: Path | None,
    select: Path | None,
    max_exposure: int | None,
    max_loss: int | None,
    max_gas: int | None,
    metrics: str | None,
) -> None:
    """Replay every update of one or several jobs and dispute the wrong ones.

    Each FOLDER is a job as `gavel job new` wrote it. Without --dry-run it needs a key whose account has
    tokens: each dispute locks a bond. Runs until it is interrupted. It keeps nothing that it needs: start it
    again at any time. A line of level ERROR asks for an operator; with --once, the exit status is 9 if there
    was one. Amounts are in the smallest unit. Limits (--max-...) hold back what begins a dispute, a defence
    or a demand, never a move that a bond already locked depends on.
    """
    from challenger.limits import Limits
    from challenger.pace import Machine
    from gavel.selection import Criteria, Scout
    from gavel.watching import Choices, Patrol
    from protocol.chain.agent import run
    from protocol.chain.court_view import ChainView
    from protocol.job_folder import JobFolder

    if not folders and jobs is None:
        raise UsageError("there is nothing to watch: name a job's FOLDER, or a folder of them with --jobs")
    if cache_size is not None and cache is None and processes is None and ray is None:
        raise UsageError("--cache-size limits a cache, and there is none; name a --cache")
    looked = read_address(account)
    key = _key(key_file, dry_run=dry_run, account=account)
    criteria = Criteria.load(select) if select is not None else Criteria()
    loaded = _distinct([JobFolder.load(folder) for folder in folders], folders)
    attention = Attention()
    log = attention.log(line_log("watcher", form=form))
    contracts = connect(rpc, deployment, key)
    contracts.verify()
    view = ChainView(contracts, confirmations=confirmations, progress=_progress(log))
    address = contracts.account if key is not None else looked
    meter = start_metrics(metrics, contracts=contracts, view=view, account=address, log=log, poll=poll)

    def log_of(job: JobFolder | None) -> Log:
        several = jobs is not None or len(loaded) > 1
        named = {} if job is None or not several else {"job": job.job.job_id}
        told = attention.log(line_log("watcher", form=form, **named))
        return told if meter is None else meter.log(told, job=None if job is None else job.job.job_id)

    choices = Choices(
        key=key,
        account=address,
        dry_run=dry_run,
        stores=stores,
        cache=cache,
        cache_size=cache_size,
        processes=processes,
        ray=ray,
        threads=threads,
        direct=direct,
        defend=defend,
        defend_limit=defend_limit,
        sample=sample,
        limits=Limits(exposure=max_exposure, loss=max_loss, gas=max_gas),
        criteria=criteria,
    )
    patrol = Patrol(
        choices,
        contracts=contracts,
        view=view,
        log=log_of,
        confirmations=confirmations,
        machine=Machine() if measure else None,
        meter=meter,
    )
    for path, job in zip(folders, loaded, strict=True):
        patrol.follow(path, job)
    if jobs is not None:
        patrol.agents.append(Scout(jobs, view=view, follow=patrol.follow, log=log_of(None)))
    if meter is not None:
        patrol.agents.append(meter)
    run(patrol.agents, poll=poll, stop=stop_on_signals(), log=log_of(None), once=once)
    if once:
        attention.check()


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


def _progress(log: Log) -> Any:
    from protocol.chain.agent import Said

    said = Said(log, again=PROGRESS)

    def progress(last: int, latest: int) -> None:
        said.once("reads the chain's logs since the deployment", block=last, head=latest)

    return progress


PROGRESS = 10.0
"""Seconds between two lines about a long reading."""
