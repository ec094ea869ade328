"""What a watcher keeps between two runs: the roots that it has derived, and some of the states (A-11, A-19).

All of it can be derived again, so whatever goes wrong here is said and gone on without. Several processes of
one watcher share the folder: each state is a file of its own, under a name that follows from the state.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from protocol.chain.agent import Said
from protocol.checkpoints import CheckpointStore, object_name
from protocol.commitments.canonical import Words
from protocol.errors import GavelError
from protocol.game.isolation import isolated

LIMIT: Final = 4 << 30
"""Bytes of states, unless an operator says otherwise."""

FEWEST: Final = 2
"""States that stay, whatever they take: one to go on from, and the one before it."""

EVERY: Final = 30.0
"""Seconds between two states kept: a restart loses no more than that of replaying."""

MAX_NOTES: Final = 64 << 20
"""Bytes of notes that are read."""

_NOTE: Final = re.compile(r"(\d{1,10}) ([0-9a-f]{64})")
_CLAIM: Final = re.compile(r"claim (\d{1,10}) ([0-9a-f]{64}) ([0-9a-f]{64})")


class Cache:
    """A folder for one job. A *place* is a number of segments done.

    Attributes:
        folder: of the notes and states.
        roots: by place the state root that this watcher has derived or relied on, in this run or before.
        claims: by segment and root before it the root after it, as this machine has replayed it (A-15).
    """

    def __init__(self, folder: Path, store: CheckpointStore, *, log: Said, limit: int = LIMIT) -> None:
        """Read the notes of earlier runs.

        Args:
            folder: made when there is something to keep.
            store: of states, in that folder.
            log: told what cannot be read or written.
            limit: bytes that states may take (A-19).
        """
        self.folder = folder
        self._notes, self._store, self._log, self._limit = folder / "roots.txt", store, log, limit
        self._saved_at = -EVERY
        self._pinned: set[bytes] = set()
        self.roots: dict[int, bytes] = {}
        self.claims: dict[tuple[int, bytes], bytes] = {}
        self._read()

    def load(self, place: int, root: bytes) -> Sequence[Words] | None:
        """Return the state with a root, flat uint32 words of every slot, hashed; None where it is not kept.

        Args:
            place: for what is said of it.
        """
        if not self.has(root):
            return None
        with isolated(self._trouble):
            state = self._store.load(place, root)
            with suppress(OSError):
                os.utime(self._path(root))
            return state
        self.drop(root)
        return None

    def read(self, root: bytes) -> bytes:
        """Return the file of a state (S-2), unchecked; b"" where it is not kept."""
        with suppress(OSError):
            return self._path(root).read_bytes()
        return b""

    def drop(self, root: bytes) -> None:
        """Forget a state that was not what its name says."""
        with suppress(OSError):
            self._path(root).unlink(missing_ok=True)

    def has(self, root: bytes) -> bool:
        """Whether there is a file for the state with a root."""
        return self._path(root).is_file()

    def put(self, place: int, root: bytes, state: Sequence[Words], *, at_once: bool = False) -> None:
        """Note a root that was derived or relied on; keep its state if none was kept lately.

        Args:
            place, root: what is noted.
            state: flat uint32 words of every slot.
            at_once: keep the state in any case.
        """
        if self.roots.get(place) != root:
            self.roots[place] = root
            self._note(f"{place} {root.hex()}")
        if at_once or time.monotonic() - self._saved_at >= EVERY:
            self._saved_at = time.monotonic()
            self.keep(root, state)

    def keep(self, root: bytes, state: Sequence[Words]) -> None:
        """Keep a state, flat uint32 words of every slot, whose root is known to be this."""
        with isolated(self._trouble):
            self._store.save_state(root, state)
        self.trim()

    def note_claim(self, segment: int, start: bytes, end: bytes) -> None:
        """Note where a segment leads from a state, as this machine has replayed it."""
        if self.claims.get((segment, start)) != end:
            self.claims[segment, start] = end
            self._note(f"claim {segment} {start.hex()} {end.hex()}")

    def pin(self, roots: Collection[bytes]) -> None:
        """Let these states stay and no others that were pinned before (A-16)."""
        self._pinned = set(roots)

    def trim(self) -> None:
        """Remove what was used longest ago until the rest is within the limit; what is gone is not missed."""
        found = []
        with suppress(OSError):
            for path in self._path(bytes(32)).parent.glob("*.safetensors"):
                with suppress(OSError):
                    about = path.stat()
                    found.append((about.st_mtime_ns, about.st_size, path))
        total = sum(size for _, size, _ in found)
        pinned = {self._path(root) for root in self._pinned}
        for _, size, path in sorted(found)[:-FEWEST]:
            if total <= self._limit:
                return
            if path not in pinned:
                total -= size
                with suppress(OSError):
                    path.unlink()

    def _path(self, root: bytes) -> Path:
        return self.folder / object_name(root)

    def _read(self) -> None:
        try:
            with self._notes.open("rb") as file:
                lines = file.read(MAX_NOTES).decode("ascii", "replace").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            self._log(f"the notes {self._notes} cannot be read ({error}); going on without", level="warning")
            return
        for line in lines:
            if note := _NOTE.fullmatch(line):  # a torn line is neither
                self.roots[int(note[1])] = bytes.fromhex(note[2])
            elif note := _CLAIM.fullmatch(line):
                self.claims[int(note[1]), bytes.fromhex(note[2])] = bytes.fromhex(note[3])

    def _note(self, line: str) -> None:
        try:
            self._notes.parent.mkdir(parents=True, exist_ok=True)
            with self._notes.open("a") as file:
                # A line of its own, even after one that a crash or a full disk has torn.
                file.write(f"\n{line}\n")
        except OSError as error:
            self._log.once(
                f"the notes {self._notes} cannot be written ({error}): a restart will replay more",
                level="warning",
            )

    def _trouble(self, error: GavelError) -> None:
        self._log.once(f"{error}; the watcher goes on without its cache", level="warning")
