"""How threads share the work of one step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event

import numpy as np
import pytest

from prover.engine.steps import PARALLEL_POINTS, Runtime


@contextmanager
def runtime(threads: int) -> Iterator[Runtime]:
    pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
    try:
        yield Runtime(threads=threads, pool=pool, flags=np.zeros((1, 3), np.int64))
    finally:
        if pool is not None:
            pool.shutdown()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 64])
def test_every_part_is_done_once(threads: int, count: int) -> None:
    with runtime(threads) as shared:
        for _ in range(20):
            done: list[int] = []
            shared.each(done.append, count)
            assert sorted(done) == list(range(count))


def test_parts_run_side_by_side() -> None:
    together = Barrier(3)

    def work(_: int) -> None:
        together.wait(timeout=30)  # broken if fewer than three meet

    with runtime(3) as shared:
        shared.each(work, 3)


def test_nobody_waits_for_a_pool_that_does_other_work() -> None:
    ends, done = Event(), list[int]()
    with runtime(2) as shared:
        assert shared.pool is not None
        other = shared.pool.submit(ends.wait, 60)
        shared.each(done.append, 4)
        assert not other.done()
        ends.set()
    assert done == [0, 1, 2, 3]


@pytest.mark.parametrize("fails", range(4))
def test_an_error_is_raised_when_no_part_runs_any_more(fails: int) -> None:
    begun, ended = list[int](), list[int]()

    def work(part: int) -> None:
        begun.append(part)
        time.sleep(0.01)
        ended.append(part)
        if part == fails:
            raise ArithmeticError(part)

    with runtime(4) as shared:
        with pytest.raises(ArithmeticError):
            shared.each(work, 4)
        assert sorted(begun) == sorted(ended)


def test_little_work_is_not_cut() -> None:
    with runtime(2) as shared:
        assert shared.parts(PARALLEL_POINTS - 1) == 1
        assert shared.parts(PARALLEL_POINTS) == 2
