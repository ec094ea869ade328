"""`gavel job`: what a requester does."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from gavel.commands.shared import (
    PATH,
    chain_options,
    connect,
    folder_argument,
    key_option,
    logger,
    nodes_option,
    private_key,
)
from gavel.commands.stored import open_stores, steps_shown, stores_option, threads_option
from protocol.errors import UsageError

if TYPE_CHECKING:
    from gavel.ending import JobEnding
    from gavel.summary import Rows
    from protocol.chain.deployment import Contracts

TOML = ".toml"


@click.group()
def job() -> None:
    """Open a job, look at one, get its model, end it."""


@job.command()
@click.argument("what", metavar="JOB.toml|MODULE:FUNCTION")
@click.argument("folder", type=PATH, required=False)
@nodes_option("JSON-RPC endpoint of the chain, also $GAVEL_RPC; may be repeated.")
@click.option(
    "--deployment",
    type=PATH,
    default=Path("deployment.json"),
    show_default=True,
    help="File that `gavel deploy` wrote.",
)
@key_option
@click.option("--steps", type=int, help="Training steps (T).")
@click.option("--stride", type=int, help="Steps between checkpoints (C).")
@click.option("--batch", type=int, help="Rows per step.")
@click.option(
    "--preset", help="Tree shapes, clocks, money: of specs/presets, or a .toml like them.  [default: full]"
)
@click.option("--seed", metavar="HEX", help="32 bytes for the batch schedule.  [default: random]")
@click.option("--days", type=float, help="Until the job expires.  [default: 30]")
@click.option(
    "--initial", type=PATH, metavar="FILE", help="safetensors to start from, as `job fetch` writes them."
)
@click.option(
    "--money", multiple=True, metavar="NAME=AMOUNT", help="Replaces an amount of the preset; may be repeated."
)
@click.option(
    "--auditor",
    metavar="WHO",
    help="Who may demand pages of posted states: anyone, nobody, or an address.  [default: anyone]",
)
@click.option(
    "--dry-run", is_flag=True, help="Capture and summarise; needs no chain, sends nothing, writes nothing."
)
@click.option("--yes", is_flag=True, help="Do not ask before tokens are sent.")
def new(
    what: str,
    folder: Path | None,
    rpc: str | None,
    deployment: Path,
    key_file: Path | None,
    money: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Capture a training and open it as a job, funded by the account.

    The job is described in a TOML file (specs/requester.md, J-1) or by options, which win over the file.
    MODULE:FUNCTION returns a gavel.setup.TrainingSetup: module, loss, optimizer and dataset. FOLDER gets the
    job's public data, which trainers and watchers need. What was captured and what it costs is shown before
    anything is sent.
    """
    from gavel.data_checks import check_data
    from gavel.job_file import checked, money_of, read_job_file, request_of
    from gavel.jobs import capture_job, open_job, require_new
    from gavel.preflight import check_opening, check_terms_opened
    from gavel.setup import load_setup, warm_start
    from gavel.summary import identity_rows, program_rows, terms_rows
    from protocol.amounts import amount
    from protocol.chain.gas_bound import least_scheduled_gas

    log = logger("requester")
    values: dict[str, Any] = read_job_file(Path(what)) if what.endswith(TOML) else {"entry": what}
    given = {name: value for name, value in {**options, "folder": folder}.items() if value is not None}
    amounts: dict[str, int] = values.get("money", {}) | money_of(money)
    request = request_of(values | checked(given) | {"money": amounts})
    preset = request.load_preset()
    contracts: Contracts | None = None
    if not dry_run:
        if not yes and not sys.stdin.isatty():
            raise UsageError("there is nobody to ask: look with --dry-run, then give --yes to open the job")
        if rpc is None:
            raise click.UsageError("Missing option '--rpc'; or give --dry-run, which needs no chain")
        require_new(request.folder)
        contracts = _checked(rpc, deployment, private_key(key_file))
    setup = load_setup(request.entry)
    if request.initial is not None:
        warm_start(setup, request.initial)
    check_data(setup, request.batch)
    log("captures one training step and compares it with eager PyTorch")
    now = contracts.client.now() if contracts else 0
    made = capture_job(
        setup,
        chain_id=contracts.client.chain_id if contracts else 0,
        board=contracts.board.address_bytes if contracts else bytes(20),
        requester=contracts.account if contracts else bytes(20),
        preset=preset,
        steps=request.steps,
        stride=request.stride,
        batch=request.batch,
        seed=request.seed,
        salt=secrets.token_bytes(32),
        expiry=now + request.lifetime,
        audit=request.audit(preset, now),
    )
    if contracts is None:
        check_terms_opened(made.job, chain_id=0, board=bytes(20), scheduled_gas=least_scheduled_gas(), now=0)
        expiry = f"{request.days:g} days after it is opened"
        _show("dry run", [*program_rows(made), *terms_rows(made, expiry=expiry)])
        log("nothing was sent or written")
        return
    check_opening(contracts, made.job)
    _show("new job", [*program_rows(made), *terms_rows(made), *identity_rows(made)])
    if not yes:
        escrow = amount(made.job.money.reward * made.job.geometry.segments)
        click.confirm(f"Pay {escrow} tokens (smallest unit) into this job?", abort=True)
    sent = open_job(contracts, made, request.folder)
    log(f"opened job {made.job.job_id.hex()} in transaction 0x{sent.tx_hash.hex()}; wrote {request.folder}")


