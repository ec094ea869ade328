"""Training: segments of a job one after another, with checkpoints (actors.md, A-5, A-7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.errors import GavelError, MismatchError, UsageError
from protocol.game.isolation import Report, isolated
from protocol.game.trace import HONEST, Hooks
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.hashing import state_root
from prover.engine.trace import Progress, replay_segment


class WrongTipError(MismatchError):
    """A replay does not lead to the state that the chain has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a training that goes on.

    Attributes:
        number: of the step, from the start of the job.
        loss: of it.
        replayed: whether it leads to the state to train from, and is not trained itself.
    """

    number: int
    loss: float
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One trained and stored segment.

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

    def line(self, total: int) -> str:
        """One short line for people; `total` segments are in the job."""
        mean = sum(self.losses) / len(self.losses)
        return f"trained segment {self.number + 1} of {total}: mean loss {mean:.4f}, {self.seconds:.2f} s"


Given = Callable[[bytes], Sequence[Words] | None]
"""From a state root to the words of the state, checked against it; None where there are none."""

Replay = Generator[Step, None, Sequence[Words]]


def ignore_trouble(_error: GavelError) -> None:
    """Go on: a checkpoint that cannot be read costs a replay and nothing else (S-5)."""


class Trainer:
    """Trains one job, storing the state after each segment.

    It keeps nothing: after an interruption at any moment it goes on from the last stored segment, to the same
    bits.
    """

    def __init__(
        self,
        *,
        folder: JobFolder,
        executor: Executor,
        store: CheckpointStore,
        hooks: Hooks = HONEST,
        given: Given = lambda _: None,
        report: Report = ignore_trouble,
    ) -> None:
        """Bind the parts; nothing runs yet.

        Args:
            folder, executor: of the job.
            store: of checkpoints; the genesis state need not be in it.
            hooks: departs from the program, for drills.
            given: states that somebody else has computed, which are not replayed (K-1).
            report: told of checkpoints that cannot be read; they are replayed.
        """
        self._folder, self._executor, self._store = folder, executor, store
        self._hooks, self._given, self._report = hooks, given, report

    def state(self, segments: int, root: bytes) -> Sequence[Words]:
        """Return the state with this root after some segments: stored, given, or replayed (A-7, K-1).

        Raises:
            WrongTipError: an honest replay does not lead to the root. Whoever posted it is wrong: do not
                build on it.
        """
        replay = self._state(segments, root)
        while True:
            try:
                next(replay)
            except StopIteration as end:
                state: Sequence[Words] = end.value
                return state

    def _state(self, segments: int, root: bytes) -> Replay:
        stored = self._stored(segments, root)
        if stored is None:
            stored = self._given(root)
        if stored is not None:
            return stored
        known, state = self._latest_replayed(segments)
        for number in range(known, segments):
            state, _ = yield from self._run(state, number, HONEST, replayed=True)
        found = self._root(state)
        if found != root:
            raise WrongTipError(
                f"a replay of {segments} segments ends in state {found.hex()}, the chain has {root.hex()}: "
                "the tip is wrong; do not build on it, and dispute it with `gavel watch`"
            )
        return state

    def _stored(self, segments: int, root: bytes) -> Sequence[Words] | None:
        with isolated(self._report):
            return self._store.load(segments, root)
        return None

    def _latest_replayed(self, segments: int) -> tuple[int, Sequence[Words]]:
        """The last checkpoint that stored ones lead to from genesis, at most `segments` on."""
        path = [c for c in self._store.following(0, self._folder.job.genesis) if c.segments <= segments]
        for checkpoint in reversed(path):
            state = self._stored(checkpoint.segments, checkpoint.root)
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
        """Train segments from a state, storing and yielding each; arguments and errors as for `work`.

        Args:
            progress: told each trained step and its loss.
        """
        for done in self.work(first_segment=first_segment, root=root, segments=segments, ready=ready):
            if isinstance(done, Segment):
                yield done
            elif progress is not None and not done.replayed:
                progress(done.number, done.loss)

    def work(
        self, *, first_segment: int, root: bytes, segments: int, ready: Callable[[], object] | None = None
    ) -> Iterator[Step | Segment]:
        """Train segments from a state, yielding after each step, so that a caller can do something else.

        Args:
            first_segment: number of the first one; root: of the state before it.
            segments: how many.
            ready: called once the state before the first segment is there, and before anything is trained:
                this is when to take the lease (A-7).

        Raises:
            UsageError: the job has not so many segments left.
            WrongTipError: the state before the first one cannot be reproduced.
            StorageError: a checkpoint cannot be written; what is stored before it stays. As far as it can be
                known, it is said before `ready` is called.
        """
        total = self._folder.job.geometry.segments
        if segments < 1 or first_segment + segments > total:
            raise UsageError(
                f"segments {first_segment + 1} to {first_segment + segments} are not all among the job's "
                f"{total}; train fewer"
            )
        self._store.check_room(segments)  # before the lease is taken, and before a long replay
        state = yield from self._state(first_segment, root)
        if ready is not None:
            ready()
        for number in range(first_segment, first_segment + segments):
            began = time.perf_counter()
            state, losses = yield from self._run(state, number, self._hooks, replayed=False)
            parent, root = root, self._root(state)
            self._store.save(segments=number + 1, root=root, parent=parent, losses=losses, state=state)
            yield Segment(number=number, root=root, losses=tuple(losses), seconds=time.perf_counter() - began)

    def _root(self, state: Sequence[Words]) -> bytes:
        # In a drill there may be false slots after the last one.
        return state_root(state, self._folder.job.geometry.tensor_height, len(state))

    def _run(
        self, state: Sequence[Words], segment: int, hooks: Hooks, *, replayed: bool
    ) -> Generator[Step, None, tuple[Sequence[Words], list[float]]]:
        geometry, losses = self._folder.job.geometry, []
        first = segment * geometry.stride
        for number in range(first, first + geometry.steps_of(segment)):
            state, [loss] = replay_segment(self._executor, state, number, 1, hooks=hooks)
            losses.append(loss)
            yield Step(number=number, loss=loss, replayed=replayed)
        return state, losses
