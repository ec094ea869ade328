"""Every move of a dispute at its last moment and beyond, and either side silent after any number of moves."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from protocol.errors import RefusedError
from protocol.game import moves as m
from protocol.game.clock import BranchTimes, judge, posting_allowance, reserve_after_posting
from protocol.game.model import Model
from protocol.game.view import BranchInfo, DisputeStatus, Turn, UpdateStatus
from protocol.numerics.accumulator import Accumulator, exact_word
from tests.support.game import (
    OTHER,
    PURSE,
    TRAINER,
    WATCHER,
    Player,
    Table,
    at_time,
    challenger,
    defender,
    one_word,
    settled_by,
    silenced,
    table,
    with_accumulators,
)
from tests.support.programs import floats

NINE = int(floats([9.0])[0])
WORD = one_word(3, 2, 65)
RANGE = with_accumulators(one_word(3, 0, 1, value=NINE), 3, 0, 1, 2, Accumulator(*exact_word(NINE)))
LIES = {"word": WORD, "range": RANGE}


@cache
def first_table() -> Table:
    return table()


def fresh(*honest: bytes) -> Table:
    return table(truth=first_table().truth, honest=honest)


# -------------------------------------------------------------------- the classifier

TIMES = BranchTimes(
    posted_at=1000,
    first_demand=900,
    demanded_at=900,
    allowance=30,
    response=60,
    moved_at=2000,
    revealed_at=None,
    challenger_reserve=90,
    defender_reserve=50,
)


@pytest.mark.parametrize(
    ("now", "turn"),
    [
        (2000, Turn.DEFENDER),
        (2060, Turn.DEFENDER),
        (2061, Turn.DEFENDER),
        (2110, Turn.DEFENDER),
        (2111, Turn.DEFENDER_LATE),
    ],
)
def test_a_reveal_is_due_after_the_response_time_and_late_after_the_reserve(now: int, turn: Turn) -> None:
    judgement = judge(now, TIMES)
    assert (judgement.turn, judgement.due, judgement.limit) == (turn, 2060, 2110)


@pytest.mark.parametrize(
    ("revealed_at", "turn", "due", "overrun"),
    [
        (1500, Turn.CHALLENGER, 2060, 0),
        (2050, Turn.CHALLENGER, 2110, 0),
        (2060, Turn.CHALLENGER, 2120, 0),
        (2110, Turn.CHALLENGER, 2170, 50),
        (2111, Turn.DEFENDER_LATE, 2060, 0),
    ],
)
def test_a_reveal_starts_the_challengers_time_if_it_came_in_time(
    revealed_at: int, turn: Turn, due: int, overrun: int
) -> None:
    judgement = judge(2115, replace(TIMES, revealed_at=revealed_at))
    assert (judgement.turn, judgement.due, judgement.defender_overrun) == (turn, due, overrun)


@pytest.mark.parametrize(("now", "turn"), [(2210, Turn.CHALLENGER), (2211, Turn.CHALLENGER_LATE)])
def test_the_challenger_is_late_after_its_reserve(now: int, turn: Turn) -> None:
    assert judge(now, replace(TIMES, revealed_at=2060)).turn == turn


@pytest.mark.parametrize(
    ("posted_at", "demanded_at", "due"), [(900, 900, 990), (1000, 900, 1060), (900, 2000, 2090)]
)
def test_the_first_move_under_a_commitment_leaves_time_to_build_the_trace(
    posted_at: int, demanded_at: int, due: int
) -> None:
    times = replace(TIMES, posted_at=posted_at, demanded_at=demanded_at, moved_at=None, revealed_at=posted_at)
    assert judge(max(posted_at, demanded_at), times).due == due


@pytest.mark.parametrize(("first_demand", "due"), [(1900, 2060), (1970, 2060), (1971, 2061), (2000, 2090)])
def test_a_reveal_is_due_no_earlier_than_the_trace_could_be_built(first_demand: int, due: int) -> None:
    """D-12: whoever posts an honest root at once, and selects under it at once, hurries nobody."""
    assert judge(2000, replace(TIMES, first_demand=first_demand)).due == due


def test_allowance_grows_with_the_traces_up_to_four() -> None:
    assert [posting_allowance(30, traces) for traces in (1, 2, 3, 4, 5, 100)] == [30, 60, 90, 120, 120, 120]


@pytest.mark.parametrize(("posted_at", "left"), [(100, 90), (190, 90), (191, 89), (280, 0)])
def test_a_late_posting_draws_on_the_reserve(posted_at: int, left: int) -> None:
    assert reserve_after_posting(90, 100, 30, 60, posted_at) == left


# -------------------------------------------------------------------- boundaries


def moments(at: Table, players: list[Player]) -> Iterator[tuple[Model, bytes, m.Move]]:
    """Play one move after the other; before each, yield a copy of the game, the mover and the move."""
    for _ in range(2000):
        for player in players:
            for sender, move in player(at.model):
                yield copy.deepcopy(at.model), sender, move
                at.send(sender, move)
                break
            else:
                continue
            break
        else:
            if any(d.status != DisputeStatus.OPEN for d in at.model.disputes()):
                return
            at.model.advance(5)


def refused(model: Model, sender: bytes, move: m.Move) -> str | None:
    try:
        model.apply(sender, move)
    except RefusedError as error:
        return error.reason
    return None


BRANCH_MOVES = (m.Select, m.SelectStep, m.SelectWord, m.Prove)


def awaited(model: Model) -> tuple[bytes, bytes, BranchInfo]:
    """The one branch in which somebody is to move."""
    [found] = [
        (d.dispute, c.candidate, branch)
        for d in model.disputes()
        for position in model.demands(d.dispute)
        for c in model.candidates(position)
        if (branch := model.branch(d.dispute, c.candidate)).turn in (Turn.DEFENDER, Turn.CHALLENGER)
    ]
    return found


@pytest.mark.parametrize("lie", LIES)
def test_every_move_is_in_time_at_its_last_moment_and_late_after_it(lie: str) -> None:
    at = fresh(WATCHER)
    trace = at.openings(LIES[lie])
    update = at.post(trace, segments=1)
    seen = set()
    for model, sender, move in moments(at, [challenger(at, at.truth), defender(at, trace)]):
        seen.add(type(move))
        if isinstance(move, BRANCH_MOVES):
            check_branch_move(model, sender, move)
        elif isinstance(move, m.Reveal | m.RevealPage):
            check_reveal(model, sender, move)
        elif isinstance(move, m.Commit):
            check_commit(model, sender, move)
        elif isinstance(move, m.Open):
            check_open(model, sender, move)
        elif isinstance(move, m.Reserve):
            check_reserve(at, model, sender, move)
        elif isinstance(move, m.Settle):
            check_settle(model, sender, move)
    assert at.model.update(update).status == UpdateStatus.FALLEN
    expected = {
        m.Reserve,
        m.Open,
        m.Commit,
        m.Reveal,
        m.RevealPage,
        m.Select,
        m.SelectStep,
        m.Prove,
        m.Settle,
    }
    assert seen == (expected if lie == "word" else expected | {m.SelectWord})


def check_branch_move(model: Model, sender: bytes, move: m.Move) -> None:
    dispute, candidate, branch = awaited(model)
    assert branch.turn == Turn.CHALLENGER
    assert branch.limit == branch.due + branch.challenger_reserve
    for time in (branch.due, branch.due + 1, branch.limit - 1, branch.limit):
        in_time = at_time(model, time)
        timeout = m.Timeout(dispute=dispute, candidate=candidate)
        assert refused(in_time, OTHER, timeout) == "court: challenger is not late"
        assert refused(in_time, sender, move) is None
        after = in_time.court.branches[dispute, candidate]
        if not isinstance(move, m.Prove):
            assert after.challenger_reserve == branch.challenger_reserve - (time - branch.due)
    late = at_time(model, branch.limit + 1)
    assert refused(late, sender, move) == "court: challenger is late"
    assert refused(late, OTHER, m.Timeout(dispute=dispute, candidate=candidate)) is None
    assert late.dispute(dispute).status == DisputeStatus.LOST
    late.check_conservation()


def check_reveal(model: Model, sender: bytes, move: m.Move) -> None:
    dispute, candidate, branch = awaited(model)
    assert branch.turn == Turn.DEFENDER
    assert branch.limit == branch.due + branch.defender_reserve
    silence = m.Silence(dispute=dispute, candidate=candidate)
    for time in (branch.due, branch.due + 1, branch.limit):
        in_time = at_time(model, time)
        assert refused(in_time, OTHER, silence) == "court: defence is not late"
        assert refused(in_time, sender, move) is None
        turned = in_time.branch(dispute, candidate)
        assert (turned.turn, turned.due) == (Turn.CHALLENGER, time + 60)
    late = at_time(model, branch.limit + 1)
    # Whoever reveals too late has revealed, but is late all the same.
    assert refused(late, sender, move) is None
    assert late.branch(dispute, candidate).turn == Turn.DEFENDER_LATE
    assert refused(late, OTHER, silence) is None
    assert late.candidate(candidate).fallen
    late.check_conservation()


def check_commit(model: Model, sender: bytes, move: m.Commit) -> None:
    here = model.position(move.position)
    settle = m.Settle(position=move.position)
    for time in (here.ends_at - 1, here.ends_at):
        in_time = at_time(model, time)
        assert refused(in_time, OTHER, settle) == "court: not ended and empty"
        assert refused(in_time, sender, move) is None
    late = at_time(model, here.ends_at + 1)
    assert refused(late, sender, move) == "court: posting period is over"
    assert refused(late, OTHER, settle) is None
    late.check_conservation()


def check_open(model: Model, sender: bytes, move: m.Open) -> None:
    [reservation] = model.reservations(sender)
    cancel = m.CancelReservation(digest=reservation.digest)
    last = at_time(model, reservation.time + 120)
    assert refused(copy.deepcopy(last), sender, cancel) is None
    assert refused(last, sender, move) is None
    assert refused(last, sender, move) == "court: opened before"
    assert refused(at_time(last, last.now() + 1000), sender, cancel) == "court: reservation was opened"
    late = at_time(model, reservation.time + 121)
    assert refused(late, sender, move) == "court: opening is over"
    assert refused(late, sender, cancel) is None
    assert late.tokens_of(sender) == PURSE
    assert refused(late, sender, cancel) == "court: nothing reserved"
    late.check_conservation()


def check_reserve(at: Table, model: Model, sender: bytes, move: m.Reserve) -> None:
    [update] = model.chain(at.job.job_id)
    watch = challenger(at, at.truth)
    last = at_time(model, update.deadline)
    assert list(watch(last)) == [(sender, move)]
    assert refused(last, sender, move) is None
    assert refused(last, sender, move) == "court: reserved before"
    last.advance(120)
    [(_, opening)] = watch(last)
    assert refused(last, sender, opening) is None
    late = at_time(model, update.deadline + 1)
    assert list(watch(late)) == []
    assert refused(late, sender, move) is None
    assert refused(late, sender, opening) == "court: reserved too late"


def check_settle(model: Model, sender: bytes, move: m.Settle) -> None:
    early = copy.deepcopy(model)
    here = early.position(move.position)
    early.board.time = here.ends_at
    assert refused(early, sender, move) == "court: not ended and empty"


# -------------------------------------------------------------------- silence


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_who_falls_silent_after_any_number_of_moves_falls(lie: str) -> None:
    decided = []
    for after in range(40):
        at = fresh(WATCHER)
        trace = at.openings(LIES[lie])
        update = at.post(trace, segments=1)
        players = [challenger(at, at.truth), silenced(defender(at, trace), after=after)]
        at.play(
            players, until=settled_by(at, update), while_=lambda at=at, u=update: at.model.board.is_live(u)
        )
        assert at.model.update(update).status == UpdateStatus.FALLEN
        decided.append(at.decided())
        if lie in decided[-1]:
            break
    assert decided[0] == {"settle": 1}
    assert any("silence" in how for how in decided)
    assert decided[-1] == {lie: 1, "settle": 1}
    assert all(how["settle"] == 1 for how in decided)


@pytest.mark.parametrize("lie", LIES)
def test_a_challenger_who_falls_silent_after_any_number_of_moves_loses(lie: str) -> None:
    decided = []
    for after in range(2, 40):
        at = fresh(TRAINER)
        update = at.post(at.truth, segments=1)
        players = [silenced(challenger(at, at.openings(LIES[lie])), after=after), defender(at, at.truth)]
        final = at.model.update(update).deadline + 121
        over = lambda at=at: any(d.status == DisputeStatus.LOST for d in at.model.disputes())  # noqa: E731
        at.play(players, until=settled_by(at, update), while_=lambda over=over: not over())
        assert over()
        at.model.advance(max(0, final - at.model.now()))
        assert at.model.update(update).status == UpdateStatus.FINAL
        at.send(OTHER, m.Claim(update=update))
        decided.append(at.decided())
        if lie in decided[-1]:
            break
    assert decided[0] == {"timeout": 1}
    assert decided[-1] == {lie: 1}
    assert all(how in ({"timeout": 1}, {lie: 1}) for how in decided)


def test_nobody_is_held_up_by_a_reservation_that_is_never_opened() -> None:
    at = fresh(TRAINER)
    update = at.post(at.truth, segments=1)
    players = [silenced(challenger(at, at.openings(WORD)), after=1), defender(at, at.truth)]
    at.play(players, until=at.model.update(update).deadline + 121)
    assert at.model.disputes() == []
    assert at.model.update(update).status == UpdateStatus.FINAL


# -------------------------------------------------------------------- procrastination


def last_minute(at: Table, player: Player) -> Player:
    """A player that moves when its move is due and not before."""

    def due(model: Model, move: m.Move) -> int:
        if isinstance(move, m.Commit):
            here = model.position(move.position)
            return here.ends_at - here.reserve
        if isinstance(move, BRANCH_MOVES):
            return model.branch(move.dispute, move.candidate).due
        if isinstance(move, m.Reveal | m.RevealPage):
            return min(
                branch.due
                for d in model.disputes()
                for position in model.demands(d.dispute)
                for c in model.candidates(position)
                if (branch := model.branch(d.dispute, c.candidate)).turn == Turn.DEFENDER
            )
        return model.now()

    return lambda model: [(sender, move) for sender, move in player(model) if model.now() >= due(model, move)]


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_falls_within_the_clocks_however_slowly_both_sides_move(lie: str) -> None:
    at = fresh(WATCHER)
    trace = at.openings(LIES[lie])
    update = at.post(trace, segments=1)
    limit = settled_by(at, update)
    at.model.advance(at.model.update(update).deadline - at.model.now())
    players = [last_minute(at, challenger(at, at.truth)), last_minute(at, defender(at, trace))]
    at.play(players, until=limit, while_=lambda: at.model.board.is_live(update))
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert at.decided() == {lie: 1, "settle": 1}


def test_reserves_pass_down_from_branch_to_branch() -> None:
    at = fresh()
    trace = at.openings(RANGE)
    at.post(trace, segments=1)
    late, tardy = 5, 3
    for _, _, move in moments(at, [challenger(at, at.truth), defender(at, trace)]):
        if isinstance(move, BRANCH_MOVES) and not isinstance(move, m.Prove):
            _, _, branch = awaited(at.model)
            at.model.advance(max(0, branch.due + late - at.model.now()))
        if isinstance(move, m.Reveal | m.RevealPage):
            _, _, branch = awaited(at.model)
            at.model.advance(max(0, branch.due + tardy - at.model.now()))
        if isinstance(move, m.Prove):
            dispute, candidate, branch = awaited(at.model)
            moves = len(at.moves(m.Select, m.SelectStep, m.SelectWord))
            assert at.model.position(at.model.candidate(candidate).position).kind.name == "FOLD"
            assert branch.challenger_reserve == 90 - late * moves
            # The last reveal is drawn from the reserve with the move that answers it.
            assert branch.defender_reserve == 90 - tardy * (len(at.moves(m.Reveal, m.RevealPage)) - 1)
            assert at.model.position(at.model.demands(dispute)[1]).reserve < 90
            assert at.model.demands(dispute)[-1] == at.model.candidate(candidate).position
            return
    pytest.fail("nothing was proven")
