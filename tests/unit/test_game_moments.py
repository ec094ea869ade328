"""What honest parties do at the last moment, and after a loss."""

from __future__ import annotations

from functools import cache, partial

from challenger.solver import Challenger, solve
from protocol.game import moves as m
from protocol.game.model import Model
from protocol.game.view import DisputeStatus
from tests.support.game import WATCHER, Table, at_time, challenger, defender, machine, one_word, table

WORD = one_word(2, 2, 5)


@cache
def first_table() -> Table:
    return table(machine(wide=9))


def fresh() -> Table:
    return table(machine(wide=9), truth=first_table().truth)


def test_a_defender_commits_at_the_last_moment_and_not_after_it() -> None:
    at = fresh()
    update = at.post(at.truth, segments=1)
    at.play([challenger(at, at.openings(WORD))], until=at.model.now() + 15)
    [position] = at.model.positions(update=update)
    last = at.model.position(position.position).ends_at
    answers = defender(at, at.truth)
    [(sender, move)] = answers(at_time(at.model, last))
    assert isinstance(move, m.Commit)
    at_time(at.model, last).apply(sender, move)
    assert list(answers(at_time(at.model, last + 1))) == []


def test_a_dispute_that_was_lost_is_tried_once_more_and_no_more() -> None:
    at = fresh()
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    me = Challenger(
        address=WATCHER,
        job=at.job,
        openings=at.truth,
        salt=lambda _update, _segment, losses: bytes([losses]) * 32,
        first_difference=at.truth.first_difference,
    )

    def watcher(model: Model) -> list[tuple[bytes, m.Move]]:
        return [(WATCHER, move) for move in solve(model, me)]

    answers = defender(at, lie)
    opening = [m.Reserve, m.Open]
    disputes: list[bytes] = []
    for tried in (1, 2):
        # The watcher opens, and is then out of reach until it has lost.
        at.play([watcher], until=at.model.now(), while_=partial(_fewer_opened, at, tried))
        at.play([answers], until=at.model.now() + 2000, while_=partial(_fewer_lost, at, tried))
        disputes = [d.dispute for d in at.model.disputes() if d.status == DisputeStatus.LOST]
        assert len(disputes) == tried
    assert len(set(disputes)) == 2
    assert at.model.now() <= at.model.update(update).deadline
    assert [move for _, move in watcher(at.model) if type(move) in opening] == []


def _fewer_opened(at: Table, count: int) -> bool:
    return len(at.model.disputes()) < count


def _fewer_lost(at: Table, count: int) -> bool:
    return sum(d.status == DisputeStatus.LOST for d in at.model.disputes()) < count
