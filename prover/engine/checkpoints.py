"""Checkpoints of a job: its store, with the sizes of its slots and the fast state root (stores.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from protocol.checkpoints import CheckpointStore, object_name
from protocol.commitments.canonical import Words
from protocol.errors import UsageError
from protocol.job_folder import JobFolder
from prover.engine.hashing import state_root


def store_of_job(folder: JobFolder, url: str | Path) -> CheckpointStore:
    """Return the store of a job's checkpoints in a folder or at a URL. Raises UsageError as the class."""
    geometry = folder.job.geometry

    def root_of(state: Sequence[Words]) -> bytes:
        return state_root(state, geometry.tensor_height, geometry.n_slots)

    return CheckpointStore(url, root_of=root_of, extents=[spec.extent for spec in folder.program.slots])


def given_state(folder: JobFolder, url: str, root: bytes) -> Sequence[Words]:
    """Return the state with a root from one file (S-2) or from a store (K-1).

    Args:
        url: of a file that ends in .safetensors, or of a store.

    Raises:
        UsageError: there is no such file, or the store has no such state.
        MalformedError, MismatchError, StorageError: as `CheckpointStore.load`.
    """
    place, _, name = url.rpartition("/")
    if name.endswith(".safetensors"):
        state = store_of_job(folder, place or ("." if name == url else "/")).load_file(name, root)
    else:
        state = store_of_job(folder, url).load_file(object_name(root), root)
    if state is None:
        raise UsageError(
            f"{url} has no state {root.hex()}, the one that is to be trained from; name another place, or "
            "leave it out: then the state is replayed"
        )
    return state
