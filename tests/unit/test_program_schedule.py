"""The batch schedule (program.md, P-7)."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from protocol.program import schedule

SEED = sha256(b"seed").digest()


@pytest.mark.parametrize(("n_rows", "batch"), [(1, 1), (2, 1), (7, 2), (64, 8), (65, 10), (300, 7), (5, 5)])
def test_an_epoch_takes_each_row_at_most_once(n_rows: int, batch: int) -> None:
    steps = n_rows // batch
    for epoch in range(3):
        taken = [
            int(row)
            for step in range(epoch * steps, (epoch + 1) * steps)
            for row in schedule.rows(SEED, n_rows, batch, step)
        ]
        assert len(taken) == steps * batch
        assert len(set(taken)) == len(taken)
        assert all(0 <= row < n_rows for row in taken)


def test_epochs_and_seeds_differ() -> None:
    first = list(schedule.rows(SEED, 500, 500, 0))
    assert first != list(schedule.rows(SEED, 500, 500, 1))
    assert first != list(schedule.rows(sha256(b"other").digest(), 500, 500, 0))
    assert sorted(first) == list(range(500))


def test_one_row_by_hand() -> None:
    """Ten rows need w = 2: sixteen places, walked until the place is a row."""
    seed, epoch, place = SEED, 3, 7
    left, right = place // 4, place % 4
    while True:
        for i in range(4):
            digest = sha256(seed + epoch.to_bytes(8, "big") + bytes([i]) + right.to_bytes(4, "big")).digest()
            left, right = right, left ^ (int.from_bytes(digest[:4], "big") % 4)
        if left * 4 + right < 10:
            break
    # Batches of 3: an epoch has 9 samples; sample 3 * 9 + 7 is position 1 of step 11.
    assert schedule.row(SEED, 10, 3, 11, 1) == left * 4 + right


def test_rows_are_single_rows() -> None:
    rows = schedule.rows(SEED, 100, 10, 4)
    assert rows.dtype == np.int64
    assert list(rows) == [schedule.row(SEED, 100, 10, 4, p) for p in range(10)]


def test_total_on_odd_arguments() -> None:
    assert schedule.row(SEED, 0, 3, 1, 1) == 0
    assert schedule.row(SEED, 5, 0, 1, 2) == schedule.row(SEED, 5, 9, 0, 2)
    assert 0 <= schedule.row(SEED, 3, 8, 2, 0xFFFFFFFF) < 3
    assert schedule.row(SEED, 1 << 32, 1, 5, 0) == schedule.row(SEED, 1 << 40, 1, 5, 0) < 1 << 32
    assert 0 <= schedule.row(SEED, 3, 1, 1 << 200, 5) < 3
