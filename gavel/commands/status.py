"""`gavel status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gavel.commands.shared import PATH, chain_options, connect

if TYPE_CHECKING:
    from gavel.awaited import Awaited
    from gavel.status import JobState, Picture, UpdateState


@click.command()
@click.argument("folders", nargs=-1, type=PATH, metavar="[FOLDER]...")
@chain_options
@click.option(
    "--account", metavar="ADDRESS", help="Also say what a watcher's account has at stake and has earned."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with ids in full.")
def status(folders: tuple[Path, ...], rpc: str, deployment: Path, account: str | None, as_json: bool) -> None:
    """Say what the chain holds of jobs: lease, updates, disputes and whose move it is, demands for pages.

    Each FOLDER is a job as `gavel job new` wrote it; without one, all jobs of the board. Nothing is sent. The
    exit status says whether it could be read (specs/errors.md), not whether all is well there: for that read
    the JSON, or let `gavel monitor` run.
    """
    from gavel import status as reading
    from gavel.commands.watcher import read_address
    from protocol.chain.agreement import require_agreement
    from protocol.chain.court_view import ChainView
    from protocol.job_folder import JobFolder

    looked = read_address(account)
    jobs = [JobFolder.load(folder).job for folder in folders]
    contracts = connect(rpc, deployment, None)
    contracts.verify()
    for job in jobs:
        contracts.verify(job)
    view = ChainView(contracts)
    view.refresh()
    ids = list(dict.fromkeys(job.job_id for job in jobs)) if jobs else None
    seen = reading.picture(contracts, view, jobs=ids, account=looked)
    for shown in seen.jobs:  # what nodes contradict each other about is not shown
        updates = [update.info.update for update in shown.updates]
        require_agreement(contracts, shown.job, block=view.block, updates=updates)
    if as_json:
        click.echo(json.dumps(reading.to_json(seen), indent=2))
    else:
        _show(Console(), seen)


def _show(console: Console, seen: Picture) -> None:
    node = seen.node
    stale = f", STALE: {node.age:,} s behind this machine's clock" if node.stale else ""
    console.print(f"chain {node.chain_id}, block {node.block:,}{stale}", highlight=False)
    if not seen.jobs:
        console.print("no job was ever opened on this board")
    for job in seen.jobs:
        _show_job(console, job, now=node.time)
    if seen.account is not None:
        console.print(f"account 0x{seen.account.hex()}: {seen.exposure}", highlight=False, soft_wrap=True)


def _show_job(console: Console, job: JobState, *, now: int) -> None:
    holder = f"0x{job.leaseholder.hex()}" if job.leaseholder is not None else "nobody"
    console.print(
        f"\njob {job.job.hex()}: leased by {holder}, {job.falls} updates fell; of {job.geometry.segments} "
        f"segments {job.posted} are posted and {job.final} final",
        highlight=False,
    )
    table = Table("update", "segments", "trainer", "status", "final in", "disputes and demands")
    for update in job.updates:
        table.add_row(*_row(update, now))
    console.print(table)


def _row(update: UpdateState, now: int) -> tuple[str, ...]:
    from protocol.game.view import UpdateStatus

    info = update.info
    pending = info.status == UpdateStatus.PENDING
    lines = []
    for dispute in update.disputes:
        found = dispute.info
        lines.append(f"{found.dispute.hex()[:12]} segment {found.segment + 1} {found.status.value}")
        lines += [f"  {_said(move, now)}" for move in dispute.awaited]
    lines += _demanded(update, now)
    return (
        info.update.hex()[:12],
        f"{info.first_segment + 1}-{info.first_segment + info.segments}",
        f"0x{info.trainer.hex()[:8]}",
        info.status.value,
        f"{max(update.final_at - now, 0) / 3600:.1f} h" if pending else "",
        escape("\n".join(lines)),
    )


def _demanded(update: UpdateState, now: int) -> list[str]:
    """One line for each who has asked for pages: how many, and by when the first is due."""
    from gavel.summary import duration

    lines = []
    for asker in dict.fromkeys(demand.asker for demand in update.demands):
        asked = [demand for demand in update.demands if demand.asker == asker]
        left = asked[0].due - now
        due = f"within {duration(left)}" if left >= 0 else "LATE: the update falls by it"
        pages = "1 page" if len(asked) == 1 else f"{len(asked)} pages"
        lines.append(f"0x{asker.hex()[:8]} demands {pages}, the first {due}")
    return lines


def _said(move: Awaited, now: int) -> str:
    from gavel.summary import duration

    hurry = f" within {duration(max(move.limit - now, 0))}" if move.limit else ""
    return f"{move.side.value}: {move.move}{hurry}"
