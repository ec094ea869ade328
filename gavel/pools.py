"""Processes that replay for a watcher, put together from the options of `gavel watch` (actors.md, A-15)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from challenger.cache import LIMIT, Cache
from challenger.parallel import Backend, Pool, Processes
from challenger.worker import Setup
from protocol.chain.log import Log, Said
from protocol.job_folder import JobFolder
from prover.engine.checkpoints import store_of_job


def cache_of(job: JobFolder, folder: Path | None, *, size: float | None, log: Log) -> Cache:
    """Return the cache of a job, in a folder of its own.

    Args:
        folder: with the caches of all jobs; one that goes when the command ends unless given.
        size: GiB that its states may take.
    """
    if folder is None:
        room = TemporaryDirectory(prefix="gavel-watch-")
        click.get_current_context().call_on_close(room.cleanup)
        folder = Path(room.name)
    own = folder / job.job.job_id.hex()
    limit = LIMIT if size is None else round(size * (1 << 30))
    return Cache(own, store_of_job(job, own), log=Said(log), limit=limit)


def replaying(
    path: Path,
    job: JobFolder,
    *,
    cache: Path | None,
    processes: int | None,
    stores: Sequence[str],
    threads: int,
    log: Log,
    size: float | None = None,
    ray: str | None = None,
) -> tuple[Cache | None, Pool | None]:
    """Return what a job's replay is done with, apart from this process: a cache, and processes that share it.

    Args:
        cache, size: as `cache_of`; the rest as `pool_of`. None for both processes and ray: no pool, and no
            cache either unless one is named.

    Raises:
        UsageError: as `pool_of`.
    """
    apart = processes is not None or ray is not None
    if cache is None and not apart:
        return None, None
    kept = cache_of(job, cache, size=size, log=log)
    if not apart:
        return kept, None
    return kept, pool_of(path, kept, processes=processes, ray=ray, stores=stores, threads=threads, log=log)


def pool_of(
    path: Path,
    cache: Cache,
    *,
    processes: int | None,
    ray: str | None,
    stores: Sequence[str],
    threads: int,
    log: Log,
) -> Pool:
    """Return a pool, which is closed when the command ends.

    Args:
        path: of the job's folder.
        processes: how many; all that a cluster has cores for unless given.
        ray: address of a Ray cluster, or None for processes of this machine.
        stores: URLs; threads: of each process.

    Raises:
        UsageError: the cluster cannot be joined, or Ray is not installed.
    """
    backend: Backend
    if ray is not None:
        from challenger.cluster import Cluster

        backend = Cluster(ray, path, stores=stores, threads=threads, processes=processes)
    else:
        setup = Setup(folder=str(path), cache=str(cache.folder), stores=tuple(stores), threads=threads)
        backend = Processes(setup, processes or 1)
    pool = Pool(backend, log=Said(log))
    click.get_current_context().call_on_close(pool.close)
    return pool
