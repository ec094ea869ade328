"""Training: segments of a job one after another, with checkpoints (actors.md, A-5, A-7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.errors import MismatchError, UsageError
from protocol.game.trace import HONEST, Hooks
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.hashing import state_root
from prover.engine.trace import Progress, replay_segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One trained segment.

    Attributes:
        number: of the segment, from 0.
        root: of the state after it, 32 bytes.
        losses: per step.
        seconds: that it took, hashing and storing included.
    """

    number: int
    root: bytes
    losses: tuple[float, ...]
    seconds: float


class Trainer:
    """Trains one job, storing the state after each segment."""

    def __init__(
        self, *, folder: JobFolder, executor: Executor, store: CheckpointStore, hooks: Hooks = HONEST
    ) -> None:
        """Bind the parts; nothing runs yet.

        Args:
            folder, executor: of the job.
            store: of checkpoints; the genesis state need not be in it.
            hooks: departs from the program, for drills.
        """
        self._folder, self._executor, self._store = folder, executor, store
        self._hooks = hooks

    def state(self, segments: int, root: bytes) -> Sequence[Words]:
        """Return the state with this root after some segments: stored, or replayed from what is stored (A-7).

        Raises:
            MismatchError: an honest replay does not lead to the root. Whoever posted it is wrong: do not
                build on it.
        """
        stored = self._store.load(segments, root)
        if stored is not None:
            return stored
        known, state = self._latest_replayed(segments)
        for number in range(known, segments):
            state, _ = self._run(state, number, HONEST)
        found = self._root(state)
        if found != root:
            raise MismatchError(
                f"a replay of {segments} segments ends in state {found.hex()}, the chain has {root.hex()}: "
                "the tip is wrong; do not build on it, and dispute it with `gavel watch`"
            )
        return state

    def _latest_replayed(self, segments: int) -> tuple[int, Sequence[Words]]:
        """The last checkpoint that stored ones lead to from genesis, at most `segments` on."""
        path = [c for c in self._store.following(0, self._folder.job.genesis) if c.segments <= segments]
        for checkpoint in reversed(path):
            state = self._store.load(checkpoint.segments, checkpoint.root)
            if state is not None:
                return checkpoint.segments, state
        return 0, self._folder.genesis

    def train(
        self,
        *,
        first_segment: int,
        root: bytes,
        segments: int,
        progress: Progress | None = None,
        ready: Callable[[], object] | None = None,
    ) -> Iterator[Segment]:
        """Train segments from a state, storing and yielding each.

        Args:
            first_segment: number of the first one; root: of the state before it.
            segments: how many.
            progress: told each step and its loss.
            ready: called once the state before the first segment is there, and before anything is trained:
                this is when to take the lease (A-7).

        Raises:
            UsageError: the job has not so many segments left.
            MismatchError: the state before the first one cannot be reproduced.
        """
        total = self._folder.job.geometry.segments
        if segments < 1 or first_segment + segments > total:
            raise UsageError(
                f"segments {first_segment} to {first_segment + segments - 1} are not all among the job's "
                f"{total}; train fewer"
            )
        state = self.state(first_segment, root)
        if ready is not None:
            ready()
        for number in range(first_segment, first_segment + segments):
            began = time.perf_counter()
            state, losses = self._run(state, number, self._hooks, progress)
            parent, root = root, self._root(state)
            self._store.save(segments=number + 1, root=root, parent=parent, losses=losses, state=state)
            yield Segment(number=number, root=root, losses=tuple(losses), seconds=time.perf_counter() - began)

    def _root(self, state: Sequence[Words]) -> bytes:
        geometry = self._folder.job.geometry
        return state_root(state, geometry.tensor_height, geometry.n_slots)

    def _run(
        self, state: Sequence[Words], segment: int, hooks: Hooks, progress: Progress | None = None
    ) -> tuple[list[Words], list[float]]:
        geometry = self._folder.job.geometry
        first, steps = segment * geometry.stride, geometry.steps_of(segment)
        return replay_segment(self._executor, state, first, steps, hooks=hooks, progress=progress)
