"""From an ordinary training to a job on chain: capture, check, commit, open."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from gavel.preflight import check_opening
from gavel.setup import TrainingSetup
from protocol.chain.client import SentTransaction
from protocol.chain.deployment import Contracts
from protocol.chain.moves import ensure_allowance, send_move
from protocol.commitments.canonical import Words
from protocol.errors import GavelError, MismatchError, RefusedError, UnsupportedError, UsageError
from protocol.game.moves import OpenJob
from protocol.job import NO_AUDIT, Audit, Geometry, Job, Preset
from protocol.job_folder import JobFolder, commit, manifest_bytes
from protocol.program.interpreter import input_height, tensor_height
from protocol.program.lint import check_program
from prover.engine.executor import Executor
from prover.engine.prepare import executor_of_job

if TYPE_CHECKING:
    from torch import Tensor, nn

OPTIMIZER_PREFIX = "optimizer."
"""What the names of the optimizer's slots begin with (lowering.md)."""


make_executor = executor_of_job


def make_job(
    setup: TrainingSetup,
    *,
    contracts: Contracts,
    preset: Preset,
    steps: int,
    stride: int,
    batch: int,
    seed: bytes,
    salt: bytes,
    lifetime: int,
    audit: Audit = NO_AUDIT,
) -> JobFolder:
    """Capture a training and write the terms of a job for these contracts, as `capture_job` does.

    Args:
        contracts: where the job is to be opened, with the requester's key.
        lifetime: seconds from now until nothing can be posted.
        audit: who may demand pages.
    """
    return capture_job(
        setup,
        chain_id=contracts.client.chain_id,
        board=contracts.board.address_bytes,
        requester=contracts.account,
        preset=preset,
        steps=steps,
        stride=stride,
        batch=batch,
        seed=seed,
        salt=salt,
        expiry=contracts.client.now() + lifetime,
        audit=audit,
    )


def capture_job(
    setup: TrainingSetup,
    *,
    chain_id: int,
    board: bytes,
    requester: bytes,
    preset: Preset,
    steps: int,
    stride: int,
    batch: int,
    seed: bytes,
    salt: bytes,
    expiry: int,
    audit: Audit = NO_AUDIT,
) -> JobFolder:
    """Capture a training, compare it with eager PyTorch, and write the terms; nothing is sent.

    Args:
        setup: the training.
        chain_id, board, requester: where the job is to be opened and by whom; addresses of 20 bytes.
        preset: tree shapes, clocks and money.
        steps, stride, batch: T and C in steps, rows per step.
        seed: of the batch schedule, 32 bytes (P-7); salt: 32 bytes.
        expiry: timestamp in seconds after which nothing can be posted.
        audit: who may demand pages.

    Raises:
        UnsupportedError: a part of the training has no meaning here; names it and the user's line.
        MismatchError: loss, a gradient or the first update differs from eager PyTorch's.
    """
    from prover.capture import capture, check_against_eager

    for name, _ in (*setup.module.named_parameters(), *setup.module.named_buffers()):
        if name.startswith(OPTIMIZER_PREFIX):
            raise UnsupportedError(
                f"{name} of the module has the name of an optimizer's slot; rename the attribute "
                f"{OPTIMIZER_PREFIX.rstrip('.')!r} of the module"
            )
    captured = capture(
        module=setup.module,
        loss=setup.loss,
        optimizer=setup.optimizer,
        columns=setup.columns,
        batch=batch,
        steps=steps,
        scheduler=setup.scheduler,
        accumulate=setup.accumulate,
        after_backward=setup.after_backward,
        noise_seed=setup.noise_seed,
    )
    program = captured.program
    check_program(program)
    n_rows = int(next(iter(setup.columns.values())).shape[0])
    h = tensor_height(program)
    executor = Executor(
        program, inputs=captured.inputs, seed=seed, n_rows=n_rows, batch=batch, tensor_height=h
    )

    def run_step(state: Sequence[Words], step: int) -> Sequence[Words]:
        return executor.run(state, step).outputs

    check_against_eager(
        captured,
        module=setup.module,
        loss=setup.loss,
        optimizer=setup.optimizer,
        run_step=run_step,
        scheduler=setup.scheduler,
        accumulate=setup.accumulate,
        after_backward=setup.after_backward,
    )
    program_root, inputs_root, genesis = commit(
        program, captured.inputs, captured.state, h, input_height(program)
    )
    manifest = manifest_bytes(program, captured.manifest)
    geometry = Geometry(
        n_nodes=len(program.nodes),
        n_slots=len(program.slots),
        n_inputs=len(program.inputs),
        n_rows=n_rows,
        batch=batch,
        steps=steps,
        stride=stride,
        max_segments=preset.max_segments,
        tensor_height=h,
        input_height=input_height(program),
        fanout_log2=preset.fanout_log2,
        range_log2=preset.range_log2,
    )
    job = Job(
        chain_id=chain_id,
        board=board,
        requester=requester,
        salt=salt,
        manifest=sha256(manifest).digest(),
        program_root=program_root,
        inputs_root=inputs_root,
        genesis=genesis,
        seed=seed,
        geometry=geometry,
        clocks=preset.clocks,
        expiry=expiry,
        money=preset.money,
        audit=audit,
    )
    folder = JobFolder(
        job=job,
        program=program,
        manifest=captured.manifest,
        inputs=tuple(captured.inputs),
        genesis=tuple(captured.state),
    )
    folder.check()
    return folder


