"""One process that replays claims for a watcher (actors.md, A-15, A-17): what it is told, does and answers.

States come from the cache that it shares with the watcher, from stores, or with the task; whatever comes is
checked by its root. Messages are msgpack, states are files or the bytes of files (stores.md, S-2).
"""

from __future__ import annotations

import io
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Self

import numpy as np

from challenger.suspicion import Change, change_of
from protocol.commitments.canonical import Words
from protocol.errors import GavelError, MalformedError, MismatchError, StorageError
from protocol.job_folder import JobFolder
from protocol.wire import pack, unpack
from protocol.words_file import chunks, read_words
from prover.engine.checkpoints import store_of_job
from prover.engine.hashing import state_root
from prover.engine.prepare import executor_of_job
from prover.engine.trace import replay_segment

HELD: Final = 2
"""States that a process holds, so that neighbouring claims read one state once."""

MAX_MESSAGE: Final = 1 << 40

NONE: Final = -1
"""Segment of an answer that is about none: the process could not begin."""

BEAT: Final = 5.0
"""Seconds between two signs of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a process begins with; plain values.

    Attributes:
        folder: path of the job's folder; cache: of the folder that it shares with the watcher, or "".
        stores: URLs, asked in this order for states that the cache does not have.
        threads: for large nodes and for hashing.
    """

    folder: str
    cache: str
    stores: tuple[str, ...]
    threads: int


