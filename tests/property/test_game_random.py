"""Random lies, crowds and delays: whatever happens, the honest lose nothing and what is wrong falls.

Every move is followed by every rule of `protocol.game.rules` (I-1 to I-9, M-9).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import MismatchError, RefusedError
from protocol.game import moves as m
from protocol.game import rules
from protocol.game.model import Model
from protocol.game.openings import Openings
from protocol.game.trace import Hooks
from protocol.game.view import DisputeStatus, UpdateStatus
from protocol.numerics.accumulator import Accumulator, exact_word
from tests.support.game import (
    OTHER,
    PURSE,
    RACES,
    TRAINER,
    WATCHER,
    Player,
    Table,
    challenger,
    defender,
    settled_by,
    table,
)

QUICK = settings(max_examples=40, deadline=None)
RIVALS = tuple(bytes([0xC0 + i]) * 20 for i in range(3))
Change = tuple[str, int, int, int, int]


@cache
def first_table(fanout_log2: int) -> Table:
    return table(fanout_log2=fanout_log2)


def fresh(fanout_log2: int, *honest: bytes) -> Table:
    at = table(truth=first_table(fanout_log2).truth, fanout_log2=fanout_log2, honest=honest)
    for rival in RIVALS:
        at.model.mint(rival, PURSE)
    return at


changes = st.tuples(
    st.sampled_from(["word", "padding", "cut", "slot", "more slots"]),
    st.integers(0, 3),  # step
    st.integers(0, 5),  # node or slot
    st.integers(0, 255),  # word
    st.integers(1, 0xFFFFFFFF),  # the bits of it that are flipped
)


def changed(words: np.ndarray, kind: str, place: int, amount: int) -> np.ndarray:
    """A word changed, a word beyond the end set, or the end cut off."""
    if kind == "cut":
        return words[: place % (words.size + 1)]
    size = words.size if kind == "word" else 256
    if size == 0:
        return words
    wide = np.zeros(max(size, words.size), np.uint32)
    wide[: words.size] = words
    wide[place % size] ^= np.uint32(amount)
    return np.trim_zeros(wide, "b") if kind == "padding" else wide


class Liar:
    """Hooks that tell several lies, and accumulators to match them."""

    def __init__(self, lies: list[Change], accumulators: int) -> None:
        """`accumulators` says which one of a fold is the first false one; 0: folds are honest."""
        self.lies = lies
        self.accumulators = accumulators
        self.told: dict[tuple[int, int], np.ndarray] = {}

    def output(self, step: int, node: int, words: np.ndarray) -> np.ndarray:
        for kind, at_step, at_node, place, amount in self.lies:
            if kind in ("word", "padding", "cut") and (at_step, at_node) == (step, node):
                words = self.told[step, node] = changed(words, kind, place, amount)
        return words

    def next_state(self, step: int, _before: list[np.ndarray], after: list[np.ndarray]) -> list[np.ndarray]:
        for kind, at_step, slot, place, amount in self.lies:
            if at_step == step and kind == "slot":
                after = [changed(s, "word", place, amount) if i == slot else s for i, s in enumerate(after)]
            if at_step == step and kind == "more slots" and len(after) < 8:
                after = [*after, np.array([amount], np.uint32)]
        return after

    def fold(self, step: int, node: int, word: int, honest: list[Accumulator]) -> list[Accumulator]:
        if not self.accumulators or (step, node) not in self.told or node not in (0, 3):
            return honest
        words = self.told[step, node]
        claimed = int(words[word]) if word < words.size else 0
        first = 1 + self.accumulators % (len(honest) - 1)
        last = Accumulator(*exact_word(claimed)) if node == 0 else Accumulator(8, claimed)
        return honest[:first] + [last] * (len(honest) - first)


def lying(lies: list[Change], accumulators: int) -> Hooks:
    """The hooks of a liar."""
    liar = Liar(lies, accumulators)
    return Hooks(output=liar.output, next_state=liar.next_state, accumulators=liar.fold)


def lazily(player: Player, tardiness: list[int]) -> Player:
    """A player that now and then leaves out a turn, a response time at most in all, so it stays in time."""
    left = list(tardiness)

    def turn(model: Model) -> list[tuple[bytes, m.Move]]:
        return [] if left and left.pop() else list(player(model))

    return turn


def forgetful(player: Player, turns: list[bool]) -> Player:
    """A player that is there only in some turns."""
    left = list(turns)

    def turn(model: Model) -> list[tuple[bytes, m.Move]]:
        return list(player(model)) if (left.pop() if left else True) else []

    return turn


def sceptical(player: Player) -> Player:
    """A dishonest player gives up where its own trace contradicts itself."""

    def turn(model: Model) -> list[tuple[bytes, m.Move]]:
        try:
            return list(player(model))
        except MismatchError:
            return []

    return turn


lies = st.lists(changes, min_size=1, max_size=4)
seldom = st.lists(st.sampled_from([0, 0, 0, 1]), max_size=12)
absences = st.lists(st.booleans(), max_size=30)


@QUICK
@given(
    fanout=st.sampled_from([1, 2, 8]),
    lie=lies,
    accumulators=st.integers(0, 3),
    rivals=st.lists(st.tuples(lies, absences), max_size=2),
    late=seldom,
    absent=absences,
)
def test_a_wrong_update_falls_whoever_else_disputes_it(
    fanout: int,
    lie: list[Change],
    accumulators: int,
    rivals: list[tuple[list[Change], list[bool]]],
    late: list[int],
    absent: list[bool],
) -> None:
    at = fresh(fanout, WATCHER)
    false = at.openings(lying(lie, accumulators))
    update = at.post(false, segments=1)
    wrong = at.truth.first_difference(at.model.update(update)) is not None
    players = [
        lazily(challenger(at, at.truth), late),
        forgetful(defender(at, false), absent),
        *crowd(at, rivals),
    ]
    limit = settled_by(at, update)
    at.play(players, until=limit, while_=lambda: at.model.board.is_live(update))
    status = at.model.update(update).status
    if wrong:
        assert status == UpdateStatus.FALLEN
    else:
        assert not [d for d in at.model.disputes() if d.challenger == WATCHER]
    at.play([challenger(at, at.truth)], until=at.model.now())
    assert at.model.tokens_of(WATCHER) >= PURSE


@QUICK
@given(
    fanout=st.sampled_from([1, 2, 8]),
    rivals=st.lists(st.tuples(lies, absences), min_size=1, max_size=3),
    candidates=st.lists(lies, max_size=3),
    late=seldom,
)
def test_a_right_update_stands_whoever_disputes_it_and_whatever_is_posted_beside_it(
    fanout: int,
    rivals: list[tuple[list[Change], list[bool]]],
    candidates: list[list[Change]],
    late: list[int],
) -> None:
    at = fresh(fanout, TRAINER)
    update = at.post(at.truth, segments=1)
    at.send(TRAINER, m.Release(job=at.job.job_id))
    # Somebody builds on it, and posts false candidates below it for defence bonds.
    at.post(at.truth, segments=1, sender=OTHER)
    last = list(at.truth.trace.state_words(4))
    others = [sceptical(defender(at, disguised(at, lie, last), address=OTHER)) for lie in candidates]
    players = [lazily(defender(at, at.truth), late), *crowd(at, rivals), *others]
    limit = settled_by(at, update)
    at.play(players, until=limit, while_=lambda: at.model.update(update).status == UpdateStatus.PENDING)
    assert at.model.update(update).status == UpdateStatus.FINAL
    at.send(OTHER, m.Claim(update=update))
    assert at.model.tokens_of(TRAINER) >= PURSE + at.job.money.reward


def disguised(at: Table, lie: list[Change], last: list[np.ndarray]) -> Openings:
    """A trace that lies on the way and ends at the right state."""
    hooks = lying([c for c in lie if c[0] in ("word", "padding", "cut")], 1)

    def next_state(step: int, _before: list[np.ndarray], after: list[np.ndarray]) -> list[np.ndarray]:
        return last if step == 3 else after

    return at.openings(replace(hooks, next_state=next_state))


def crowd(at: Table, rivals: list[tuple[list[Change], list[bool]]]) -> list[Player]:
    """Challengers who each believe a trace of their own, and are not always there."""
    return [
        forgetful(sceptical(challenger(at, at.openings(lying(lie, 1)), address=address)), absent)
        for address, (lie, absent) in zip(RIVALS, rivals, strict=False)
    ]


# -------------------------------------------------------------------- noise

hashes = st.sampled_from([bytes(32), bytes([1]) * 32])


def noise(model: Model, number: int) -> list[tuple[bytes, m.Move]]:
    """Moves that anybody can try, about things that exist, chosen by a number."""
    court = model.court
    pick: Callable[[list[bytes]], bytes] = lambda known: known[number % len(known)] if known else bytes(32)  # noqa: E731
    dispute, candidate = pick([*court.disputes]), pick([*court.candidates])
    position, update = pick([*court.positions]), pick([*model.board.updates])
    job = pick([*model.board.jobs])
    moves: list[m.Move] = [
        m.Silence(dispute=dispute, candidate=candidate),
        m.Timeout(dispute=dispute, candidate=candidate),
        m.Settle(position=position),
        m.Close(dispute=dispute),
        m.Free(candidate=candidate),
        m.Claim(update=update),
        m.Reclaim(update=update),
        m.Refund(job=job),
        m.Evict(job=job),
        m.Lease(job=job),
        m.Withdraw(),
        m.WithdrawBurned(),
        m.Cancel(job=job),
        m.Reserve(job=job, digest=bytes([number // 20 % 2]) * 32),
        m.CancelReservation(digest=bytes([number // 20 % 2]) * 32),
        m.Select(dispute=dispute, candidate=candidate, index=number % 3, leaf=bytes(32), path=()),
        m.Prove(dispute=dispute, candidate=candidate, index=0, witness=bytes(number % 7)),
        m.Reveal(children=(bytes([number % 256]) * 32, bytes(32))),
        m.RevealPage(page=bytes([number % 256]) * 256),
        m.Finalise(job=job),
    ]
    return [(RIVALS[number % len(RIVALS)], moves[number % len(moves)])]


def noisy_game(lie: list[Change], numbers: list[int], right: bool) -> set[type]:
    """Play a dispute with noise between its moves; returns the kinds of noise that were accepted."""
    at = fresh(1, WATCHER, TRAINER) if right else fresh(1, WATCHER)
    false = at.truth if right else at.openings(lying(lie, 1))
    update = at.post(false, segments=1)
    at.send(TRAINER, m.Release(job=at.job.job_id))
    wrong = at.truth.first_difference(at.model.update(update)) is not None
    left = list(numbers)
    accepted: set[type] = set()

    def noisy(model: Model) -> list[tuple[bytes, m.Move]]:
        if left:
            [(sender, move)] = noise(model, left.pop())
            try:
                at.send(sender, move)
                accepted.add(type(move))
            except RefusedError:
                pass
        return []

    at.races = RACES | {"court: challenger is not late", "court: not ended and empty"}
    confused = forgetful(sceptical(challenger(at, at.openings(lying(lie, 1)), address=OTHER)), [True] * 3)
    players = [noisy, challenger(at, at.truth), defender(at, false), confused]
    at.play(players, until=settled_by(at, update))
    status = at.model.update(update).status
    assert status == (UpdateStatus.FALLEN if wrong else UpdateStatus.FINAL)
    return accepted


@QUICK
@given(lie=lies, numbers=st.lists(st.integers(0, 10_000), max_size=120), right=st.booleans())
def test_moves_by_anybody_about_anything_harm_nobody(
    lie: list[Change], numbers: list[int], right: bool
) -> None:
    """Accepted or refused, they change nothing that an honest party has, nor what falls."""
    noisy_game(lie, numbers, right)


def test_much_of_the_noise_is_accepted() -> None:
    """A green invariant with most operations refused is weak evidence."""
    rng = random.Random(5)
    accepted: set[type] = set()
    for seed in range(12):
        lie = [("word", 3, 2, seed, 1)]
        accepted |= noisy_game(lie, [rng.randrange(10_000) for _ in range(250)], right=bool(seed % 2))
    money = {m.Withdraw, m.WithdrawBurned, m.Lease, m.Evict, m.CancelReservation, m.Claim}
    assert accepted >= money | {m.Reserve, m.Reveal, m.RevealPage}


# -------------------------------------------------------------------- the rules themselves


def lose(model: Model) -> None:
    next(iter(model.court.disputes.values())).status = DisputeStatus.LOST
    next(iter(model.board.updates.values())).open_disputes = 0
    model.board.balance -= next(iter(model.board.jobs.values())).terms.money.challenge_bond


def topple(model: Model) -> None:
    next(iter(model.court.candidates.values())).fallen = True


def crowded(model: Model) -> None:
    next(iter(model.court.positions.values())).candidates *= 1024


def outlive(model: Model) -> None:
    model.advance(10**5)


def forget(model: Model) -> None:
    next(iter(model.board.updates.values())).open_disputes = 0
    model.advance(1000)


@pytest.mark.parametrize(
    ("broken", "rule"),
    [(lose, "I-5"), (topple, "I-4"), (crowded, "I-8"), (outlive, "I-7"), (forget, "I-3")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_rule_of_disputes_is_noticed(broken: Callable[[Model], None], rule: str) -> None:
    at = fresh(1, WATCHER)
    false = at.openings(lying([("word", 3, 2, 5, 1)], 0))
    at.post(false, segments=1)
    at.play([challenger(at, at.truth), defender(at, false)], until=at.model.now() + 15)
    honest = frozenset([WATCHER, TRAINER] if rule == "I-4" else [WATCHER])
    protected = rules.Protected(honest=honest, purse=PURSE, truth=at.truth)
    rules.check(at.model, replace(protected, honest=frozenset([WATCHER])))
    if rule == "I-4":
        for candidate in at.model.court.candidates.values():
            candidate.fallen = False
    broken(at.model)
    with pytest.raises(rules.BrokenRuleError, match=rule):
        rules.check(at.model, protected)
