"""`gavel train --processes` and `gavel trainer run --processes` as typed, on a served chain (K-7, K-9)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import UsageError
from protocol.job_folder import JobFolder
from prover.engine.checkpoints import store_of_job
from prover.sharding.group import free_address
from tests.support.commands import SMALL, TERMS, Town, served


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with served() as devnet:
        yield Town.founded(devnet, tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def job(town: Town) -> Path:
    folder = town.folder / "job"
    town.done("requester", "job", "new", SMALL, folder, *TERMS, "--yes")
    return folder


def _roots(folder: Path) -> list[bytes]:
    loaded = JobFolder.load(folder)
    store = store_of_job(loaded, folder / "checkpoints")
    return [checkpoint.root for checkpoint in store.following(0, loaded.job.genesis)]


@pytest.fixture(scope="module")
def alone(town: Town, job: Path) -> list[bytes]:
    folder = town.folder / "alone"
    shutil.copytree(job, folder)
    town.done("trainer", "train", folder, "--segments", 2, "--no-lease")
    return _roots(folder)


def test_two_processes_of_this_machine_train_to_the_same_states(
    town: Town, job: Path, alone: list[bytes], tmp_path: Path
) -> None:
    shutil.copytree(job, tmp_path / "shared")
    told = town.done("trainer", "train", tmp_path / "shared", "--segments", 2, "--no-lease", "--processes", 2)
    assert "shares each step among 2 processes" in told
    assert _roots(tmp_path / "shared") == alone
    assert len(alone) == 2


def test_a_process_started_elsewhere_follows(
    town: Town, job: Path, alone: list[bytes], tmp_path: Path
) -> None:
    """It has a copy of the job folder and no key; it may come before the one that trains."""
    for name in ("leads", "follows"):
        shutil.copytree(job, tmp_path / name)
    address = free_address()
    command = [sys.executable, "-m", "gavel", "trainer", "follow", str(tmp_path / "follows")]
    command += ["--share", "2/2", "--rendezvous", address]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        arguments = ("--segments", 2, "--no-lease", "--processes", 2, "--rendezvous", address)
        told = town.done("trainer", "train", tmp_path / "leads", *arguments)
        said, _ = other.communicate(timeout=60)
    finally:
        other.kill()
    assert f"waits at {address}" in told
    assert other.returncode == 0
    assert "did its share of 6 steps" in said
    assert _roots(tmp_path / "leads") == alone


def test_it_trains_posts_and_collects_with_two_processes(town: Town, job: Path, tmp_path: Path) -> None:
    """The chain's time moves on while it runs, so that what it posts becomes final."""
    shutil.copytree(job, tmp_path / "run")
    ended = threading.Event()

    def clock() -> None:
        while not ended.is_set():
            town.pass_time(600)
            time.sleep(0.5)

    moving = threading.Thread(target=clock)
    moving.start()
    try:
        arguments = ("--processes", 2, "--poll", 0.1)
        told = town.done("trainer", "trainer", "run", tmp_path / "run", *arguments)
    finally:
        ended.set()
        moving.join()
    assert "done: all that it posted is final and collected" in told


def test_an_address_for_one_process_is_refused(town: Town, job: Path) -> None:
    refused = town.run("trainer", "train", job, "--segments", 1, "--rendezvous", "tcp://127.0.0.1:1")
    assert isinstance(refused.exception, UsageError)
    assert "say how many with --processes" in str(refused.exception)


@pytest.mark.parametrize("share", ["1/2", "3/2", "two", "0/0"])
def test_a_share_that_there_is_not_is_refused(town: Town, job: Path, share: str) -> None:
    arguments = ("--share", share, "--rendezvous", "tcp://127.0.0.1:1")
    refused = town.run("trainer", "trainer", "follow", job, *arguments, chain=False)
    assert isinstance(refused.exception, UsageError)
    assert "with K from 2 to N" in str(refused.exception)
