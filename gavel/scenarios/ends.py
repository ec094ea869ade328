"""How a job ends where nobody cheats: done, cancelled, expired, after a forfeited lease, taken over."""

from __future__ import annotations

from collections.abc import Iterator

from gavel.demo.parties import TrainingParty
from gavel.scenarios.cheats import DEFAULT, cheat
from gavel.scenarios.scenario import Attack, Played, Scenario
from gavel.scenarios.stage import REQUESTER, SECOND, TRAINER, WATCHER, Stage
from protocol.errors import MismatchError, RefusedError
from protocol.game.moves import Cancel, Evict
from protocol.game.view import DisputeStatus

POSTED = 2
"""Segments of the first trainer, of four."""


def _done(stage: Stage, _step: int, _seed: int) -> Played:
    stage.trainer().train(stage.folder.job.geometry.segments)
    stage.watcher()
    stage.play()
    return Played()


def _cancelled(stage: Stage, _step: int, _seed: int) -> Played:
    job = stage.folder.job
    trainer = stage.trainer()
    trainer.train(POSTED)
    stage.send(REQUESTER, Cancel(job=job.job_id))
    stage.tick(stage.now() + job.clocks.notice + 1)
    return Played(refused=(_refused(trainer),))


def _expired(stage: Stage, _step: int, _seed: int) -> Played:
    trainer = stage.trainer()
    trainer.train(POSTED)
    trainer.release()
    stage.tick(stage.folder.job.expiry + 1)
    return Played(refused=(_refused(trainer),))


def _refused(trainer: TrainingParty) -> str:
    """The reason why nothing more can be posted."""
    try:
        trainer.train(1)
    except RefusedError as error:
        return error.reason
    raise MismatchError("an update was posted after the end of its job")


def _lease_forfeited(stage: Stage, _step: int, _seed: int) -> Played:
    """A trainer leases and posts nothing; somebody evicts it, and another trainer does the job."""
    job = stage.folder.job
    stage.trainer().lease()
    stage.leave(TRAINER)
    stage.tick(stage.now() + job.clocks.lease + 1)
    stage.send(WATCHER, Evict(job=job.job_id))
    stage.trainer(SECOND).train(job.geometry.segments)
    stage.watcher()
    stage.play()
    return Played()


def _taken_over(stage: Stage, _step: int, _seed: int) -> Played:
    """A trainer posts and leaves; another one replays the pending tip, builds on it and finishes the job."""
    left = _handed_over(stage)
    stage.watcher()
    stage.play()
    stage.seat(TRAINER, left.agent)  # comes back for its reward
    return Played()


def _taken_over_defended(stage: Stage, step: int, seed: int) -> Played:
    """The update of the trainer that has left is disputed, and its successor defends what it builds on."""
    lie = cheat(DEFAULT).prepare(stage.folder, step=step, seed=seed)
    left = _handed_over(stage)
    stage.watcher(hooks=lie.hooks)
    stage.play(until=lambda: any(d.status == DisputeStatus.LOST for d in stage.view.disputes()))
    stage.leave(WATCHER)
    stage.seat(TRAINER, left.agent)
    return Played(expected=lie.decision)


def _handed_over(stage: Stage) -> TrainingParty:
    first, second = stage.trainer(), stage.trainer(SECOND)
    first.train(POSTED)
    first.release()
    stage.leave(TRAINER)
    second.train(stage.folder.job.geometry.segments - POSTED)
    return first


def job_ends(part: str) -> Iterator[Scenario]:
    """The scenarios of this module."""
    everybody = frozenset({REQUESTER, TRAINER, WATCHER, SECOND})
    for name, text, run, honest, attack in (
        ("done", "every segment is posted and becomes final", _done, everybody, None),
        ("cancelled", "the requester cancels after two segments of four", _cancelled, everybody, None),
        ("expired", "the job expires after two segments, the rest is refunded", _expired, everybody, None),
        (
            "lease-forfeited",
            "a trainer leases and posts nothing, is evicted by somebody, and another one does the job",
            _lease_forfeited,
            everybody - {TRAINER},
            Attack(tries="to block a job", must_cost="the lease deposit"),
        ),
        (
            "taken-over",
            "a trainer leaves while its update is pending, and another one builds on it",
            _taken_over,
            everybody,
            None,
        ),
        (
            "taken-over-defended",
            "the same, and a challenger with nothing disputes the update of the one that has left",
            _taken_over_defended,
            everybody - {WATCHER},
            Attack(tries="that nobody answers for a right update", must_cost="the challenge bond"),
        ),
    ):
        yield Scenario(name=name, text=text, part=part, honest=honest, run=run, attack=attack)
