"""The court that the tests of one module share, put back after each of them; a job of the board's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protocol.job import Job
from tests.support.board import BoardWorld
from tests.support.court import CourtWorld


@pytest.fixture(scope="module")
def built() -> CourtWorld:
    return CourtWorld()


@pytest.fixture
def world(built: CourtWorld) -> Iterator[CourtWorld]:
    mark = built.evm.snapshot()
    yield built
    built.evm.revert_to(mark)


@pytest.fixture
def job(world: BoardWorld) -> Job:
    return world.job()


@pytest.fixture
def leased(world: BoardWorld, job: Job) -> bytes:
    """A job that Alice has leased."""
    job_id = world.open(job)
    world.board.call("lease", job_id, sender=world.alice)
    return job_id
