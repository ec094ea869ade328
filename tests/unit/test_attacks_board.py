"""Attacks on trainers through the job board, on the model with the contracts beside it (updates.md)."""

from __future__ import annotations

from protocol.game import moves as m
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
