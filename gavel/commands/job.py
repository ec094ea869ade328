"""`gavel job` and `gavel status`."""

from __future__ import annotations

import secrets
from pathlib import Path

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
    private_key,
    store_option,
)
from protocol.errors import UsageError

DAY = 86_400


@click.group()
def job() -> None:
    """Open a job, look at one, get its model."""


@job.command()
@click.argument("entry", metavar="MODULE:FUNCTION")
@folder_argument
@chain_options
@key_option
@click.option("--steps", type=click.IntRange(1, 2**31), required=True, help="Training steps (T).")
@click.option("--stride", type=click.IntRange(1), required=True, help="Steps between checkpoints (C).")
@click.option("--batch", type=click.IntRange(1), required=True, help="Rows per step.")
@click.option(
    "--preset", default="full", show_default=True, help="Clocks, bonds and tree shapes: specs/presets."
)
@click.option(
    "--seed", default=None, metavar="HEX", help="32 bytes for the batch schedule; random unless given."
)
@click.option(
    "--days", type=click.FloatRange(min=0.01), default=30.0, show_default=True, help="Until it expires."
)
def new(
    entry: str,
    folder: Path,
    rpc: str,
    deployment: Path,
    key_file: Path | None,
    steps: int,
    stride: int,
    batch: int,
    preset: str,
    seed: str | None,
    days: float,
) -> None:
    """Capture a training and open it as a job, funded by the account.

    MODULE:FUNCTION returns a gavel.setup.TrainingSetup: module, loss, optimizer and dataset. FOLDER gets the
    job's public data, which trainers and watchers need.
    """
    from gavel.jobs import make_job, open_job
    from gavel.setup import load_setup
    from protocol.job import load_preset

    log = logger("requester")
    contracts = connect(rpc, deployment, private_key(key_file))
    contracts.verify()
    made = make_job(
        load_setup(entry),
        contracts=contracts,
        preset=load_preset(preset),
        steps=steps,
        stride=stride,
        batch=batch,
        seed=_seed(seed),
        salt=secrets.token_bytes(32),
        lifetime=int(days * DAY),
    )
    geometry = made.job.geometry
    log(f"captured {geometry.n_nodes} nodes; loss, gradients and first update agree with eager PyTorch")
    open_job(contracts, made, folder)
    log(f"opened job {made.job.job_id.hex()}: {geometry.segments} segments of {stride} steps; wrote {folder}")


def _seed(text: str | None) -> bytes:
    if text is None:
        return secrets.token_bytes(32)
    try:
        seed = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise UsageError("--seed is not 64 hexadecimal digits; write 32 bytes in hexadecimal")
    return seed


@job.command()
@folder_argument
def show(folder: Path) -> None:
    """Check a job folder against its job id and say what is in it."""
    from protocol.job_folder import JobFolder

    loaded = JobFolder.load(folder)
    geometry, money = loaded.job.geometry, loaded.job.money
    table = Table("what", "value", title=f"job {loaded.job.job_id.hex()}")
    words = sum(spec.extent for spec in loaded.program.slots)
    table.add_row("program", f"{geometry.n_nodes} nodes, {geometry.n_slots} slots of {words:,} words")
    table.add_row("data", f"{geometry.n_rows:,} rows, {geometry.batch} a step")
    table.add_row("training", f"{geometry.steps:,} steps, {geometry.segments} segments of {geometry.stride}")
    table.add_row("trees", f"H = {geometry.tensor_height}, fan-out 2^{geometry.fanout_log2}")
    table.add_row("reward", f"{money.reward:,} a segment")
    table.add_row("bonds", f"update {money.update_bond:,}, challenge {money.challenge_bond:,}")
    table.add_row("chain, board", f"{loaded.job.chain_id}, 0x{loaded.job.board.hex()}")
    Console().print(table)


@job.command()
@folder_argument
@click.argument("out", type=PATH)
@chain_options
@store_option
def export(folder: Path, out: Path, rpc: str, deployment: Path, store: Path | None) -> None:
    """Write parameters and buffers after the last final update as safetensors, by their names in the module.

    The state comes from the checkpoints, or is replayed from them; it hashes to what the chain says.
    """
    from safetensors.torch import save_file

    from gavel.jobs import make_executor, named_tensors
    from protocol.chain.court_view import ChainView
    from protocol.game.view import UpdateStatus
    from protocol.job_folder import JobFolder
    from prover.store import CheckpointStore
    from prover.trainer import Trainer

    loaded = JobFolder.load(folder)
    view = ChainView(connect(rpc, deployment, None))
    view.refresh()
    final = [u for u in view.chain(loaded.job.job_id) if u.status == UpdateStatus.FINAL]
    if not final:
        raise UsageError("no update of this job is final yet; `gavel status` says when one can be")
    segments = final[-1].first_segment + final[-1].segments
    checkpoints = CheckpointStore(
        store or folder / "checkpoints", tensor_height=loaded.job.geometry.tensor_height
    )
    trainer = Trainer(folder=loaded, executor=make_executor(loaded), store=checkpoints)
    state = trainer.state(segments, final[-1].states[-1])
    save_file(named_tensors(loaded, state), out)
    logger("export")(f"state after {segments} of {loaded.job.geometry.segments} segments, final; wrote {out}")


@click.command()
@folder_argument
@chain_options
def status(folder: Path, rpc: str, deployment: Path) -> None:
    """Say what the chain holds of a job: lease, updates, disputes."""
    from protocol.chain.court_view import ChainView
    from protocol.game.view import UpdateStatus
    from protocol.job_folder import JobFolder

    loaded = JobFolder.load(folder)
    contracts = connect(rpc, deployment, None)
    contracts.verify()
    view = ChainView(contracts)
    view.refresh()
    state, console = view.job_state(loaded.job.job_id), Console()
    holder = f"0x{state['leaseholder'].hex()}" if any(state["leaseholder"]) else "nobody"
    console.print(f"job {loaded.job.job_id.hex()}: leased by {holder}, {state['falls']} updates fell")
    table = Table("update", "segments", "trainer", "status", "final in", "disputes")
    for update in view.updates(loaded.job.job_id):
        last = update.first_segment + update.segments
        left = update.deadline + loaded.job.clocks.opening - view.now()
        pending = update.status == UpdateStatus.PENDING
        disputes = [f"segment {d.segment + 1} {d.status.value}" for d in view.disputes(update=update.update)]
        table.add_row(
            update.update.hex()[:12],
            f"{update.first_segment + 1}-{last}",
            f"0x{update.trainer.hex()[:8]}",
            update.status.value,
            f"{max(left, 0) / 3600:.1f} h" if pending else "",
            ", ".join(disputes),
        )
    console.print(table)
