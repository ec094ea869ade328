"""How fast a watcher replays: against training, and by the number of its processes (actors.md, A-15).

    python -m benchmarks.replay_speed [--json] [--processes 1 2] [--ray]

Per model, seconds for a segment of `prover.trainer.Trainer`, which trains, commits and writes a checkpoint,
and of the watcher's `challenger.replay.Replay`, which replays, commits and compares; the two take turns
segment by segment, on one thread each, and the medians are compared. Then segments per second of the same
replay over a pool of processes, whose start (load and check the job, prepare the executor) is counted by
itself: `stored` where a store has every state, so that segments are replayed side by side, `derived` where
none has, so that order is forced and states travel by the cache. With --ray the same over a Ray cluster
started on this machine, stored. `prepare` is the executor of the job: made, and made with its first step,
once its kernels are in the cache on disk. A machine with other work gives smaller figures: its load is
among them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.hashing import cpu_model
from benchmarks.zoo import full
from challenger.cache import Cache
from challenger.parallel import Backend, Pool, Processes
from challenger.replay import Replay
from challenger.worker import Setup
from gavel.demo.model import digits_classifier
from gavel.jobs import capture_job
from gavel.setup import TrainingSetup
from protocol.chain.log import Said
from protocol.game.trace import HONEST
from protocol.game.view import UpdateInfo, UpdateStatus
from protocol.job import load_preset
from protocol.job_folder import JobFolder
from prover.engine.checkpoints import store_of_job
from prover.engine.prepare import executor_of_job
from prover.engine.trace import run_step
from prover.trainer import Trainer

SEGMENTS: Final = 12
ROUNDS: Final = 3
"""Of a pool, the first of which starts its processes."""

NOBODY: Final = bytes(20)


def setups() -> Iterator[tuple[str, TrainingSetup, int, int]]:
    """Name, training, batch and steps of a segment: the demo's model and a larger one."""
    yield "digits", digits_classifier(), 32, 50
    lenet = full("lenet5")
    yield "lenet5", lenet.setup, lenet.batch, 5


def job_of(setup: TrainingSetup, batch: int, stride: int) -> JobFolder:
    """The job of a training, open nowhere."""
    return capture_job(
        setup,
        chain_id=0,
        board=NOBODY,
        requester=NOBODY,
        preset=load_preset("minimal"),
        steps=SEGMENTS * stride,
        stride=stride,
        batch=batch,
        seed=bytes(32),
        salt=bytes(32),
        expiry=0,
    )


def chain_of(job: JobFolder, roots: Sequence[bytes]) -> list[UpdateInfo]:
    """The updates that post these roots, as many segments in each as the job allows."""
    states, most = [job.job.genesis, *roots], job.job.geometry.max_segments
    chain: list[UpdateInfo] = []
    for first in range(0, len(roots), most):
        posted = tuple(roots[first : first + most])
        chain.append(
            UpdateInfo(
                update=first.to_bytes(32),
                job=job.job.job_id,
                parent=bytes(32),
                trainer=NOBODY,
                index=len(chain),
                first_segment=first,
                segments=len(posted),
                first_state=states[first],
                states=posted,
                deadline=1 << 40,
                status=UpdateStatus.PENDING,
            )
        )
    return chain


def quiet(*_: object, **__: object) -> None:
    """A log for nobody."""


class Scene:
    """One job, trained, in a folder of its own.

    Attributes:
        job, path, chain: the job, its folder, and what was posted.
        store: folder with every state.
    """

    def __init__(self, setup: TrainingSetup, batch: int, stride: int, room: Path) -> None:
        self.job, self.path, self.room, self.store = (
            job_of(setup, batch, stride),
            room / "job",
            room,
            room / "s",
        )
        self.job.save(self.path)
        self.executor = executor_of_job(self.job)
        self.chain = chain_of(self.job, [done.root for done in self.train(self.store)])
        self._caches = 0

    def train(self, store: Path) -> Iterator[Any]:
        """Train the whole job into a store."""
        trainer = Trainer(folder=self.job, executor=self.executor, store=store_of_job(self.job, store))
        return trainer.train(first_segment=0, root=self.job.job.genesis, segments=SEGMENTS)

    def cache(self) -> Cache:
        """A new, empty cache."""
        self._caches += 1
        folder = self.room / f"cache{self._caches}"
        return Cache(folder, store_of_job(self.job, folder), log=Said(quiet))