def open_job(contracts: Contracts, folder: JobFolder, path: Path | None = None) -> SentTransaction:
    """Check, write the folder, fund and open a job from the requester's account (J-3, J-4).

    Args:
        path: of the folder; None leaves it to the caller.

    Raises:
        RefusedError: the board refuses the terms, with its reason; the folder is gone again.
        ChainError: the account cannot pay, or the node failed; once something was sent the folder stays.
        UsageError, StorageError: the folder is not new, or cannot be written; nothing was sent.
    """
    job = folder.job
    check_opening(contracts, job)
    if path is not None:
        _save(folder, path)
    try:
        ensure_allowance(contracts, job.money.reward * job.geometry.segments, times=1)
        return send_move(contracts, OpenJob(terms=job), tried=True)
    except RefusedError:
        if path is not None:
            rmtree(path)
        raise


def require_new(path: Path) -> None:
    """Raise UsageError if there is something already where a job's folder is to be."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} exists and is not an empty folder; name a new one")


def _save(folder: JobFolder, path: Path) -> None:
    """Write a new folder, or leave nothing of it."""
    require_new(path)
    try:
        folder.save(path)
    except GavelError:
        rmtree(path, ignore_errors=True)
        raise


def named_tensors(folder: JobFolder, state: Sequence[Words]) -> dict[str, Tensor]:
    """Return parameters and buffers of a state as torch tensors, by their names in the module.

    Args:
        state: flat uint32 words of every slot.
    """
    from prover.capture.result import tensor_of

    return {
        slot["name"]: tensor_of(words, slot["shape"], slot["dtype"])
        for slot, words in zip(folder.manifest["slots"], state, strict=True)
        if not slot["name"].startswith(OPTIMIZER_PREFIX)
    }


def load_module_state(folder: JobFolder, module: nn.Module, state: Sequence[Words]) -> None:
    """Write the parameters and buffers of a state into an ordinary module, in place.

    Args:
        module: of the captured architecture.
        state: flat uint32 words of every slot.

    Raises:
        MismatchError: the module's tensors are not those that were captured.
    """
    loaded = named_tensors(folder, state)
    own = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if own != {name: tensor.shape for name, tensor in loaded.items()}:
        raise MismatchError(
            f"the module has tensors {own}, which are not those of the job; load into the module that "
            "was captured"
        )
    module.load_state_dict(loaded)
