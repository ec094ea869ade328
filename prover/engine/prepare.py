"""The executor of a job, prepared once (executor.py)."""

from __future__ import annotations

from protocol.job_folder import JobFolder
from prover.engine.executor import Executor


def executor_of_job(folder: JobFolder, *, threads: int = 1, device: str | None = None) -> Executor:
    """Prepare the program of a job for running.

    Args:
        threads: used by large nodes.
        device: as `Executor`.

    Raises:
        UsageError, UnsupportedError: as `Executor`.
    """
    geometry = folder.job.geometry
    return Executor(
        folder.program,
        inputs=folder.inputs,
        seed=folder.job.seed,
        n_rows=geometry.n_rows,
        batch=geometry.batch,
        tensor_height=geometry.tensor_height,
        threads=threads,
        device=device,
    )
