"""Checkpoints on disk: the state after each segment, by its root, so that none can be taken for another.

A file is ``<segments done>-<state root>.safetensors``: uint32 words of every slot by number, and in its
metadata the root it was trained from and the losses. It is written aside and moved into place: a crash leaves
no half one.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from protocol.commitments.canonical import Words
from protocol.errors import MalformedError, MismatchError
from protocol.job_folder import load_words, save_words
from prover.engine.hashing import state_root

_NAME: Final = re.compile(r"(\d{6})-([0-9a-f]{64})\.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the store knows of a state without reading its words.

    Attributes:
        segments: how many segments of the job lead to it.
        root: state root, 32 bytes; parent: root of the state that its last segment was trained from.
        losses: of the steps of that segment.
        path: of the file.
    """

    segments: int
    root: bytes
    parent: bytes
    losses: tuple[float, ...]
    path: Path


class CheckpointStore:
    """A folder of checkpoints of one job."""

    def __init__(self, folder: Path, *, tensor_height: int) -> None:
        """Open or make the folder. Raises MalformedError if that is not possible."""
        self._folder = folder
        self._tensor_height = tensor_height
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MalformedError(f"the checkpoint folder {folder} cannot be made: {error}") from error

    def save(
        self, *, segments: int, root: bytes, parent: bytes, losses: Sequence[float], state: Sequence[Words]
    ) -> Checkpoint:
        """Write a checkpoint; writing the same one again changes nothing that matters.

        Args:
            segments, root, parent, losses: as in `Checkpoint`.
            state: flat uint32 words of every slot.

        Raises:
            MalformedError: the file cannot be written.
        """
        path = self._folder / f"{segments:06d}-{root.hex()}.safetensors"
        metadata = {"parent": parent.hex(), "losses": json.dumps(list(losses))}
        try:
            handle, partial = tempfile.mkstemp(dir=self._folder, suffix=".partial")
            os.close(handle)
            save_words(Path(partial), state, metadata)
            Path(partial).replace(path)
        except OSError as error:
            raise MalformedError(f"the checkpoint {path} cannot be written: {error}") from error
        return Checkpoint(segments=segments, root=root, parent=parent, losses=tuple(losses), path=path)

    def load(self, segments: int, root: bytes) -> tuple[Words, ...] | None:
        """Return the words of a state, or None where there is no such checkpoint.

        Raises:
            MalformedError: the file is not one of words.
            MismatchError: its words do not hash to the root.
        """
        path = self._folder / f"{segments:06d}-{root.hex()}.safetensors"
        if not path.exists():
            return None
        state = load_words(path)
        if state_root(state, self._tensor_height, len(state)) != root:
            raise MismatchError(f"the words in {path} do not hash to its name; delete it and train again")
        return state

    def checkpoints(self) -> list[Checkpoint]:
        """Every checkpoint, earliest segment first. Raises MalformedError if one cannot be read."""
        found = []
        for path in sorted(self._folder.glob("*.safetensors")):
            name = _NAME.fullmatch(path.name)
            if name is None:
                continue
            try:
                with safe_open(path, framework="numpy") as file:
                    metadata = file.metadata()
                parent, losses = bytes.fromhex(metadata["parent"]), json.loads(metadata["losses"])
            except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
                raise MalformedError(f"the checkpoint {path} cannot be read: {error!r}") from error
            found.append(
                Checkpoint(
                    segments=int(name[1]),
                    root=bytes.fromhex(name[2]),
                    parent=parent,
                    losses=tuple(float(loss) for loss in losses),
                    path=path,
                )
            )
        return found

    def following(self, segments: int, root: bytes) -> list[Checkpoint]:
        """Return the stored checkpoints that lead on from a state, one per segment, as far as they go."""
        by_parent = {(c.segments, c.parent): c for c in self.checkpoints()}
        path: list[Checkpoint] = []
        while (step := by_parent.get((segments + 1, root))) is not None:
            path.append(step)
            segments, root = step.segments, step.root
        return path