def _checked(rpc: str, deployment: Path, key: bytes | None) -> Contracts:
    """Connect to a node that keeps up and to contracts that are what they should be."""
    from gavel.preflight import check_fresh

    contracts = connect(rpc, deployment, key)
    check_fresh(contracts.client)
    contracts.verify()
    return contracts


def _show(title: str, rows: Rows) -> None:
    table = Table("what", title=title, title_justify="left")
    table.add_column("value", overflow="fold")
    for what, value in rows:
        table.add_row(what, value)
    Console().print(table)


@job.command()
@folder_argument
def show(folder: Path) -> None:
    """Check a job folder against its job id and say what is in it. Needs no chain."""
    from gavel.summary import identity_rows, program_rows, terms_rows
    from protocol.job_folder import JobFolder

    loaded = JobFolder.load(folder)
    _show("job", [*identity_rows(loaded), *program_rows(loaded), *terms_rows(loaded)])


@job.command()
@folder_argument
@click.argument("out", type=PATH)
@chain_options
@stores_option
@click.option("--replay", is_flag=True, help="Compute every segment here, from the start, and compare.")
@click.option("--force", is_flag=True, help="Replace weights and receipt that are there.")
@threads_option
def fetch(
    folder: Path,
    out: Path,
    rpc: str,
    deployment: Path,
    stores: tuple[str, ...],
    replay: bool,
    force: bool,
    threads: int,
) -> None:
    """Write the weights after the last final update to OUT, as safetensors, and a receipt beside it.

    The tensors have the names of the module. The state comes from a store, or is replayed; either way its
    root is the one that the chain holds. The receipt says what was done, by whom, in which transactions, and
    what was checked.
    """
    from gavel.ending import require_opened
    from gavel.fetching import fetch_state, final_roots
    from gavel.jobs import make_executor
    from gavel.receipt import check_free, make_receipt, receipt_path, save
    from protocol.chain.agreement import require_agreement
    from protocol.chain.court_view import ChainView
    from protocol.job_folder import JobFolder

    if not force:
        check_free(out)
    log = logger("requester")
    loaded = JobFolder.load(folder)
    contracts = _checked(rpc, deployment, None)
    view = ChainView(contracts)
    events = view.refresh()
    require_opened(view, loaded.job)
    job_id = loaded.job.job_id
    require_agreement(contracts, job_id, block=view.block, updates=[u.update for u in view.chain(job_id)])
    with steps_shown("replaying") as progress:
        fetched = fetch_state(
            loaded,
            final_roots(view, loaded),
            stores=open_stores(loaded, folder, stores),
            executor=lambda: make_executor(loaded, threads=threads),
            log=log,
            progress=progress,
            replay=replay,
        )
    receipt = make_receipt(contracts, view, events, loaded, fetched)
    done = save(out, receipt, loaded, fetched)
    total = loaded.job.geometry.segments
    log(f"state after {fetched.segments} of {total} segments, final; from {fetched.source}")
    for check in done["checks"]:
        log(f"checked by {check['by']}: {check['what']}: {check['result']}")
    log(f"wrote {out} (sha256 {done['weights']['sha256'][2:]}) and {receipt_path(out)}")


@job.command()
@folder_argument
@chain_options
@key_option
def cancel(folder: Path, rpc: str, deployment: Path, key_file: Path | None) -> None:
    """Give notice: after the notice period nothing can be posted, and the rest can be refunded (U-9)."""
    _ending(folder, rpc, deployment, key_file).cancel()


@job.command()
@folder_argument
@chain_options
@key_option
def refund(folder: Path, rpc: str, deployment: Path, key_file: Path | None) -> None:
    """After the end of a job, get back the rewards that nobody has earned, and withdraw them (U-9)."""
    _ending(folder, rpc, deployment, key_file).refund()


@job.command()
@folder_argument
@chain_options
@key_option
def evict(folder: Path, rpc: str, deployment: Path, key_file: Path | None) -> None:
    """End a lease whose holder has posted nothing in time; its deposit is lost, a tip is yours (U-3)."""
    _ending(folder, rpc, deployment, key_file).evict()


@job.command()
@chain_options
@key_option
def withdraw(rpc: str, deployment: Path, key_file: Path | None) -> None:
    """Move the account's credit with the board into the account, from whatever job it is (U-10)."""
    from gavel.ending import withdraw_credit

    withdraw_credit(_checked(rpc, deployment, private_key(key_file)), logger("requester"))


def _ending(folder: Path, rpc: str, deployment: Path, key_file: Path | None) -> JobEnding:
    from gavel.ending import JobEnding
    from protocol.job_folder import JobFolder

    loaded = JobFolder.load(folder)
    return JobEnding(_checked(rpc, deployment, private_key(key_file)), loaded, logger("requester"))