def against_training(scene: Scene) -> dict[str, float]:
    """Seconds for a segment of trainer and watcher, in turns."""
    replay = Replay(scene.executor, scene.job, log=Said(quiet), cache=scene.cache())
    trained, replayed = [], []
    for done in scene.train(scene.room / "again"):
        trained.append(done.seconds)
        began = time.perf_counter()
        replay.advance(scene.chain)
        replayed.append(time.perf_counter() - began)
    while replay.advance(scene.chain):
        pass
    assert set(replay.differences.values()) == {None}
    train, watch = statistics.median(trained), statistics.median(replayed)
    return {"trainer": train, "replay": watch, "ratio": watch / train}


def preparing(scene: Scene) -> dict[str, float]:
    """Seconds to make the executor, alone and with a first step."""
    began = time.perf_counter()
    executor = executor_of_job(scene.job)
    made = time.perf_counter() - began
    run_step(executor, scene.job.genesis, 0, keep_outputs=False, hooks=HONEST)
    return {"executor": made, "with_first_step": time.perf_counter() - began}


Make = Callable[[Cache, Sequence[str]], Backend]


def side_by_side(scene: Scene, make: Make, *, stored: bool) -> dict[str, float]:
    """Seconds until every process has answered once, and segments per second from then on."""
    cache = scene.cache()
    stores = [str(scene.store)] if stored else []
    pool = Pool(make(cache, stores), log=Said(quiet))
    known = [store_of_job(scene.job, url) for url in stores]
    try:
        first, speed = 0.0, []
        for _ in range(ROUNDS):
            (cache.folder / "roots.txt").unlink(missing_ok=True)
            fresh = Cache(cache.folder, store_of_job(scene.job, cache.folder), log=Said(quiet))
            for path in cache.folder.rglob("*.safetensors"):
                path.unlink()
            replay = Replay(
                scene.executor, scene.job, log=Said(quiet), cache=fresh, stores=known, pool=pool, listed=known
            )
            began = time.perf_counter()
            while replay.advance(scene.chain):
                pass
            took = time.perf_counter() - began
            assert set(replay.differences.values()) == {None}
            if first:
                speed.append(SEGMENTS / took)
            first = first or took
    finally:
        pool.close()
    best = statistics.median(speed)
    return {"segments_per_second": best, "start": max(first - SEGMENTS / best, 0.0)}


def measure(scene: Scene, counts: Sequence[int], *, ray: bool) -> dict[str, Any]:
    """All figures of one job."""

    def here(count: int) -> Make:
        def make(cache: Cache, stores: Sequence[str]) -> Backend:
            setup = Setup(folder=str(scene.path), cache=str(cache.folder), stores=tuple(stores), threads=1)
            return Processes(setup, count)

        return make

    def cluster(count: int) -> Make:
        def make(_: Cache, stores: Sequence[str]) -> Backend:
            from challenger.cluster import Cluster

            return Cluster("local", scene.path, stores=stores, threads=1, processes=count)

        return make

    geometry = scene.job.job.geometry
    return {
        "steps_per_segment": geometry.stride,
        "batch": geometry.batch,
        "state_bytes": sum(words.nbytes for words in scene.job.genesis),
        "prepare_seconds": preparing(scene),
        "seconds_per_segment": against_training(scene),
        "stored": {str(count): side_by_side(scene, here(count), stored=True) for count in counts},
        "derived": {str(count): side_by_side(scene, here(count), stored=False) for count in counts},
        "ray": {str(count): side_by_side(scene, cluster(count), stored=True) for count in counts if ray},
    }


def main() -> None:
    """Print the report, as a table or as one JSON object."""
    parser = argparse.ArgumentParser(description="replaying against training, and by number of processes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ray", action="store_true", help="measure a Ray cluster on this machine too")
    arguments = parser.parse_args()
    models = {}
    for name, setup, batch, stride in setups():
        with tempfile.TemporaryDirectory() as room:
            scene = Scene(setup, batch, stride, Path(room))
            models[name] = measure(scene, arguments.processes, ray=arguments.ray)
    machine = {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[1],
        "python": platform.python_version(),
        "segments": SEGMENTS,
    }
    if arguments.json:
        print(json.dumps({"machine": machine, "models": models}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print("| model | trainer | replay | ratio | processes | stored | derived | ray | start |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, row in models.items():
        each = row["seconds_per_segment"]
        for count, stored in row["stored"].items():
            rates = [
                row[kind].get(count, {}).get("segments_per_second") for kind in ("stored", "derived", "ray")
            ]
            told = " | ".join("-" if rate is None else f"{rate:.2f}/s" for rate in rates)
            print(
                f"| {name} | {each['trainer'] * 1e3:.0f} ms | {each['replay'] * 1e3:.0f} ms "
                f"| {each['ratio']:.2f} | {count} | {told} | {stored['start']:.1f} s |"
            )


if __name__ == "__main__":
    main()
