"""The fast schedule against the reference, position by position."""

from __future__ import annotations

import pytest

from protocol.program import schedule
from prover.engine import rows
from prover.engine.rows import Schedule

SEED = bytes(range(1, 33))


@pytest.mark.parametrize("n_rows", [0, 1, 2, 3, 5, 16, 17, 64, 100, 257, 2**20 + 7])
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
@pytest.mark.parametrize("whole", [True, False])
def test_batches(n_rows: int, batch: int, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "WHOLE_EPOCH", 1 << 10 if whole else 0)
    fast = Schedule(SEED, n_rows, batch)
    for step in (0, 1, 2, 15, 40, 3, 2**33):
        wanted = schedule.rows(SEED, n_rows, batch, step)
        assert fast.rows(step, 0, batch).tolist() == wanted.tolist()


def test_positions_outside_the_batch() -> None:
    fast = Schedule(SEED, 10, 4)
    for step, start, count in [(0, 3, 9), (5, 2**32 - 2, 4), (2**62, 0, 4), (1, 100, 30)]:
        wanted = [schedule.row(SEED, 10, 4, step, (start + i) % 2**32) for i in range(count)]
        assert fast.rows(step, start, count).tolist() == wanted


def test_no_batch() -> None:
    assert Schedule(SEED, 9, 0).rows(3, 0, 5).tolist() == [schedule.row(SEED, 9, 0, 3, i) for i in range(5)]
