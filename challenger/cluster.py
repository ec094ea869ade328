"""Processes of a Ray cluster as a backend of a pool (actors.md, A-17); needs the extra `ray`.

The job travels as the bytes of its files, states as those of a store's objects, tasks and answers as msgpack;
every process checks the job by its id. Each node of the cluster needs the same version of gavel.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from challenger.worker import Answer, Setup, Task, Worker, answered
from protocol.errors import GavelError, MalformedError, UsageError
from protocol.files import trouble

SILENCE: Final = 3600.0
"""Seconds after which a task counts as lost, unless others take long; Ray tells of nodes that die."""

FILES: Final = ("job.json", "manifest.json", "program.bin", "inputs.safetensors", "genesis.safetensors")
"""Of a job's folder (S-7), in which there may be others that are nobody's business."""

PATIENCE: Final = 10
"""Times as long as the longest task so far that one may take."""


class Cluster:
    """Processes of a Ray cluster; a `Backend`."""

    own = False

    def __init__(
        self, address: str, job: Path, *, stores: Sequence[str], threads: int, processes: int | None = None
    ) -> None:
        """Join a cluster and send it the job.

        Args:
            address: of the cluster as `ray.init` takes it: HOST:PORT, ray://HOST:PORT, auto; local starts one
                on this machine.
            job: folder of the job.
            stores: URLs that the nodes can reach.
            threads: of each process; processes: how many, as many as the cluster has cores for unless given.

        Raises:
            UsageError: Ray is not installed, the cluster cannot be reached, or a store is a folder here.
            StorageError: the job cannot be read.
        """
        self._ray = _library()
        local = [url for url in stores if "://" not in url or url.startswith("file:")]
        if local and address != "local":
            raise UsageError(
                f"the nodes of a cluster cannot read {local[0]} of this machine; name the store by a URL "
                "that they can reach, or leave it out: states then travel from here"
            )
        self._joined = not self._ray.is_initialized()
        try:
            if self._joined:
                self._ray.init(address=address, log_to_driver=False, include_dashboard=None, **QUIET)
        except Exception as error:  # Ray has many, some of them plain RuntimeError
            raise UsageError(
                f"the Ray cluster {address} cannot be joined: {error}; name the address of one that runs, of "
                "the same Ray and Python versions"
            ) from error
        cores = int(self._ray.cluster_resources().get("CPU", 0))
        self.size = processes or max(cores // threads, 1)
        self._files = self._ray.put(_read(job))
        self._setup = Setup(folder="", cache="", stores=tuple(stores), threads=threads)
        self._kind: Any = self._ray.remote(num_cpus=threads, max_restarts=0)(Remote)
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Task, float]] = {}
        self._longest = 0.0

    def free(self) -> int:
        """How many more tasks it takes now."""
        return self.size - len(self._busy)

    def give(self, task: Task) -> None:
        """Hand a task to an idle process of the cluster, or to a new one."""
        actor = self._idle.pop() if self._idle else self._kind.remote(self._files, self._setup)
        self._busy[actor.do.remote(task.encode())] = (actor, task, time.monotonic())

    def collect(self, timeout: float) -> Sequence[tuple[Task, Answer | str]]:
        """See `Backend`."""
        if not self._busy:
            return []
        first, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=timeout)
        ready, _ = self._ray.wait(list(self._busy), num_returns=len(self._busy), timeout=0)
        found = [self._take(reference) for reference in dict.fromkeys([*first, *ready])]
        limit = time.monotonic() - max(SILENCE, PATIENCE * self._longest)
        for reference, (actor, task, since) in list(self._busy.items()):
            if since < limit:
                del self._busy[reference]
                self._ray.kill(actor)
                found.append((task, "a process of the cluster did not answer in time and was ended"))
        return found

    def _take(self, reference: Any) -> tuple[Task, Answer | str]:
        actor, task, since = self._busy.pop(reference)
        try:
            data = self._ray.get(reference)
            answer = Answer.decode(data)
            if (answer.segment, answer.start, answer.end) != (task.segment, task.start, task.end):
                raise MalformedError("a process of the cluster answered something else than it was asked")
        except Exception as error:  # whatever the cluster makes of it; Ray's own errors have no narrow base
            self._ray.kill(actor)
            said = (str(error).splitlines() or [type(error).__name__])[0]
            return task, f"a process of the cluster failed ({said}); another one does it again"
        self._longest = max(self._longest, time.monotonic() - since)
        self._idle.append(actor)
        return task, answer

    def close(self) -> None:
        """End the processes and leave the cluster."""
        for actor in [*self._idle, *(actor for actor, _, _ in self._busy.values())]:
            self._ray.kill(actor)
        self._idle, self._busy = [], {}
        if self._joined:
            self._ray.shutdown()
            self._joined = False


QUIET: Final = {"logging_level": "ERROR", "configure_logging": True}


class Remote:
    """A worker on a node of the cluster."""

    def __init__(self, files: Mapping[str, bytes], setup: Setup) -> None:
        """Write the job's files and load them, which checks them.

        Args:
            files: of the job's folder by name; setup: without folder and cache.

        Raises:
            GavelError: they are not a job.
        """
        self._room = TemporaryDirectory(prefix="gavel-")
        for name, data in files.items():
            (Path(self._room.name) / Path(name).name).write_bytes(data)
        self._worker = Worker(replace(setup, folder=self._room.name))

    def do(self, data: bytes) -> bytes:
        """Do a task; both are messages of challenger.worker."""
        try:
            return answered(self._worker, Task.decode(data)).encode()
        except GavelError as error:
            raise RuntimeError(str(error)) from error


def _read(job: Path) -> dict[str, bytes]:
    try:
        return {name: (job / name).read_bytes() for name in FILES}
    except OSError as error:
        raise trouble(f"the job in {job} cannot be read", error) from error


def _library() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--ray needs Ray, which is not installed here: pip install 'gavel[ray]', in the version that "
            "the cluster has"
        ) from error
    return ray
