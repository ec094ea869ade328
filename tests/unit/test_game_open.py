"""What openness could break: anyone may post anywhere, copy, fill places, pay itself (dispute.md, D-20)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from protocol.commitments.tree import Tree
from protocol.errors import MismatchError, RefusedError
from protocol.game import moves as m
from protocol.game.ids import MOST_CANDIDATES, Kind
from protocol.game.model import Model
from protocol.game.openings import Openings
from protocol.game.proofs import commitment
from protocol.game.trace import Hooks
from protocol.game.view import DisputeStatus, Turn, UpdateStatus
from prover.defence import Defender, defend, freed
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
    holding_back,
    one_word,
    settled_by,
    slots,
    table,
)

WORD = one_word(2, 2, 65)


@cache
def first_table() -> Table:
    return table()


def fresh(*honest: bytes) -> Table:
    return table(truth=first_table().truth, honest=honest)


def disguised(at: Table, step: int, word: int, *, end: Openings | None = None) -> Openings:
    """A lie on the way through the first segment that ends as another trace, or the right one."""
    last = (end or at.truth).trace.state_words(STRIDE)
    after = slots(STRIDE - 1, lambda _: list(last)).next_state
    return at.openings(replace(one_word(step, 2, word), next_state=after))


def only(player: Player, *kinds: type) -> Player:
    return lambda model: [sent for sent in player(model) if isinstance(sent[1], kinds)]


def guard(at: Table, *, address: bytes = WATCHER, bonds: int = 99) -> Player:
    """A watcher that defends what its own trace confirms."""
    me = Defender(
        address=address,
        trainer=None,
        job=at.job,
        openings=at.truth,
        confirms=lambda update: at.truth.first_difference(update) is None,
        bonds=bonds,
    )

    def turn(model: Model) -> list[tuple[bytes, m.Move]]:
        moves = defend(model, me)
        for update in model.board.updates:
            moves += freed(model, me, model.update(update))
        return [(address, move) for move in moves]

    return turn


def bogus(at: Table, position: bytes, number: int) -> m.Commit:
    """A STEPS candidate for the first segment with one made-up state in the middle."""
    own = at.truth.steps_tree(0)
    leaves = [own.node(0, i) for i in range(1 << own.height)]
    leaves[1] = number.to_bytes(32)
    return commitment(at.model.position(position), Tree(leaves, own.height), at.job.geometry)


def accused(at: Table) -> tuple[bytes, Player]:
    """An honest update, disputed by somebody with a wrong replay: the STEPS position, and the challenger."""
    at.post(at.truth, segments=1)
    confused = challenger(at, at.openings(WORD), address=OTHER)
    at.play([confused], until=at.model.now())
    [dispute] = at.model.disputes()
    [position] = at.model.demands(dispute.dispute)
    return position, confused


def final(at: Table) -> bool:
    [update] = at.model.board.updates
    return at.model.update(update).status == UpdateStatus.FINAL


def test_a_root_posted_at_once_and_chosen_from_at_once_hurries_nobody() -> None:
    """D-12: the trainer has the whole time to build its trace, whoever has posted its root before it."""
    at = fresh(TRAINER)
    position, confused = accused(at)
    trainer = defender(at, at.truth)
    [(_, commit)] = trainer(at.model)
    at.model.apply(REQUESTER, commit)
    at.play([confused], until=at.model.now())
    [dispute] = at.model.disputes()
    [posted] = at.model.candidates(position)
    here = at.model.position(position)
    branch = at.model.branch(dispute.dispute, posted.candidate)
    clocks = at.job.clocks
    assert branch.turn == Turn.DEFENDER
    assert (
        branch.due == here.demanded_at + here.allowance + clocks.response > at.model.now() + clocks.response
    )
    # The trainer comes with its trace at the last second, takes the root over, and wins.
    at.model.advance(branch.due - at.model.now())
    at.play([trainer, confused], until=settled_by(at, here.update))
    assert final(at)
    assert at.model.dispute(dispute.dispute).status == DisputeStatus.LOST
    [posted] = at.model.candidates(position)
    assert posted.poster == TRAINER


def test_a_copier_that_goes_silent_harms_nobody_and_wins_nothing() -> None:
    """A stranger posts the honest root before a guard would; the guard reveals below it, for no bond."""
    at = fresh(WATCHER)
    position, confused = accused(at)
    [(_, commit)] = defender(at, at.truth)(at.model)
    at.model.apply(REQUESTER, commit)
    at.play([guard(at), confused], until=settled_by(at, at.model.position(position).update))
    assert final(at)
    [dispute] = at.model.disputes()
    assert dispute.status == DisputeStatus.LOST
    assert at.model.tokens_of(WATCHER) >= PURSE
    assert not at.model.candidates(position)[0].fallen


def test_a_silent_trainer_is_saved_and_the_guard_paid() -> None:
    at = fresh(WATCHER)
    position, confused = accused(at)
    demanded = at.model.now()
    at.play([guard(at), confused], until=settled_by(at, at.model.position(position).update))
    assert final(at)
    money, clocks = at.job.money, at.job.clocks
    refund = money.gas_price * money.scheduled_gas
    assert at.model.tokens_of(WATCHER) == PURSE + refund + money.bounty
    first = at.moves(m.Commit)[0]
    assert first.time >= demanded + (clocks.allowance + clocks.response) // 2
    assert all(not c.bonded for c in at.model.court.candidates.values())


def test_a_guard_does_not_wait_while_places_are_filled() -> None:
    at = fresh(WATCHER)
    position, _ = accused(at)
    assert list(guard(at)(at.model)) == []
    at.model.mint(REQUESTER, MOST_CANDIDATES * at.job.money.defence_bond)
    for number in range(1, MOST_CANDIDATES // 2 + 1):
        at.model.apply(REQUESTER, bogus(at, position, number))
    [(_, move)] = guard(at)(at.model)
    assert isinstance(move, m.Commit)


def test_a_guard_with_one_bond_left_asks_for_one() -> None:
    at = fresh(WATCHER)
    accused(at)
    at.model.advance(at.job.clocks.response)
    assert list(guard(at, bonds=0)(at.model)) == []
    assert len(list(guard(at, bonds=1)(at.model))) == 1


@pytest.mark.parametrize("count", [1, 6])
def test_bogus_candidates_in_the_last_second_are_all_felled_in_time(count: int) -> None:
    """Each pays for being felled, in a branch of its own; the wrong update falls within D-19's time."""
    at = fresh(WATCHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    watch, trainer = challenger(at, at.truth), defender(at, lie)
    at.play([watch, trainer], until=at.model.now())
    [dispute] = at.model.disputes()
    steps = at.model.demands(dispute.dispute)[0]
    kinds = m.Commit, m.Reveal, m.RevealPage
    helpers = [
        only(defender(at, disguised(at, i % 3, 20 + i, end=lie), address=OTHER, trainer=TRAINER), *kinds)
        for i in range(count)
    ]
    last = at.model.position(steps).ends_at
    at.model.advance(last - at.model.now())
    for player in helpers:
        for sender, move in player(at.model):
            if isinstance(move, m.Commit) and move.position == steps:
                at.send(sender, move)
    at.play(
        [watch, *helpers],
        until=settled_by(at, update),
        while_=lambda: at.model.update(update).status == UpdateStatus.PENDING,
    )
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert at.model.tokens_of(OTHER) <= PURSE - count * at.job.money.defence_bond
    refund = at.job.money.gas_price * at.job.money.scheduled_gas
    assert at.model.tokens_of(WATCHER) >= PURSE + (1 + count) * refund


def test_bogus_candidates_below_an_honest_one_do_not_touch_it() -> None:
    at = fresh(TRAINER)
    position, confused = accused(at)
    update = at.model.position(position).update
    trainer = defender(at, at.truth)
    at.play([only(trainer, m.Commit)], until=at.model.now())
    at.play([confused, only(trainer, m.Reveal)], until=at.model.now())
    [dispute] = at.model.disputes()
    _, nodes = at.model.demands(dispute.dispute)
    assert at.model.position(nodes).kind == Kind.NODES
    # The right state at the end, and other outputs on the way.
    own = at.truth.nodes_tree(at.model.position(nodes).a - 1)
    leaves = [own.node(0, i) for i in range(1 << own.height)]
    leaves[0] = bytes([9]) * 32
    at.send(REQUESTER, commitment(at.model.position(nodes), Tree(leaves, own.height), at.job.geometry))
    at.play([confused, trainer], until=settled_by(at, update))
    assert final(at)
    assert at.model.dispute(dispute.dispute).status == DisputeStatus.LOST
    honest = [c for c in at.model.court.candidates.values() if c.poster == TRAINER]
    assert len(honest) >= 2
    assert not any(c.fallen for c in honest)


def test_nothing_is_posted_below_what_has_fallen_and_bonds_there_are_free() -> None:
    at = fresh(WATCHER)
    lie = at.openings(WORD)
    at.post(lie, segments=1)
    watch, trainer = challenger(at, at.truth), defender(at, lie)
    at.play([watch, trainer], until=at.model.now(), while_=lambda: not at.moves(m.Prove))
    [dispute] = at.model.disputes()
    steps, nodes = at.model.demands(dispute.dispute)
    # Its one candidate has fallen; a further one is posted, then STEPS falls above it by another way.
    [fallen] = at.model.candidates(nodes)
    assert fallen.fallen
    own = at.truth.nodes_tree(at.model.position(nodes).a - 1)
    leaves = [own.node(0, i) for i in range(1 << own.height)]
    leaves[at.job.geometry.n_nodes] = at.model.position(nodes).last
    late = commitment(at.model.position(nodes), Tree(leaves, own.height), at.job.geometry)
    candidate = at.send(OTHER, late)
    with pytest.raises(RefusedError, match="still needed"):
        at.send(OTHER, m.Free(candidate=candidate))  # type: ignore[arg-type]
    [above] = at.model.candidates(steps)
    at.model.court.candidates[above.candidate].fallen = True
    with pytest.raises(RefusedError, match="court: fallen above"):
        at.model.apply(REQUESTER, replace(late, children=late.children))
    at.model.apply(OTHER, m.Free(candidate=candidate))  # type: ignore[arg-type]
    assert at.model.tokens_of(OTHER) == PURSE


def test_a_cheat_that_is_trainer_challenger_and_poster_recycles_no_burned_share() -> None:
    """M-8: one purse behind three parties, with the requester's too, is short of every burned share."""
    at = fresh()
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    own = challenger(at, at.truth, address=OTHER)
    posters = [defender(at, lie)]
    posters += [
        defender(at, disguised(at, i, 20 + i, end=lie), address=WATCHER, trainer=TRAINER) for i in range(3)
    ]
    at.play(
        [own, *posters],
        until=settled_by(at, update),
        while_=lambda: at.model.update(update).status == UpdateStatus.PENDING,
    )
    assert at.model.update(update).status == UpdateStatus.FALLEN
    money = at.job.money
    lost = sum(c.fallen and c.poster == WATCHER for c in at.model.court.candidates.values())
    assert lost >= 3
    burned = (money.update_bond + lost * money.defence_bond) * money.burn_bps // 10_000
    held = sum(at.model.tokens_of(who) for who in (TRAINER, OTHER, WATCHER, REQUESTER))
    escrow = money.reward * at.job.geometry.segments
    assert held == 4 * PURSE - burned - escrow


def test_a_guard_locks_no_bond_below_a_bogus_candidate() -> None:
    """A-4: an honest root that is copied to where the states above are bogus draws no bond of a guard."""
    at = fresh(WATCHER)
    at.post(at.truth, segments=1)
    strange, back = list(at.truth.trace.state_words(3)), list(at.truth.trace.state_words(2))

    def bent(now: int, before: list[np.ndarray], after: list[np.ndarray]) -> list[np.ndarray]:
        return {0: strange, 1: back}.get(now, list(after))

    # The third step starts and ends right in the bogus candidate, and its outputs are the honest ones there.
    poster = defender(at, at.openings(Hooks(next_state=bent)), address=REQUESTER, trainer=TRAINER)
    liar = at.openings(replace(one_word(2, 0, 1, value=0x41100000), next_state=bent))
    accuser = holding_back(challenger(at, liar, address=OTHER), m.Prove, [])

    def posting(model: Model) -> list[tuple[bytes, m.Move]]:
        moves = only(poster, m.Commit, m.Reveal, m.RevealPage)(model)
        folds = {
            p.position for u in model.board.updates for p in model.positions(update=u) if p.kind == Kind.FOLD
        }
        return [sent for sent in moves if getattr(sent[1], "position", None) not in folds]

    def accusing(model: Model) -> list[tuple[bytes, m.Move]]:
        try:
            return list(accuser(model))
        except MismatchError:  # an honest fold stands there
            return []

    players = [posting, accusing, guard(at)]
    [update] = at.model.board.updates
    at.play(players, until=settled_by(at, update))
    assert final(at)
    folds = [p for p in at.model.positions(update=update) if p.kind == Kind.FOLD]
    assert folds
    mine = [
        entry.move.position
        for entry in at.moves(m.Commit)
        if isinstance(entry.move, m.Commit) and entry.sender == WATCHER
    ]
    assert mine
    assert not {fold.position for fold in folds} & set(mine)


def test_a_position_that_a_cheat_leaves_empty_for_its_helper_credits_the_helper() -> None:
    """M-8, M-9: the earlier challenger then has its bond back, and its gas as a share (D-14)."""
    at = fresh(WATCHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    watch, helper = challenger(at, at.truth), challenger(at, at.openings(one_word(0, 2, 66)), address=OTHER)
    at.play([watch], until=at.model.now(), while_=lambda: not at.moves(m.Open))
    at.model.advance(1)
    steps = at.model.demands(at.model.disputes()[0].dispute)[0]
    trainer = defender(at, lie)

    def silent_below(model: Model) -> list[tuple[bytes, m.Move]]:
        moves = only(trainer, m.Commit, m.Reveal)(model)
        return [sent for sent in moves if getattr(sent[1], "position", steps) == steps]

    at.play([helper, silent_below], until=at.model.now())
    at.play(
        [helper, watch, silent_below],
        until=settled_by(at, update),
        while_=lambda: at.model.update(update).status == UpdateStatus.PENDING,
    )
    assert at.model.update(update).status == UpdateStatus.FALLEN
    at.play([watch], until=at.model.now())
    money = at.job.money
    refund = money.gas_price * money.scheduled_gas
    assert at.model.tokens_of(OTHER) >= PURSE + refund + money.bounty
    assert PURSE + refund <= at.model.tokens_of(WATCHER) < PURSE + refund + money.bounty


def test_a_dispute_of_an_update_that_becomes_void_is_given_its_bond_and_no_more() -> None:
    """M-9: a cheat lets an earlier update of its own fall, at the price of that bond."""
    at = fresh(WATCHER)
    lie = at.openings(one_word(STRIDE, 2, 65))
    first, second = at.post(lie, segments=1), at.post(lie, segments=1)
    watch, helper = challenger(at, at.truth), challenger(at, at.openings(WORD), address=OTHER)
    at.play([watch, helper], until=at.model.now(), while_=lambda: len(at.moves(m.Open)) < 2)
    at.play(
        [helper, watch],
        until=settled_by(at, second),
        while_=lambda: at.model.update(first).status == UpdateStatus.PENDING,
    )
    at.play([watch], until=at.model.now())
    assert at.model.update(second).status == UpdateStatus.VOID
    assert at.model.tokens_of(WATCHER) == PURSE
