"""What a watcher keeps between two runs: the roots that it has derived, and a few of the states (A-11).

All of it can be derived again, so whatever goes wrong here is said and gone on without.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocol.chain.agent import Said
from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.errors import GavelError
from protocol.game.isolation import isolated

KEPT: Final = 3
"""States kept."""

EVERY: Final = 30.0
"""Seconds between two states kept: a restart loses no more than that of replaying."""

MAX_NOTES: Final = 64 << 20
"""Bytes of notes that are read."""

_NOTE: Final = re.compile(r"(\d{1,10}) ([0-9a-f]{64})")


class Cache:
    """A folder for one job. A *place* is a number of segments done.

    Attributes:
        roots: by place the state root that this watcher has derived or relied on, in this run or before.
    """

    def __init__(self, folder: Path, store: CheckpointStore, *, log: Said) -> None:
        """Read the notes of earlier runs.

        Args:
            folder: for the notes; made when there is something to keep.
            store: of states, in that folder or below.
            log: told what cannot be read or written.
        """
        self._notes, self._store, self._log = folder / "roots.txt", store, log
        self._saved_at = -EVERY
        self.roots = self._read()
        self._states: dict[int, bytes] = {}
        with isolated(self._trouble):
            self._states = {
                c.segments: c.root for c in store.checkpoints() if self.roots.get(c.segments) == c.root
            }

    def get(self, place: int) -> Sequence[Words] | None:
        """Return the state at a place, flat uint32 words of every slot, hashed; None where it is not kept."""
        root = self._states.get(place)
        if root is None:
            return None
        with isolated(self._trouble):
            state = self._store.load(place, root)
            if state is not None:
                return state
        del self._states[place]
        return None

    def put(self, place: int, root: bytes, state: Sequence[Words], *, at_once: bool = False) -> None:
        """Note a root that was derived or relied on; keep its state if none was kept lately.

        Args:
            place, root: what is noted.
            state: flat uint32 words of every slot.
            at_once: keep the state in any case.
        """
        self._note(place, root)
        if not at_once and time.monotonic() - self._saved_at < EVERY:
            return
        self._saved_at = time.monotonic()
        with isolated(self._trouble):
            self._store.save(segments=place, root=root, parent=root, losses=(), state=state)
            self._states.pop(place, None)
            self._states[place] = root
            while len(self._states) > KEPT:
                del self._states[next(iter(self._states))]
            self._store.retain(set(self._states.values()))

    def _read(self) -> dict[int, bytes]:
        try:
            with self._notes.open("rb") as file:
                lines = file.read(MAX_NOTES).decode("ascii", "replace").splitlines()
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._log(f"the notes {self._notes} cannot be read ({error}); going on without", level="warning")
            return {}
        found = (_NOTE.fullmatch(line) for line in lines)  # a torn line is none
        return {int(note[1]): bytes.fromhex(note[2]) for note in found if note}

    def _note(self, place: int, root: bytes) -> None:
        if self.roots.get(place) == root:
            return
        self.roots[place] = root
        try:
            self._notes.parent.mkdir(parents=True, exist_ok=True)
            with self._notes.open("a") as file:
                # A line of its own, even after one that a crash or a full disk has torn.
                file.write(f"\n{place} {root.hex()}\n")
        except OSError as error:
            self._log.once(
                f"the notes {self._notes} cannot be written ({error}): a restart will replay more",
                level="warning",
            )

    def _trouble(self, error: GavelError) -> None:
        self._log.once(f"{error}; the watcher goes on without its cache", level="warning")
