"""Disputes over a real training step, each steered to one leaf: every node, the first, a middle and the last
element and range of it, every kind of padding, every slot. The leaf must decide, at that very place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from protocol.game import moves as m
from protocol.game.ids import Kind
from protocol.game.openings import Openings
from protocol.game.trace import Hooks
from protocol.game.view import DisputeStatus, UpdateStatus
from protocol.program.descriptor import CARRIED
from tests.support.game import PURSE, REQUESTER, TRAINER, WATCHER, Table, challenger, defender, settled_by
from tests.support.lockstep import Lockstep
from tests.support.training import LIE_AT, Misshapen, Training, kinds, training, wrong_slot, wrong_word

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
}
PLACES = ("first", "middle", "last")
Site = tuple[str, int, int, int]
"""Where a proof was: the leaf, the node (or slot), the word (or page), the range."""


@cache
def job(name: str) -> Training:
    """One training per optimizer; the first layer's bias is carried under SGD."""
    return training(OPTIMIZERS[name], frozen=name == "sgd")


def at_place(count: int, place: str) -> int:
    return {"first": 0, "middle": count // 2, "last": count - 1}[place]


def proven(at: Table) -> Site:
    """Where the one proof of a game was."""
    [entry] = at.moves(m.Prove)
    move, court = entry.move, at.model.court
    assert isinstance(move, m.Prove)
    assert entry.leaf is not None
    cursor = court.branch(move.dispute, move.candidate).cursor
    position = court.positions[court.candidates[move.candidate].position]
    if cursor.kind == Kind.PAGE:
        return entry.leaf, cursor.node, 64 * cursor.index + move.index, 0
    place = (cursor.index << cursor.height) + move.index
    if cursor.kind == Kind.FOLD:
        return entry.leaf, position.a, position.b, place
    return (entry.leaf, place, 0, 0) if cursor.kind == Kind.STATE else (entry.leaf, cursor.node, place, 0)


def convicted(made: Training, lie: Openings) -> Table:
    """A trainer with the lie against an honest watcher: the update falls, and the right people are paid."""
    at = made.table(WATCHER)
    update = at.post(lie, segments=1)
    at.play(
        [challenger(at, at.truth), defender(at, lie)],
        until=settled_by(at, update),
        while_=lambda: at.model.board.is_live(update),
    )
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert [d.status for d in at.model.disputes()] == [DisputeStatus.CLOSED]
    money, refund = at.job.money, at.model.board.gas_refund(at.job)
    burned = money.update_bond * money.burn_bps // 10_000
    prize = refund + money.bounty + money.tip
    assert at.model.tokens_of(WATCHER) == PURSE + prize
    assert at.model.tokens_of(TRAINER) == PURSE - money.update_bond
    funded = money.reward * at.job.geometry.segments
    assert at.model.tokens_of(REQUESTER) == PURSE - funded + money.update_bond - burned - prize
    return compared(at)


def acquitted(made: Training, lie: Openings) -> Table:
    """An honest trainer against a challenger with the lie: the challenger loses, the update becomes final."""
    at = made.table(TRAINER)
    update = at.post(at.truth, segments=1)
    at.play(
        [challenger(at, lie), defender(at, at.truth)],
        until=settled_by(at, update),
        while_=lambda: not any(d.status == DisputeStatus.LOST for d in at.model.disputes()),
    )
    assert [d.status for d in at.model.disputes()] == [DisputeStatus.LOST]
    assert at.model.update(update).status == UpdateStatus.PENDING
    money = at.job.money
    at.model.advance(at.model.update(update).deadline + at.job.clocks.opening + 1 - at.model.now())
    at.send(WATCHER, m.Claim(update=update))
    at.send(TRAINER, m.Release(job=at.job.job_id))
    won = at.model.board.gas_refund(at.job) + money.bounty
    assert at.model.tokens_of(TRAINER) == PURSE + money.reward + won
    assert at.model.tokens_of(WATCHER) == PURSE - money.challenge_bond
    return compared(at)


def compared(at: Table) -> Table:
    assert isinstance(at.model, Lockstep)
    at.model.compare()
    return at


def told(made: Training, lie: Hooks) -> Openings:
    """A liar's trees."""
    return made.openings(made.trace(lie))


# -------------------------------------------------------------------- words and ranges


def words_of(made: Training, place: str) -> list[tuple[Hooks, Site]]:
    """A wrong word in each node; in long folds with wrong partial sums from the first, a middle, the last
    range on.
    """
    found = []
    for node in range(made.geometry.n_nodes):
        word, ranges = at_place(made.node(node).extent, place), made.ranges(node)
        if ranges == 1:
            found.append((wrong_word(node, word), ("word", node, word, 0)))
            continue
        found += [
            (wrong_word(node, word, range_number=number), ("range", node, word, number))
            for number in {1 + at_place(ranges, p) for p in PLACES}
        ]
    return found


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_wrong_word_of_any_node_is_convicted_there(name: str, place: str) -> None:
    made = job(name)
    lies = words_of(made, place)
    assert len(lies) > 60
    for lie, site in lies:
        at = convicted(made, told(made, lie))
        assert proven(at) == site
        assert at.decided() == {site[0]: 1, "settle": 1}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_who_believes_a_wrong_word_loses_there(name: str, place: str) -> None:
    made = job(name)
    for lie, site in words_of(made, place):
        at = acquitted(made, told(made, lie))
        assert proven(at) == site
        assert at.decided() == {site[0]: 1}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_programs_have_every_kind_of_fold_and_leaf(name: str) -> None:
    found = " ".join(kinds(job(name)))
    for part in ("NONE-", "SUM-0", "SUM-long", "MAX-", "ROW", "INDEX", "STATE", "NODE", "INPUT", "gathered"):
        assert part in found
    assert ("STEP" in found) == (name == "adam")
    assert {1, 2, 3} <= {job(name).ranges(node) for node in kinds(job(name)).values()}


# -------------------------------------------------------------------- slots


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_slot_that_is_not_what_its_link_names_is_convicted_by_the_link(name: str) -> None:
    made = job(name)
    links = made.example.program.links
    assert (CARRIED in links) == (name == "sgd")
    for slot in range(len(links)):
        lie = told(made, wrong_slot(slot, word=made.example.state[slot].size - 1))
        assert proven(at := convicted(made, lie)) == ("link", slot, 0, 0)
        assert at.decided() == {"link": 1, "settle": 1}
        assert proven(at := acquitted(made, lie)) == ("link", slot, 0, 0)
        assert at.decided() == {"link": 1}


def test_a_slot_that_the_job_does_not_have_is_convicted() -> None:
    made = job("sgd")
    n_slots = made.geometry.n_slots
    room = (1 << made.geometry.state_height) - n_slots
    assert room > 0
    for beyond in (1, room):
        more = [np.zeros(0, np.uint32)] * (beyond - 1) + [np.ones(1, np.uint32)]
        lie = Misshapen(made.trace(), made.geometry, more_slots=more, wrong_slot=None)
        assert proven(convicted(made, made.openings(lie))) == ("zero slot", n_slots + beyond - 1, 0, 0)
        assert proven(acquitted(made, made.openings(lie))) == ("zero slot", n_slots + beyond - 1, 0, 0)


# -------------------------------------------------------------------- padding


def paddings(made: Training) -> list[tuple[int, int]]:
    """Nodes and words past their extent: on their last page, on the next, and on the last of the tensor."""
    found = []
    last = (64 << made.geometry.tensor_height) - 1
    for extent in (1, 2, 400, 3840):
        node = next(n for n, node in enumerate(made.example.program.nodes) if node.extent == extent)
        full = -(-extent // 64) * 64
        found += [(node, word) for word in {extent, full - 1, full, full + 64, last} if word >= extent]
    return found


def test_padding_that_is_not_zero_is_convicted_as_word_or_page() -> None:
    made = job("adam")
    leaves = set()
    for node, word in paddings(made):

        def padded(words: np.ndarray, word: int = word) -> np.ndarray:
            return np.append(words, np.array([0] * (word - words.size) + [7], np.uint32))

        lie = made.openings(Misshapen(made.trace(), made.geometry, node=node, change=padded))
        # A page of zeros before it is wrong already: what does not exist has no page.
        pages = -(-made.node(node).extent // 64)
        site = ("zero word", node, word, 0) if word // 64 < pages else ("zero page", node, pages, 0)
        assert proven(at := convicted(made, lie)) == site
        assert at.decided() == {site[0]: 1, "settle": 1}
        assert proven(at := acquitted(made, lie)) == site
        assert at.decided() == {site[0]: 1}
        leaves.add(site[0])
    assert leaves == {"zero word", "zero page"}


def test_an_absent_page_within_the_extent_is_convicted_without_a_reveal() -> None:
    made = job("adam")
    node = next(
        n for n in range(made.geometry.n_nodes) if made.node(n).extent == 3840 and made.ranges(n) == 1
    )
    words = made.truth.trace.node_words(LIE_AT, node)
    for page in (0, 31, 59):

        def cut(words: np.ndarray, page: int = page) -> np.ndarray:
            return words[: 64 * page]

        lie = made.openings(Misshapen(made.trace(), made.geometry, node=node, change=cut))
        at = convicted(made, lie)
        assert proven(at) == ("absent page", node, page, 0)
        assert not at.moves(m.RevealPage)
        first = 64 * page + int(np.flatnonzero(words[64 * page :])[0])
        assert proven(acquitted(made, lie)) == ("word", node, first, 0)


# -------------------------------------------------------------------- figures


def test_a_typical_dispute_in_figures() -> None:
    """Over one range of one element of the largest matrix product."""
    made = job("adam")
    node = max((n for n in kinds(made).values() if made.ranges(n) > 1), key=lambda n: made.node(n).extent)
    at = convicted(made, told(made, wrong_word(node, 100, range_number=2)))
    assert isinstance(at.model, Lockstep)
    begin = [kind for kind, _ in at.model.gas].index("Reserve")
    dispute = at.model.gas[begin:]
    print(f"\ndispute over {made.example.program.labels[node]}, {len(dispute)} transactions:")
    for kind, gas in dispute:
        print(f"  {kind:12} {gas:>9,}")
    print(f"  {'in all':12} {sum(gas for _, gas in dispute):>9,}")
    # One level each of steps, nodes, pages and ranges, and the words of a page: L = 5 (D-17).
    assert len(dispute) == 1 + (2 * 5 + 1) + 1
    assert max(gas for _, gas in dispute) < 8_000_000
