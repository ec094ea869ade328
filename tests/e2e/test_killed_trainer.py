"""A trainer that is killed again and again, within steps and within writes, ends with the same bits."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from gavel.jobs import make_executor
from gavel.scenarios.job import STRIDE, small_job
from protocol.checkpoints import CheckpointStore
from protocol.job_folder import JobFolder
from prover.engine.checkpoints import store_of_job
from prover.engine.executor import Executor
from prover.engine.trace import trace_of_job
from prover.trainer import Trainer

ROOT = Path(__file__).parents[2]


def _roots(folder: JobFolder) -> list[bytes]:
    truth = trace_of_job(make_executor(folder), folder)
    return [truth.state_root(STRIDE * n) for n in range(1, folder.job.geometry.segments + 1)]


def _following(store: CheckpointStore, folder: JobFolder) -> list[bytes]:
    return [checkpoint.root for checkpoint in store.following(0, folder.job.genesis)]


def _train_on(folder: JobFolder, store: CheckpointStore, executor: Executor, pause: float) -> None:
    """Train from what is stored to the end of the job, as `gavel train` does."""
    done = store.following(0, folder.job.genesis)
    first, root = (done[-1].segments, done[-1].root) if done else (0, folder.job.genesis)
    trainer = Trainer(folder=folder, executor=executor, store=store)
    left = folder.job.geometry.segments - first
    if not left:  # killed after its last write
        return
    for _ in trainer.train(
        first_segment=first, root=root, segments=left, progress=lambda *_: time.sleep(pause)
    ):
        pass


def test_killed_processes_go_on_to_the_same_bits(tmp_path: Path) -> None:
    """Each process is killed at a random moment; every one of them keeps what the one before had stored."""
    folder, draw = small_job(), random.Random(3)
    executor, store, right = make_executor(folder), store_of_job(folder, tmp_path), _roots(folder)
    progress = []
    for attempt in range(200):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _train_on(folder, store, executor, 0.004)
                code = 0
            finally:
                os._exit(code)
        if attempt < 40:
            time.sleep(draw.uniform(0.0, 0.05))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        found = _following(store, folder)
        assert found == right[: len(found)]
        progress.append(len(found))
        for number, root in enumerate(found, 1):
            assert store.load(number, root) is not None
        if os.WIFEXITED(status):
            break
    assert os.waitstatus_to_exitcode(status) == 0
    assert progress == sorted(progress)
    assert len(progress) > 2
    assert found == right


class _Killed(BaseException):
    """Ends a training as a signal would."""


def test_an_end_at_any_write_leaves_a_store_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that changes the disk is once the last one of a process, before and after its effect."""
    folder = small_job()
    executor, right = make_executor(folder), _roots(folder)
    for last in range(1, 26):
        store = store_of_job(folder, tmp_path / str(last))
        calls = 0

        def counted(act, *, last=last):  # type: ignore[no-untyped-def]
            def run(*arguments, **options):  # type: ignore[no-untyped-def]
                nonlocal calls
                calls += 1
                if calls == last:
                    raise _Killed
                done = act(*arguments, **options)
                calls += 1
                if calls == last:
                    raise _Killed
                return done

            return run

        with monkeypatch.context() as patched:
            for name in ("fsync", "replace"):
                patched.setattr(os, name, counted(getattr(os, name)))
            trainer = Trainer(folder=folder, executor=executor, store=store)
            with pytest.raises(_Killed):
                list(trainer.train(first_segment=0, root=folder.job.genesis, segments=4))
        found = _following(store, folder)
        assert found == right[: len(found)]
        # The search for room is one write; a checkpoint is two. Each is flushed and moved, before and after.
        assert len(found) == max(last - 4, 0) // 8
        first = len(found)
        again = Trainer(folder=folder, executor=executor, store=store)
        root = found[-1] if found else folder.job.genesis
        segments = list(again.train(first_segment=first, root=root, segments=4 - first))
        assert [segment.root for segment in segments] == right[first:]
        assert not list((tmp_path / str(last)).rglob("*.partial"))
