"""The chain's view against the model's, through whole disputes: the same records, so the same decisions."""

from __future__ import annotations

import pytest

from challenger.solver import Challenger, solve
from protocol.chain.court_view import ChainView
from protocol.errors import RefusedError, UsageError
from protocol.game import moves as m
from protocol.game.view import UpdateStatus
from prover.defence import Defender, defend
from tests.support.chain import Sides
from tests.support.game import one_word


def _play(sides: Sides, *, lie: bool, defended: bool) -> None:
    """A watcher against a trainer; both decide from the chain, and must decide the same from the model."""
    hooks = one_word(2, 2, 65)
    trace = sides.openings(hooks) if lie else sides.truth
    sides.post("trainer", trace, 2)
    watcher = Challenger(
        address=sides.address["watcher"],
        job=sides.job,
        openings=sides.truth,
        salt=lambda *_: bytes(32),
        first_difference=sides.truth.first_difference,
    )
    trainer = Defender(
        address=sides.address["trainer"], trainer=sides.address["trainer"], job=sides.job, openings=trace
    )
    for _ in range(200):
        moves = solve(sides.view, watcher)
        assert moves == solve(sides.model, watcher)
        for move in moves:
            sides.send("watcher", move)
        answers = defend(sides.view, trainer) if defended else []
        assert answers == (defend(sides.model, trainer) if defended else [])
        for move in answers:
            sides.send("trainer", move)
        if sides.view.update(sides.view.updates(sides.job.job_id)[0].update).status != UpdateStatus.PENDING:
            return
        if not moves and not answers:
            sides.advance(60)


def test_a_wrong_word_falls_by_proof_on_both_sides() -> None:
    sides = Sides()
    _play(sides, lie=True, defended=True)
    assert {"Prove", "Select", "SelectStep", "Reveal", "RevealPage", "Settle"} <= set(sides.sent)
    [update] = sides.view.updates(sides.job.job_id)
    assert update.status == UpdateStatus.FALLEN


def test_a_silent_trainer_falls_on_both_sides() -> None:
    sides = Sides()
    _play(sides, lie=True, defended=False)
    assert sides.sent[-1] == "Settle"
    assert "Prove" not in sides.sent


def test_a_right_update_becomes_final_and_is_claimed_on_both_sides() -> None:
    sides = Sides()
    _play(sides, lie=False, defended=True)
    [update] = sides.view.chain(sides.job.job_id)
    assert update.status == UpdateStatus.FINAL
    sides.send("other", m.Claim(update=update.update))
    assert sides.view.is_claimed(update.update)
    sides.send("trainer", m.Withdraw())
    sides.send("other", m.Withdraw())  # nothing to withdraw: refused on both sides, for the same reason
    assert sides.sent[-1] == "Withdraw"


def test_a_restarted_view_shows_the_same() -> None:
    sides = Sides()
    _play(sides, lie=True, defended=True)
    fresh = ChainView(sides.contracts["other"])
    fresh.refresh()
    job = sides.job.job_id
    assert fresh.updates(job) == sides.view.updates(job)
    assert fresh.jobs() == [job]
    [dispute] = fresh.disputes()
    assert fresh.demands(dispute.dispute) == sides.view.demands(dispute.dispute)
    assert fresh.positions(update=dispute.update) == sides.view.positions(update=dispute.update)


def test_unknown_ids_are_named() -> None:
    sides = Sides()
    sides.view.refresh()
    for ask in (sides.view.update, sides.view.dispute, sides.view.position, sides.view.candidate):
        with pytest.raises(UsageError, match="00000000"):
            ask(bytes(32))
    with pytest.raises(UsageError, match="no branch"):
        sides.view.branch(bytes(32), bytes(32))
    assert sides.view.children(bytes(32), 1) is None
    assert sides.view.page(bytes(32)) is None
    with pytest.raises(RefusedError, match="board"):
        sides.contracts["other"].board.send("lease", bytes(32))
