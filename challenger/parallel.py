"""Several processes that replay claims, here or on a cluster: one pool, two backends (actors.md, A-17).

A pool hands out tasks and brings back answers, in any order. A process that dies or falls silent costs time:
its task goes to another one, and after two it comes back as one that the watcher is to do by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, Protocol

from challenger.worker import NONE, Answer, Setup, Task, serve
from protocol.chain.log import Said
from protocol.errors import MalformedError

TRIES: Final = 2
"""Processes that may fail at a task."""

HOPELESS: Final = 6
"""Failures in a row after which a pool is given up."""

SILENCE: Final = 900.0
"""Seconds without a sign of life after which a process counts as hung; one is given between steps."""


class Backend(Protocol):
    """Where processes run.

    Attributes:
        size: tasks that it does at the same time.
        own: whether its processes run on this machine and share its files: then they are believed (A-17).
    """

    size: int
    own: bool

    def free(self) -> int:
        """How many more tasks it takes now."""

    def give(self, task: Task) -> None:
        """Take a task; only while there is room."""

    def collect(self, timeout: float) -> Sequence[tuple[Task, Answer | str]]:
        """Wait up to some seconds for the first answers: by task an answer, or what went wrong."""

    def close(self) -> None:
        """End all that it has started."""


class Pool:
    """Tasks given to a backend, and what becomes of them.

    Attributes:
        backend: as given.
    """

    def __init__(self, backend: Backend, *, log: Said) -> None:
        """Args: log: told of processes that fail."""
        self.backend, self._log = backend, log
        self._again: list[Task] = []
        self._tries: dict[Task, int] = {}
        self._failures = 0

    @property
    def usable(self) -> bool:
        """Whether it still does anything."""
        return self._failures < HOPELESS

    @property
    def busy(self) -> int:
        """Tasks that have not come back."""
        return len(self._tries)

    def room(self) -> int:
        """How many more tasks it takes now."""
        return max(self.backend.free() - len(self._again), 0) if self.usable else 0

    def submit(self, task: Task) -> None:
        """Take a task; only while there is room."""
        self._tries[task] = 0
        self.backend.give(task)

    def collect(self, timeout: float) -> list[Answer]:
        """Wait up to some seconds for the first answers; one without a root, a change or `missing` failed."""
        done = []
        for task, answer in self.backend.collect(timeout if self._tries else 0.0):
            if isinstance(answer, Answer):
                self._failures = 0
                del self._tries[task]
                done.append(answer)
                continue
            self._failures += 1
            self._tries[task] += 1
            self._log(f"segment {task.segment + 1}: {answer}", level="warning", segment=task.segment)
            if self._tries[task] < TRIES and self.usable:
                self._again.append(task)
            else:
                done.append(self._given_up(task, answer))
        while self._again and self.usable and self.backend.free():
            self.backend.give(self._again.pop())
        if not self.usable:
            done += [self._given_up(task, "no process is left") for task in self._again]
            self._again = []
        return done

    def _given_up(self, task: Task, why: str) -> Answer:
        del self._tries[task]
        if not self.usable:
            self._log.once(
                f"{self._failures} processes failed one after the other, the last one so: {why}; this "
                "watcher replays by itself from now on: look for memory and disk, then start it again",
                level="error",
            )
        return Answer(segment=task.segment, start=task.start, end=task.end, trouble=why)

    def give_up(self) -> None:
        """End all processes and do nothing more."""
        self._failures = HOPELESS
        self._again.clear()
        self._tries.clear()
        self.close()

    def close(self) -> None:
        """End all processes."""
        self.backend.close()


@dataclass(slots=True)
class _Process:
    process: BaseProcess
    connection: Connection
    heard: float
    task: Task | None = None


class Processes:
    """Processes of this machine, started when they are needed; a `Backend`."""

    own = True

    def __init__(self, setup: Setup, count: int, *, silence: float = SILENCE) -> None:
        """Args: count: of processes; silence: seconds without a sign of life."""
        self.size = count
        self._setup, self._silence = setup, silence
        self._running: list[_Process] = []

    @property
    def pids(self) -> list[int]:
        """Of the processes that run now."""
        return [running.process.pid or 0 for running in self._running]

    def free(self) -> int:
        """How many more tasks it takes now."""
        return self.size - sum(running.task is not None for running in self._running)

    def give(self, task: Task) -> None:
        """Hand a task to an idle process, or to a new one."""
        idle = next((r for r in self._running if r.task is None), None) or self._start()
        idle.task, idle.heard = task, time.monotonic()
        with suppress(OSError):  # it has died; `collect` finds its end of the line closed
            idle.connection.send_bytes(task.encode())

    def collect(self, timeout: float) -> Sequence[tuple[Task, Answer | str]]:
        """See `Backend`."""
        found: list[tuple[Task, Answer | str]] = []
        until = time.monotonic() + timeout
        while not found and self._running:
            lines = {running.connection: running for running in self._running}
            ready = wait(list(lines), max(until - time.monotonic(), 0.0))
            for line in ready:
                running = lines[line]  # type: ignore[index]
                answer = self._hear(running)
                if answer is not None and running.task is not None:
                    found.append((running.task, answer))
                if isinstance(answer, str):
                    self._end(running)
                elif answer is not None:
                    running.task = None
            found += self._hung()
            if not ready:
                break
        return found

    def _hear(self, running: _Process) -> Answer | str | None:
        """One message: an answer, what is wrong, or None for a sign of life."""
        running.heard = time.monotonic()
        try:
            data = running.connection.recv_bytes()
            answer = Answer.decode(data) if data else None
            return answer.trouble if answer is not None and answer.segment == NONE else answer
        except (EOFError, OSError):
            running.process.join(1.0)
            code = running.process.exitcode
            return f"the process that replayed it died (status {code}); another one does it again"
        except MalformedError as error:
            return str(error)

    def _hung(self) -> list[tuple[Task, Answer | str]]:
        now = time.monotonic()
        found: list[tuple[Task, Answer | str]] = []
        for running in list(self._running):
            if running.task is not None and now - running.heard > self._silence:
                why = f"the process that replayed it gave no sign for {self._silence:.0f} s and was ended"
                found.append((running.task, why))
                self._end(running)
        return found

    def _start(self) -> _Process:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._setup, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        running = _Process(process, ours, time.monotonic())
        self._running.append(running)
        return running

    def _end(self, running: _Process) -> None:
        self._running.remove(running)
        running.connection.close()
        running.process.kill()
        running.process.join()
        running.process.close()

    def close(self) -> None:
        """End all processes."""
        for running in list(self._running):
            self._end(running)