class _Message:
    """A message of plain values; its bytes are msgpack."""

    __slots__ = ()

    def encode(self) -> bytes:
        """Return its bytes."""
        values = asdict(self)  # type: ignore[call-overload]
        return pack({name: list(v) if isinstance(v, tuple) else v for name, v in values.items()})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message in some bytes. Raises MalformedError if they hold none of this kind."""
        value = unpack(data, what="a message of a replaying process", limit=MAX_MESSAGE, nan=True)
        if not isinstance(value, dict) or set(value) != {field.name for field in fields(cls)}:  # type: ignore[arg-type]
            raise MalformedError(f"a replaying process sent something that is no {cls.__name__}")
        return cls(**value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(_Message):
    """A claim to be replayed, or only to be looked at.

    Attributes:
        segment: absolute, from 0; start: root of the state before it.
        end: b"" to replay; else the root of the state after it, whose words are compared with those before.
        keep: whether the state that the replay leads to is wanted.
        state: the one before the segment as a file (S-2), where the process cannot get it otherwise.
    """

    segment: int
    start: bytes
    end: bytes = b""
    keep: bool = False
    state: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(_Message):
    """What became of a task.

    Attributes:
        segment, start, end: as in the task.
        root: after a replay, of the state after the segment; b"" if there was none.
        missing: whether words were not to be had; trouble: why, or what else went wrong.
        change: after a look, by slot ||b - a|| / ||a||; broken: words that became NaN or infinite.
        seconds: that it took; state: the state after the segment as a file, where it could not be kept.
    """

    segment: int
    start: bytes
    end: bytes
    root: bytes = b""
    missing: bool = False
    trouble: str = ""
    change: Sequence[float] = ()
    broken: int = 0
    seconds: float = 0.0
    state: bytes = b""

    def observed(self) -> Change:
        """What a look has found."""
        return Change(relative=tuple(self.change), broken=self.broken)


class Worker:
    """Replays claims of one job, one after the other."""

    def __init__(self, setup: Setup, *, alive: Callable[[], object] = lambda: None) -> None:
        """Load the job, which checks it, and prepare it once for all tasks.

        Args:
            alive: called after every step.

        Raises:
            GavelError: the job cannot be read, or is not what its id says.
        """
        self._folder = JobFolder.load(Path(setup.folder))
        self._executor = executor_of_job(self._folder, threads=setup.threads)
        self._threads, self._alive = setup.threads, alive
        self._cache = store_of_job(self._folder, setup.cache) if setup.cache else None
        self._stores = [store_of_job(self._folder, url) for url in setup.stores]
        self._held: OrderedDict[bytes, Sequence[Words]] = OrderedDict()

    def do(self, task: Task) -> Answer:
        """Do a task; what goes wrong is in the answer."""
        began = time.perf_counter()
        answer = Answer(segment=task.segment, start=task.start, end=task.end)
        try:
            before, trouble = self._words(task.segment, task.start, task.state)
            if before is None:
                return replace(answer, missing=True, trouble=trouble)
            if task.end:
                after, trouble = self._words(task.segment + 1, task.end, b"")
                if after is None:
                    return replace(answer, missing=True, trouble=trouble)
                change = change_of(before, after)
                answer = replace(answer, change=change.relative, broken=change.broken)
            else:
                answer = self._replay(answer, before, task.keep)
        except GavelError as error:
            return replace(answer, trouble=str(error))
        return replace(answer, seconds=time.perf_counter() - began)

    def _replay(self, answer: Answer, before: Sequence[Words], keep: bool) -> Answer:
        geometry = self._folder.job.geometry
        first, count = answer.segment * geometry.stride, geometry.steps_of(answer.segment)
        state, _ = replay_segment(self._executor, before, first, count, progress=self._progress)
        root = self._root(state)
        self._hold(root, state)
        if keep and self._cache is None:
            return replace(answer, root=root, state=b"".join(chunks(state)))
        try:
            if keep and self._cache is not None:
                self._cache.save_state(root, state)
        except StorageError as error:
            return replace(answer, root=root, trouble=str(error))  # the root is worth the same
        return replace(answer, root=root)

    def _progress(self, _step: int, _loss: float) -> None:
        self._alive()

    def _words(self, place: int, root: bytes, data: bytes) -> tuple[Sequence[Words] | None, str]:
        """The words with a root, and what kept sources from giving them."""
        if root == self._folder.job.genesis:
            return self._folder.genesis, ""
        if root in self._held:
            self._held.move_to_end(root)
            return self._held[root], ""
        troubles = []
        if data:
            extents = [spec.extent for spec in self._folder.program.slots]
            state = read_words(io.BytesIO(data), extents, what="the state that came with a task")
            if self._root(state) != root:
                raise MismatchError(
                    "the state that came with a task is another one; it was changed on its way"
                )
            self._hold(root, state)
            return state, ""
        for store in [*([self._cache] if self._cache is not None else []), *self._stores]:
            try:
                found = store.load(place, root)
            except GavelError as error:
                troubles.append(str(error))
                continue
            if found is not None:
                self._hold(root, found)
                return found, ""
        return None, "; ".join(troubles)

    def _root(self, state: Sequence[Words]) -> bytes:
        geometry = self._folder.job.geometry
        return state_root(state, geometry.tensor_height, geometry.n_slots, threads=self._threads)

    def _hold(self, root: bytes, state: Sequence[Words]) -> None:
        self._held[root] = [np.asarray(words) for words in state]
        self._held.move_to_end(root)
        while len(self._held) > HELD:
            self._held.popitem(last=False)


def serve(line: Connection, setup: Setup, parent: int) -> None:
    """Do tasks until the other end of the line is closed; what a process of `Processes` runs.

    Args:
        parent: id of the process at the other end; without it there is nothing to do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the watcher too, which decides
    with suppress(EOFError, OSError):
        try:
            worker = Worker(setup, alive=_Beat(line, parent))
        except GavelError as error:
            line.send_bytes(Answer(segment=NONE, start=b"", end=b"", trouble=str(error)).encode())
            return
        while True:
            task = Task.decode(line.recv_bytes())
            line.send_bytes(answered(worker, task).encode())


def answered(worker: Worker, task: Task) -> Answer:
    """Do a task; whatever goes wrong, errors of this code included, costs time and ends no process."""
    try:
        return worker.do(task)
    except GavelError as error:
        trouble = str(error)
    except MemoryError:
        trouble = "not enough memory to replay a segment in this process; use fewer --processes"
    return Answer(segment=task.segment, start=task.start, end=task.end, trouble=trouble)


class _Beat:
    """A sign of life, now and then; ends the process when nobody waits for it any more."""

    def __init__(self, line: Connection, parent: int) -> None:
        self._send, self._parent, self._at = partial(line.send_bytes, b""), parent, 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._at < BEAT:
            return
        self._at = now
        if os.getppid() != self._parent:
            raise EOFError
        self._send()
