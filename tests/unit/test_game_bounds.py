"""How long a dispute can be drawn out: the formula, and a play that reaches it to the second (D-19)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from protocol.game import bounds
from protocol.game import moves as m
from protocol.game.clock import MOST_TRACES
from protocol.game.trace import Hooks
from protocol.game.view import BranchInfo, PositionInfo, Turn, UpdateStatus
from protocol.job import load_preset
from protocol.numerics.accumulator import Accumulator, exact_word
from tests.support.game import (
    OTHER,
    PURSE,
    REQUESTER,
    WATCHER,
    Player,
    Table,
    challenger,
    defender,
    one_word,
    silenced,
    table,
    with_accumulators,
)
from tests.support.walk import LAST, NINE

HELPERS = FIRST, SECOND = bytes([0xB1]) * 20, bytes([0xB2]) * 20
LISTS = bounds.Lists(steps=3, below=6, fold=2)
"""Of the machine with fan-out 2: its longest way ends in a range of node 0."""

LIE = with_accumulators(one_word(LAST, 0, 1, value=NINE), LAST, 0, 1, 2, Accumulator(*exact_word(NINE)))


def doubting(step: int) -> Hooks:
    """The lie, and one of its own in the second segment."""
    own = one_word(step, 2, 3)
    return replace(LIE, output=lambda now, node, words: own.output(now, node, LIE.output(now, node, words)))


@dataclass(slots=True)
class Slowest:
    """A wrong update under dispute by an honest challenger; everybody moves as late as may be.

    Attributes:
        late: by the number of the honest challenger's move, after which the trainer answers as late as its
            reserve allows: the helper that makes the same move later, so that the answer is in time for it.
    """

    at: Table
    update: bytes
    players: dict[bytes, Player]
    defence: Player
    late: dict[int, bytes | None]

    @classmethod
    def begun(cls, late: dict[int, bytes | None]) -> Slowest:
        """Opened in the last second, after others have used up what makes the allowance grow (D-4)."""
        at = table()
        for helper in HELPERS:
            at.model.mint(helper, PURSE)
        lie = at.openings(LIE)
        update, defence = at.post(lie, segments=2), defender(at, lie)
        doubters = [
            silenced(challenger(at, at.openings(doubting(step)), address=who), after=5)
            for step, who in ((5, OTHER), (6, REQUESTER))
        ]
        at.play([*doubters, defence], until=at.model.now() + 30)
        assert at.model.court.traces[update] == MOST_TRACES - 1
        everybody = {who: challenger(at, at.truth, address=who) for who in (WATCHER, *HELPERS)}
        deadline = at.model.update(update).deadline
        for moment in (deadline, deadline + at.job.clocks.opening):
            at.model.advance(moment - at.model.now())
            for player in everybody.values():
                [(sender, move)] = player(at.model)
                at.send(sender, move)
        return cls(at, update, everybody, defence, late)

    def of(self, who: bytes) -> tuple[PositionInfo, BranchInfo | None]:
        """The position that a party has demanded last, and its branch there, if a candidate stands."""
        model = self.at.model
        [dispute] = model.disputes(challenger=who, update=self.update)
        *_, last = model.demands(dispute.dispute)
        posted = model.candidates(last)
        branch = model.branch(dispute.dispute, posted[0].candidate) if posted else None
        return model.position(last), branch

    def until(self, time: int) -> None:
        self.at.model.advance(time - self.at.model.now())

    def answer(self) -> None:
        """Whatever the trainer owes in this segment."""
        [dispute] = self.at.model.disputes(challenger=WATCHER, update=self.update)
        for sender, move in self.defence(self.at.model):
            if not isinstance(move, m.Commit) or move.position in self.at.model.demands(dispute.dispute):
                self.at.send(sender, move)

    def ahead(self) -> list[bytes]:
        """The helpers, the one first in whose branch the trainer has most of its reserve left."""
        branches = [(self.of(helper)[1], helper) for helper in HELPERS]
        left = [(branch.defender_reserve, helper) for branch, helper in branches if branch is not None]
        return [helper for _, helper in sorted(left, reverse=True)]

    def move(self, who: bytes) -> None:
        """What a challenger wants to do in its branch."""
        _, branch = self.of(who)
        assert branch is not None
        for sender, move in self.players[who](self.at.model):
            if getattr(move, "candidate", b"") == branch.candidate:
                self.at.send(sender, move)

    def play(self) -> int:
        """Play to the proof; returns the number of moves of the honest challenger."""
        clocks, made = self.at.job.clocks, 0
        while made < LISTS.levels:
            here, branch = self.of(WATCHER)
            if branch is None:
                self.until(here.demanded_at + here.allowance + clocks.response)
                self.answer()
            elif branch.turn == Turn.DEFENDER:
                self.until(branch.limit if made in self.late else branch.due)
                self.answer()
            else:
                assert branch.turn == Turn.CHALLENGER, "nobody is late"
                made += 1
                last = made == LISTS.levels
                self.until(branch.limit if last else branch.due)
                for helper in self.ahead() if not last else ():
                    if helper != self.late.get(made):
                        self.move(helper)
                self.move(WATCHER)
                later = self.late.get(made)
                if later is not None:
                    _, own = self.of(later)
                    assert own is not None
                    self.until(own.limit)
                    self.move(later)
        return made


def test_the_slowest_play_takes_as_long_as_the_formula_says_to_the_second() -> None:
    """Every move at its due time, each reserve used to the end, helpers beside the honest challenger."""
    game = Slowest.begun({1: FIRST, 4: SECOND, 10: None})
    at, clocks = game.at, game.at.job.clocks
    assert bounds.longest_of(at.job.geometry, at.example.program) == LISTS
    opened = at.model.now()
    assert game.play() == LISTS.levels
    assert at.model.now() - opened == bounds.dispute_seconds(clocks, LISTS)
    deadline = at.model.update(game.update).deadline
    assert at.model.now() == bounds.decided_by(deadline, clocks, LISTS)
    assert at.decided()["range"] == 1
    # The honest challenger has spent its whole reserve, and lost nothing; everything above has ended.
    for kind in (m.Settle, m.Close):
        [(sender, move)] = game.players[WATCHER](at.model)
        assert isinstance(move, kind)
        at.send(sender, move)
    assert at.model.update(game.update).status == UpdateStatus.FALLEN
    assert at.model.tokens_of(WATCHER) > PURSE


@pytest.mark.parametrize("late", [{}, {1: None}, {4: None}, {10: None}])
def test_without_helpers_the_defence_has_one_reserve(late: dict[int, bytes | None]) -> None:
    game = Slowest.begun(late)
    opened = game.at.model.now()
    game.play()
    clocks = game.at.job.clocks
    whole = bounds.dispute_seconds(clocks, LISTS)
    assert game.at.model.now() - opened == whole - (3 - len(late)) * clocks.reserve


@pytest.mark.parametrize(
    ("fanout", "steps", "below", "fold"), [(10, 1, 5, 2), (9, 1, 6, 2), (8, 1, 6, 2), (7, 1, 6, 2)]
)
def test_a_segment_of_2_to_the_48_operations(fanout: int, steps: int, below: int, fold: int) -> None:
    """The transformer of 10^8 parameters of D-18: 127 steps, 3,494 nodes, H = 20, folds of 16,384 terms."""
    geometry = replace(
        table().job.geometry,
        stride=127,
        steps=100_000,
        n_nodes=3_494,
        n_slots=1_000,
        tensor_height=20,
        fanout_log2=fanout,
        range_log2=3,
    )
    lists = bounds.longest(geometry, ranges=2_048)
    assert (lists.steps, lists.below, lists.fold) == (steps, below, fold)
    assert (lists.transactions <= 18) == (fanout == load_preset("full").fanout_log2)


def test_a_fold_that_fits_one_proof_has_no_lists() -> None:
    geometry = table().job.geometry
    lists = bounds.longest(geometry, ranges=1)
    assert lists.fold == 0
    assert lists.levels == bounds.longest(geometry).levels - bounds.longest(geometry).fold


def test_a_state_of_many_slots_is_a_longer_way_than_a_small_tensor() -> None:
    geometry = replace(table().job.geometry, n_slots=1 << 20, tensor_height=1)
    lists = bounds.longest(geometry, ranges=1)
    assert (lists.below, lists.fold) == (3 + 20, 0)
