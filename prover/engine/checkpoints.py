"""The checkpoint store of a job, with the sizes of its slots and the fast state root (stores.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.job_folder import JobFolder
from prover.engine.hashing import state_root


def store_of_job(folder: JobFolder, url: str | Path) -> CheckpointStore:
    """Return the store of a job's checkpoints in a folder or at a URL. Raises UsageError as the class."""
    geometry = folder.job.geometry

    def root_of(state: Sequence[Words]) -> bytes:
        return state_root(state, geometry.tensor_height, geometry.n_slots)

    return CheckpointStore(url, root_of=root_of, extents=[spec.extent for spec in folder.program.slots])
