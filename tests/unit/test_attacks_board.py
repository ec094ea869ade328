"""Attacks on trainers through the job board, on the model with the contracts beside it (updates.md)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from protocol.errors import MismatchError
from protocol.game import moves as m
from prover.agent import TrainerAccount
from tests.support.chain import Sides
from tests.support.game import OTHER, TRAINER, segment_end
from tests.unit.test_game_board import fresh, refusal


def test_what_was_trained_from_one_tip_is_not_posted_on_another() -> None:
    """I-9: somebody else's update comes, or goes in a reorganisation, between training and posting."""
    at = fresh()
    job = at.job.job_id
    at.send(TRAINER, m.Lease(job=job))
    first = at.send(TRAINER, m.Post(job=job, parent=job, states=(segment_end(at.truth, 0),)))
    assert isinstance(first, bytes)
    at.send(TRAINER, m.Release(job=job))
    at.send(OTHER, m.Lease(job=job))
    stale = m.Post(job=job, parent=job, states=(segment_end(at.truth, 0),))
    assert refusal(at, OTHER, stale) == "board: not the tip"
    at.send(OTHER, m.Post(job=job, parent=first, states=(segment_end(at.truth, 1),)))


def test_a_trainer_takes_no_lease_on_a_tip_that_it_has_not_replayed() -> None:
    """A-7: the tip moves between its replay and the lease; giving that back costs the deposit (U-3)."""
    sides = Sides()
    job = sides.job.job_id
    folder: Any = SimpleNamespace(job=sides.job)
    account = TrainerAccount(contracts=sides.contracts["other"], folder=folder, log=lambda _, **__: None)
    assert account.tip() == (0, sides.job.genesis)
    sides.post("trainer", sides.truth, 1)
    sides.send("trainer", m.Release(job=job))
    for _ in range(2):
        with pytest.raises(MismatchError, match="tip is another one now"):
            account.lease()
    assert not any(sides.contracts["other"].board.view("job_state", job)["leaseholder"])
    assert account.tip()[0] == 1
    assert account.lease()
    assert not account.lease()
