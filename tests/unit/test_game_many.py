"""Several challengers, candidates, descendants, delegates: who is credited, paid, and gets a bond back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from protocol.commitments.tree import Tree
from protocol.errors import RefusedError
from protocol.game import moves as m
from protocol.game.ids import MOST_CANDIDATES, Kind
from protocol.game.openings import Openings
from protocol.game.view import DisputeStatus, UpdateStatus
from tests.support.game import (
    OTHER,
    PURSE,
    REQUESTER,
    STRIDE,
    TRAINER,
    WATCHER,
    Player,
    Table,
    challenger,
    defender,
    one_word,
    settled_by,
    silenced,
    slots,
    table,
)

WORD = one_word(2, 2, 65)
ELSE = one_word(1, 2, 7)
"""Another lie; a trace with it ends at another state than one with WORD."""


def refused(at: Table, sender: bytes, move: m.Move) -> str:
    with pytest.raises(RefusedError) as caught:
        at.send(sender, move)
    return caught.value.reason


@cache
def first_table() -> Table:
    return table()


def fresh(*honest: bytes) -> Table:
    return table(truth=first_table().truth, honest=honest)


def only(player: Player, *kinds: type) -> Player:
    return lambda model: [(sender, move) for sender, move in player(model) if isinstance(move, kinds)]


def live(at: Table, update: bytes) -> Callable[[], bool]:
    return lambda: at.model.board.is_live(update)


def disguised(at: Table, end: Openings, step: int, word: int) -> Openings:
    """A lie on the way through the first segment, with the last state of another trace."""
    last = end.trace.state_words(4)
    return at.openings(replace(one_word(step, 2, word), next_state=slots(3, lambda _: list(last)).next_state))


def test_two_honest_challengers_lose_nothing_and_the_earlier_reservation_is_credited() -> None:
    at = fresh(WATCHER, OTHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    later, earlier = challenger(at, at.truth, address=OTHER), challenger(at, at.truth)
    at.play([only(earlier, m.Reserve)], until=at.model.now() + 15)
    watching = only(earlier, m.Open, m.Select, m.SelectStep)
    at.play([later, watching, defender(at, lie)], until=settled_by(at, update), while_=live(at, update))
    money, model = at.job.money, at.model
    refund = money.gas_price * money.scheduled_gas
    assert at.decided() == {"word": 1, "settle": 1}
    assert {e.sender for e in at.moves(m.Prove, m.Settle)} == {OTHER}
    at.play([later, earlier], until=model.now())
    # The later one has proven it; the earlier reservation has the bounty, and the other its gas.
    kept = money.update_bond * (10_000 - money.burn_bps) // 10_000
    share = min(refund, kept - money.tip - refund - money.bounty)
    assert model.tokens_of(WATCHER) == PURSE + refund + money.bounty
    assert model.tokens_of(OTHER) == PURSE + share + money.tip
    assert [d.status for d in model.disputes()] == [DisputeStatus.CLOSED] * 2
    rest = kept - money.tip - refund - money.bounty - share
    locked = money.reward * at.job.geometry.segments
    assert model.tokens_of(REQUESTER) == PURSE - locked + rest


def test_a_credit_whose_dispute_is_lost_goes_to_the_one_that_proved() -> None:
    """The earlier challenger loses in its own branch before the later one proves the fault."""
    at = fresh(OTHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    confused = challenger(at, at.openings(ELSE), address=WATCHER)
    at.play([confused], until=at.model.now() + 15)
    players = [confused, defender(at, lie), challenger(at, at.truth, address=OTHER)]
    # It selects a step before the wrong one, where what was committed recomputes.
    at.play(players, until=settled_by(at, update), while_=live(at, update))
    lost, won = at.model.disputes()
    assert (lost.challenger, lost.status) == (WATCHER, DisputeStatus.LOST)
    assert (won.challenger, won.status) == (OTHER, DisputeStatus.CLOSED)
    money = at.job.money
    refund = money.gas_price * money.scheduled_gas
    assert at.model.tokens_of(OTHER) >= PURSE + refund + money.bounty


def test_a_wrong_update_takes_what_is_built_on_it_along_and_its_builder_gets_the_bond_back() -> None:
    at = fresh(WATCHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    at.send(TRAINER, m.Release(job=at.job.job_id))
    on_top = at.post(lie, segments=1, sender=OTHER)
    at.play(
        [challenger(at, at.truth), defender(at, lie)],
        until=settled_by(at, update),
        while_=live(at, update),
    )
    model = at.model
    assert model.update(update).status == UpdateStatus.FALLEN
    assert model.update(on_top).status == UpdateStatus.VOID
    assert model.chain(at.job.job_id) == []
    at.send(OTHER, m.Reclaim(update=on_top))
    assert model.tokens_of(OTHER) == PURSE
    with pytest.raises(RefusedError, match="board: bond is gone"):
        at.send(OTHER, m.Reclaim(update=on_top))
    with pytest.raises(RefusedError, match="board: bond is gone"):
        at.send(TRAINER, m.Reclaim(update=update))
    same = at.post(lie, segments=1)
    assert same != update
    assert model.update(same).states == model.update(update).states
    at.play([challenger(at, at.truth), defender(at, lie)], until=settled_by(at, same), while_=live(at, same))
    again = at.post(at.truth, segments=2)
    assert model.update(again).index == 0
    assert model.update(again).first_state == at.job.genesis


def test_a_dispute_of_a_void_update_closes_with_its_bond() -> None:
    at = fresh(WATCHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    on_top = at.post(at.openings(slots(5, lambda s: [s[0] ^ 1, *s[1:]])), segments=1)
    players = [challenger(at, at.truth), defender(at, lie)]
    limit = settled_by(at, update)
    at.play(players, until=at.model.now() + 150)
    # A second watcher, who believes the first update, disputes the second before the first has fallen.
    second = challenger(at, lie, address=OTHER)
    at.play([second, *players], until=limit, while_=live(at, update))
    assert at.model.update(on_top).status == UpdateStatus.VOID
    at.play([second], until=at.model.now())
    assert at.model.tokens_of(OTHER) == PURSE
    [dispute] = at.model.disputes(update=on_top)
    assert dispute.status == DisputeStatus.CLOSED


@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_further_candidate_of_a_liar_costs_it_a_defence_bond(count: int) -> None:
    """Traces that end alike and differ within: each is convicted in a branch of its own."""
    at = fresh(WATCHER)
    first = at.openings(WORD)
    update = at.post(first, segments=1)

    others = [disguised(at, first, i % 3, 20 + i) for i in range(count)]
    players = [challenger(at, at.truth), defender(at, first), *(defender(at, other) for other in others)]
    at.play(players, until=settled_by(at, update), while_=live(at, update))
    assert at.model.update(update).status == UpdateStatus.FALLEN
    [dispute] = at.model.disputes()
    steps = at.model.demands(dispute.dispute)[0]
    fallen = at.model.candidates(steps)
    assert len(fallen) == 1 + count
    assert all(c.fallen and not c.bonded for c in fallen)
    assert at.decided() == {"word": 1 + count, "settle": at.decided()["settle"]}
    money = at.job.money
    assert at.model.tokens_of(TRAINER) == PURSE - money.update_bond - count * money.defence_bond
    refund = money.gas_price * money.scheduled_gas
    assert at.model.tokens_of(WATCHER) == PURSE + (1 + count) * refund + money.bounty + money.tip


def test_a_position_holds_1023_candidates_and_keeps_a_place_for_the_covered_one() -> None:
    at = fresh(TRAINER)
    update = at.post(at.truth, segments=1)
    confused = challenger(at, at.openings(WORD))
    at.play([confused], until=at.model.now() + 15)
    [dispute] = at.model.disputes()
    [steps] = at.model.demands(dispute.dispute)
    [(_, own)] = defender(at, at.truth)(at.model)
    assert isinstance(own, m.Commit)
    at.model.mint(OTHER, 1022 * at.job.money.defence_bond)

    def bogus(number: int) -> m.Commit:
        # The first and the last state stay what is agreed; the right half is one node of the list.
        tree = at.truth.steps_tree(0)
        leaves = [tree.node(0, i) for i in range(1 << tree.height)]
        leaves[1] = number.to_bytes(32)
        false = Tree(leaves, tree.height)
        below = tree.height - at.job.geometry.levels(tree.height)
        return replace(
            own,
            children=tuple(false.children(tree.height, 0, at.job.geometry.levels(tree.height))),
            first_path=tuple(false.path_between(0, 0, below)),
            last_path=tuple(false.path_between(0, STRIDE, below)),
        )

    for number in range(1, MOST_CANDIDATES):
        at.model.apply(OTHER, bogus(number))
    assert refused(at, OTHER, bogus(MOST_CANDIDATES)) == "court: no place left"
    assert refused(at, OTHER, bogus(1)) == "court: candidate exists"
    at.send(TRAINER, own)
    assert [c.bonded for c in at.model.candidates(steps)] == [True] * 1022 + [False]
    assert refused(at, TRAINER, bogus(MOST_CANDIDATES)) == "court: no place left"
    # The honest trainer's candidate stands whatever becomes of the others: the challenger loses below it.
    honest = next(c for c in at.model.candidates(steps) if not c.bonded)
    below: Player = lambda model: [  # noqa: E731
        (who, move) for who, move in confused(model) if getattr(move, "candidate", b"") == honest.candidate
    ]
    at.play([below, defender(at, at.truth)], until=settled_by(at, update), while_=lambda: not at.decided())
    assert at.model.dispute(dispute.dispute).status == DisputeStatus.LOST


def test_a_delegate_answers_for_a_trainer_who_has_vanished() -> None:
    at = fresh(TRAINER, OTHER)
    update = at.post(at.truth, segments=1)
    at.send(TRAINER, m.Delegate(who=OTHER, allowed=True))
    confused = challenger(at, at.openings(WORD))
    stand_in = defender(at, at.truth, address=OTHER, trainer=TRAINER)
    at.play([confused, stand_in], until=settled_by(at, update))
    [dispute] = at.model.disputes()
    assert dispute.status == DisputeStatus.LOST
    assert at.decided() == {"word": 1}
    assert at.model.update(update).status == UpdateStatus.FINAL
    # The delegate's candidates were covered by the trainer's bond, and the winnings are the trainer's (D-15).
    money = at.job.money
    assert at.model.tokens_of(OTHER) == PURSE
    won = money.gas_price * money.scheduled_gas + money.bounty
    assert at.model.tokens_of(TRAINER) + money.update_bond + money.lease_deposit == PURSE + won


def test_a_delegate_that_was_dismissed_takes_a_bond_like_anybody() -> None:
    at = fresh(TRAINER)
    at.post(at.truth, segments=1)
    at.send(TRAINER, m.Delegate(who=OTHER, allowed=True))
    at.send(TRAINER, m.Delegate(who=OTHER, allowed=False))
    at.play([challenger(at, at.openings(WORD))], until=at.model.now() + 15)
    [(_, move)] = defender(at, at.truth)(at.model)
    at.send(OTHER, move)
    [posted] = at.model.candidates(move.position)  # type: ignore[union-attr]
    assert posted.bonded


def test_who_builds_on_an_update_defends_it_for_a_bond_that_comes_back() -> None:
    at = fresh(OTHER)
    update = at.post(at.truth, segments=1)
    at.send(TRAINER, m.Release(job=at.job.job_id))
    on_top = at.post(at.truth, segments=1, sender=OTHER)
    confused = challenger(at, at.openings(WORD))
    builder = defender(at, at.truth, address=OTHER)
    at.play([confused, builder], until=settled_by(at, update))
    assert at.decided() == {"word": 1}
    assert at.model.update(on_top).status == UpdateStatus.FINAL
    commits = at.moves(m.Commit)
    assert len(commits) == len(at.moves(m.Free)) == 2
    at.send(OTHER, m.Claim(update=on_top))
    money = at.job.money
    refund = money.gas_price * money.scheduled_gas
    assert at.model.tokens_of(OTHER) == PURSE + money.reward + refund + money.bounty


def test_a_bond_at_stake_cannot_be_taken_back_and_one_lost_neither() -> None:
    at = fresh()
    lie = at.openings(WORD)
    at.post(lie, segments=1)
    at.send(TRAINER, m.Release(job=at.job.job_id))
    at.post(lie, segments=1, sender=OTHER)
    watch, builder = challenger(at, at.truth), defender(at, lie, address=OTHER)
    at.play([watch, builder], until=at.model.now() + 3000, while_=lambda: not at.moves(m.Prove))
    candidate, *_ = at.model.court.candidates
    with pytest.raises(RefusedError, match="court: candidate is still needed"):
        at.send(OTHER, m.Free(candidate=candidate))
    fell = next(c for c, known in at.model.court.candidates.items() if known.fallen)
    with pytest.raises(RefusedError, match="court: no defence bond held"):
        at.send(OTHER, m.Free(candidate=fell))
    at.play([watch, builder], until=at.model.now() + 3000)
    assert all(not c.bonded for c in at.model.court.candidates.values())


def test_one_reveal_serves_every_dispute() -> None:
    at = fresh(TRAINER)
    update = at.post(at.truth, segments=1)
    confused = [challenger(at, at.openings(WORD), address=a) for a in (WATCHER, OTHER)]
    at.play([*confused, defender(at, at.truth)], until=settled_by(at, update))
    assert [d.status for d in at.model.disputes()] == [DisputeStatus.LOST] * 2
    assert len(at.moves(m.Commit)) == 2
    hashes = [e.move for e in at.moves(m.Reveal)]
    assert len(hashes) == len(set(hashes))
    assert at.decided() == {"word": 2}


def test_a_second_demand_keeps_the_first_ones_clock_and_may_take_the_claim() -> None:
    at = fresh(WATCHER, OTHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    first, second = challenger(at, at.truth, address=OTHER), challenger(at, at.truth)
    at.play([only(second, m.Reserve)], until=at.model.now() + 15)
    at.play([first], until=at.model.now() + 15)
    [opened] = at.model.disputes()
    [steps] = at.model.demands(opened.dispute)
    before = at.model.position(steps)
    assert before.claimant == opened.dispute
    at.play([second], until=at.model.now() + 15)
    after = at.model.position(steps)
    assert (after.demanded_at, after.ends_at, after.allowance) == (before.demanded_at, before.ends_at, 30)
    assert at.model.dispute(after.claimant).challenger == WATCHER
    at.play([first, second], until=settled_by(at, update), while_=live(at, update))
    assert at.model.update(update).status == UpdateStatus.FALLEN


def test_each_trace_demanded_lengthens_the_next_posting_up_to_four_times() -> None:
    at = fresh(TRAINER)
    at.post(at.truth, segments=2)
    lies = [one_word(3, 2, 0), one_word(0, 2, 1), one_word(5, 2, 2), one_word(6, 2, 3)]
    players = [challenger(at, at.openings(lie), address=bytes([i + 1]) * 20) for i, lie in enumerate(lies)]
    for i in range(len(lies)):
        at.model.mint(bytes([i + 1]) * 20, PURSE)
    at.play([*players, defender(at, at.truth)], until=at.model.now() + 600)
    allowances = [p.allowance for p in at.model.court.positions.values() if p.kind != Kind.FOLD]
    assert allowances == [30, 60, 90, 120, 120, 120][: len(allowances)]
    assert len(allowances) == 6
    assert [d.status for d in at.model.disputes()] == [DisputeStatus.LOST] * 4


def test_the_pre_state_of_a_segment_is_the_posted_one_even_if_it_lies_in_the_same_update() -> None:
    at = fresh(WATCHER)
    lie = at.openings(one_word(5, 2, 65))
    update = at.post(lie, segments=2)
    at.play(
        [challenger(at, at.truth), defender(at, lie)], until=settled_by(at, update), while_=live(at, update)
    )
    [dispute] = at.model.disputes()
    assert dispute.segment == 1
    assert at.decided() == {"word": 1, "settle": 1}


def test_a_right_update_on_a_right_one_is_left_alone_and_paid() -> None:
    at = fresh(TRAINER, WATCHER)
    first = at.post(at.truth, segments=1)
    second = at.post(at.truth, segments=1)
    at.play([challenger(at, at.truth), defender(at, at.truth)], until=at.model.update(second).deadline + 121)
    assert at.model.disputes() == []
    assert [u.status for u in at.model.chain(at.job.job_id)] == [UpdateStatus.FINAL] * 2
    for update in (first, second):
        at.send(OTHER, m.Claim(update=update))
    assert at.model.tokens_of(TRAINER) == PURSE + 2 * at.job.money.reward


def test_differences_that_vanish_before_the_end_of_a_segment_are_left_alone() -> None:
    """A-3: a wrong word that the state at the end does not show."""
    at = fresh(WATCHER)
    at.post(at.openings(one_word(1, 3, 0, value=0)), segments=1)
    assert list(challenger(at, at.truth)(at.model)) == []


def test_a_copied_opening_is_worth_nothing() -> None:
    at = fresh(WATCHER)
    at.post(at.openings(WORD), segments=1)
    watch = challenger(at, at.truth)
    at.play([only(watch, m.Reserve)], until=at.model.now())
    [(_, move)] = watch(at.model)
    [reservation] = at.model.reservations(WATCHER)
    at.send(OTHER, m.Reserve(job=at.job.job_id, digest=reservation.digest))
    # Whoever copies the opening opens another dispute, with a bond and a later claim of its own (D-1, D-2).
    at.model.advance(1)
    copied = at.send(OTHER, move)
    assert copied != reservation.digest
    opened = at.send(WATCHER, move)
    [steps] = at.model.demands(opened)  # type: ignore[arg-type]
    assert at.model.position(steps).claimant == opened


def test_an_empty_position_does_not_unmake_an_update_that_became_final() -> None:
    """Its only dispute is lost under another candidate, so nothing holds the update back (U-6, D-14)."""
    at = fresh()
    update = at.post(at.truth, segments=1)
    at.send(TRAINER, m.Release(job=at.job.job_id))
    at.post(at.truth, segments=1, sender=OTHER)
    confused = challenger(at, at.openings(WORD))
    at.play([confused, silenced(defender(at, at.truth), after=1)], until=at.model.now() + 15)
    [first] = at.model.court.candidates
    only_first: Player = lambda model: [  # noqa: E731
        (who, move) for who, move in confused(model) if getattr(move, "candidate", first) == first
    ]
    other = only(defender(at, disguised(at, at.truth, 0, 3), address=OTHER), m.Commit, m.Timeout)
    trainer = only(defender(at, at.truth), m.Reveal, m.Timeout)
    at.play([only_first, other, trainer], until=at.model.now() + 900)
    [dispute] = at.model.disputes()
    assert dispute.status == DisputeStatus.LOST
    _, nodes = at.model.demands(dispute.dispute)
    assert at.model.candidates(nodes) == []
    assert at.model.update(update).status == UpdateStatus.FINAL
    with pytest.raises(RefusedError, match="court: update is final"):
        at.send(OTHER, m.Settle(position=nodes))


def test_moves_in_the_wrong_place_or_by_the_wrong_party_are_refused() -> None:
    at = fresh(WATCHER)
    lie = at.openings(WORD)
    at.post(lie, segments=1)
    watch, trainer = challenger(at, at.truth), defender(at, lie)
    checked: set[type] = set()
    for _ in range(100):
        made = [*watch(at.model), *trainer(at.model)]
        if not made:
            at.model.advance(30)
            if at.moves(m.Settle):
                break
            continue
        sender, move = made[0]
        for wrong_sender, wrong, reason in wrongs(sender, move):
            model = copy.deepcopy(at.model)
            before = model.board.balance, len(model.court.branches), dict(model.board.credits)
            with pytest.raises(RefusedError) as caught:
                model.apply(wrong_sender, wrong)
            assert caught.value.reason == reason
            assert (model.board.balance, len(model.court.branches), model.board.credits) == before
            checked.add(type(move))
        at.send(sender, move)
    assert checked == {m.Open, m.Commit, m.Reveal, m.RevealPage, m.Select, m.SelectStep, m.Prove, m.Settle}


def wrongs(sender: bytes, move: m.Move) -> list[tuple[bytes, m.Move, str]]:  # noqa: C901
    """Moves that go wrong in one way, and the reason that must be given."""
    junk = bytes([7]) * 32
    found: list[tuple[bytes, m.Move, str]] = []

    def wrong(reason: str, by: bytes = sender, **changes: object) -> None:
        found.append((by, replace(move, **changes), reason))  # type: ignore[type-var]

    if isinstance(move, m.Open):
        wrong("court: not a segment of it", segment=move.segment + 1)
        wrong("court: first state not in history", first=junk)
        wrong("court: last state not in history", last_path=move.last_path[:-1])
    elif isinstance(move, m.Commit):
        wrong("court: no such position", position=junk)
        wrong("court: wrong number of children", children=move.children * 2)
        wrong("court: accumulator not asked for", accumulator=bytes(97))
        wrong("court: wrong last end point", last_path=(*move.last_path[:-1], junk))
        if move.first_path:
            wrong("court: wrong first end point", children=(junk, move.children[1]))
        else:
            wrong("court: first path not asked for", first_path=(junk,))
    elif isinstance(move, m.Reveal):
        wrong("court: children not 2^n", children=move.children[:1])
    elif isinstance(move, m.RevealPage):
        wrong("court: a page has 256 bytes", page=move.page[:-1])
    elif isinstance(move, m.Select | m.SelectStep):
        wrong("court: not the challenger", by=TRAINER)
        wrong("court: not the challenger", dispute=junk)
        wrong("court: no such branch", candidate=junk)
        wrong("court: index outside the list", index=2)
        wrong("court: not under the cursor", leaf=junk)
        wrong("court: not under the cursor", path=(*move.path, junk))
        if isinstance(move, m.SelectStep):
            wrong("court: state before not committed", before=junk)
            found.append(
                (
                    sender,
                    m.Select(
                        dispute=move.dispute,
                        candidate=move.candidate,
                        index=move.index,
                        leaf=move.leaf,
                        path=move.path,
                    ),
                    "court: leaf has its own move",
                )
            )
    elif isinstance(move, m.Prove):
        wrong("court: not the challenger", by=OTHER)
        wrong("court: no such branch", candidate=junk)
        wrong("verifier: trailing bytes", witness=move.witness + b"\0")
        wrong("verifier: index", index=64)
        select = m.Select(dispute=move.dispute, candidate=move.candidate, index=0, leaf=junk, path=())
        found.append((sender, select, "court: word has its own move"))
        word = m.SelectWord(
            dispute=move.dispute, candidate=move.candidate, index=0, page=bytes(256), opening=b""
        )
        found.append((sender, word, "court: page is not at the cursor"))
    elif isinstance(move, m.Settle):
        wrong("court: no such position", position=junk)
        found.append((sender, m.Close(dispute=junk), "court: dispute is not open"))
    return found
