"""Availability on contracts and pure model side by side (availability.md, Y-1 to Y-10)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from protocol.commitments.tensor import page_count
from protocol.errors import MismatchError, RefusedError
from protocol.game import demand_moves as d
from protocol.game import moves as m
from protocol.game.demands import MAX_OPEN, DemandInfo, PageOpener, ended, fee_of
from protocol.game.ids import demand_id
from protocol.game.model_board import ANSWER_GAS
from protocol.game.model_ledger import BPS, BURN
from protocol.game.view import UpdateStatus
from protocol.job import ANYBODY, NOBODY, Audit
from tests.support.board import BoardWorld, refuses
from tests.support.demands import ANSWER_TIME, FEE, WIDE, ask, audited, opener
from tests.support.game import (
    NEW_MODEL,
    OTHER,
    REQUESTER,
    TRAINER,
    WATCHER,
    Table,
    challenger,
    defender,
    one_word,
    segment_end,
    table,
)
from tests.support.gas_evm import GasEvm
from tests.support.lockstep import Lockstep
from tests.support.onchain import GOVERNOR, SCHEDULED_GAS, START


@pytest.fixture(autouse=True)
def _contracts_follow() -> Iterator[None]:
    token = NEW_MODEL.set(Lockstep)
    yield
    NEW_MODEL.reset(token)


def shown(at: Table, demand: bytes) -> d.Answer:
    known: DemandInfo = at.model.availability.demands[demand]
    return opener(at, known.update).answer(known)


def refused(at: Table, sender: bytes, move: m.Move) -> str:
    with pytest.raises(RefusedError) as caught:
        at.model.apply(sender, move)
    at.model.check_conservation()
    return caught.value.reason


def kept(at: Table, amount: int) -> int:
    """What is left of it after the burned share."""
    return amount - amount * at.job.money.burn_bps // BPS


def credited(at: Table, party: bytes) -> int:
    return at.model.board.credits.get(party, 0)


# -------------------------------------------------------------------- the way of a demand


@pytest.mark.parametrize(("slot", "page"), [(0, 0), (0, 3), (WIDE, 2), (WIDE, 3), (5, 0)])
def test_whoever_holds_the_page_shows_it_and_gets_what_is_left_of_the_fee(slot: int, page: int) -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    demand = ask(at, update, slot=slot, page=page)
    assert demand == demand_id(update=update, slot=slot, page=page, asker=WATCHER, number=0)
    move = shown(at, demand)
    assert (len(move.page) == 0) == (page >= page_count(len(at.truth.trace.state_words(0)[slot])))
    at.model.advance(ANSWER_TIME)  # at its due time an answer is in time
    at.model.apply(OTHER, move)
    at.model.check_conservation()
    assert credited(at, OTHER) == kept(at, FEE)
    assert credited(at, BURN) == FEE - kept(at, FEE)
    assert at.model.board.updates[update].open_demands == 0
    assert refused(at, OTHER, move) == "availability: no such demand"


def test_an_update_whose_page_nobody_shows_falls_after_the_due_time_and_not_at_it() -> None:
    at = audited()
    first = at.post(at.truth, segments=1)
    update, built = at.post(at.truth, segments=1), None
    demand, second = ask(at, update), ask(at, update, page=1, sender=OTHER)
    at.model.advance(ANSWER_TIME)
    assert refused(at, OTHER, d.Expire(demand=demand)) == "availability: not late"
    assert refused(at, WATCHER, d.CloseDemand(demand=demand)) == "availability: update is live"
    at.model.advance(1)
    assert refused(at, TRAINER, shown(at, demand)) == "availability: too late to answer"
    before = {party: at.model.tokens_of(party) for party in (WATCHER, OTHER, REQUESTER)}
    at.model.apply(OTHER, d.Expire(demand=demand))
    at.model.check_conservation()
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert at.model.update(first).status == UpdateStatus.PENDING
    money = at.job.money
    prize = money.gas_price * money.scheduled_gas + money.bounty
    gained = {party: at.model.tokens_of(party) - was for party, was in before.items()}
    assert gained == {
        WATCHER: FEE + prize,
        OTHER: money.tip,
        REQUESTER: kept(at, money.update_bond) - prize - money.tip,
    }
    # the other demand is no dispute: its fee comes back, and no more
    assert refused(at, OTHER, shown(at, second)) == "availability: update is not live"
    assert refused(at, OTHER, d.Expire(demand=second)) == "availability: update is not live"
    at.model.apply(REQUESTER, d.CloseDemand(demand=second))
    at.model.check_conservation()
    assert at.model.tokens_of(OTHER) - before[OTHER] == money.tip + FEE
    assert built is None
    assert refused(at, OTHER, d.CloseDemand(demand=second)) == "availability: no such demand"


def test_an_update_that_falls_by_a_demand_voids_what_is_built_on_it() -> None:
    at = audited()
    update, built = at.post(at.truth, segments=1), at.post(at.truth, segments=1)
    demand, above = ask(at, update), ask(at, built)
    at.model.advance(ANSWER_TIME + 1)
    at.model.apply(WATCHER, d.Expire(demand=demand))
    assert at.model.update(built).status == UpdateStatus.VOID
    at.model.apply(WATCHER, d.CloseDemand(demand=above))
    at.model.apply(TRAINER, m.Reclaim(update=built))
    at.model.check_conservation()
    # the segments are trained anew
    assert at.model.update(at.post(at.truth, segments=1)).status == UpdateStatus.PENDING


# -------------------------------------------------------------------- who, when, what


def test_who_may_ask_is_what_the_job_says() -> None:
    for auditor, allowed in ((NOBODY, ()), (OTHER, (OTHER,)), (ANYBODY, (OTHER, TRAINER))):
        at = audited(auditor)
        update = at.post(at.truth, segments=1)
        for party in (OTHER, TRAINER, WATCHER):
            if party in allowed:
                ask(at, update, sender=party)
            elif auditor != ANYBODY:
                move = d.Demand(update=update, slot=0, page=0)
                assert refused(at, party, move) == "availability: may not ask"


def test_nothing_is_asked_after_the_deadline_or_the_last_time_that_the_job_gives() -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    at.model.advance(at.model.update(update).deadline - at.model.now())
    ask(at, update)
    at.model.advance(1)
    move = d.Demand(update=update, slot=0, page=0)
    assert refused(at, WATCHER, move) == "availability: too late to ask"
    at = audited(until=50)
    update = at.post(at.truth, segments=1)
    at.model.advance(at.job.audit.demand_until - at.model.now())
    ask(at, update)
    at.model.advance(1)
    assert refused(at, WATCHER, move) == "availability: update is not live"  # of the other game
    assert refused(at, WATCHER, replace(move, update=update)) == "availability: too late to ask"


def test_only_slots_and_pages_that_the_tree_has_are_asked_for() -> None:
    at = audited()
    update, geometry = at.post(at.truth, segments=1), at.job.geometry
    for slot, page, reason in (
        (geometry.n_slots, 0, "availability: no such slot"),
        (1 << 255, 0, "availability: no such slot"),
        (0, 1 << geometry.tensor_height, "availability: no such page"),
        (0, 1 << 255, "availability: no such page"),
    ):
        assert refused(at, WATCHER, d.Demand(update=update, slot=slot, page=page)) == reason
    ask(at, update, slot=geometry.n_slots - 1, page=(1 << geometry.tensor_height) - 1)


def test_who_cannot_pay_asks_nothing() -> None:
    at = audited(fee=1 << 100)
    update = at.post(at.truth, segments=1)
    move = d.Demand(update=update, slot=0, page=0)
    assert refused(at, WATCHER, move) == "board: token transfer failed"
    assert at.model.board.updates[update].open_demands == 0


def test_answers_that_prove_something_else_are_refused() -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    demand, neighbour = ask(at, update, page=0), ask(at, update, page=1)
    elsewhere = ask(at, update, slot=0)
    move = shown(at, demand)
    for wrong, reason in (
        (replace(move, page=bytes(256)), "availability: not in the state"),
        (replace(move, page=b""), "availability: not in the state"),
        (replace(move, page=move.page[:-1]), "availability: a page has 256 bytes"),
        (replace(shown(at, neighbour), demand=demand), "availability: not in the state"),
        (replace(shown(at, elsewhere), demand=demand), "availability: not in the state"),
        (replace(move, page_path=move.page_path[:-1]), "availability: length of a path"),
        (replace(move, page_path=(*move.page_path, bytes(32))), "availability: length of a path"),
        (replace(move, slot_path=move.slot_path[1:]), "availability: length of a path"),
        (replace(move, slot_path=move.slot_path[::-1]), "availability: not in the state"),
        (replace(move, demand=bytes(32)), "availability: no such demand"),
    ):
        assert refused(at, TRAINER, wrong) == reason, reason
    at.model.apply(TRAINER, move)


# -------------------------------------------------------------------- disputes beside demands


def test_demands_and_disputes_hold_finality_back_each_for_itself() -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    at.model.advance(at.model.update(update).deadline - at.model.now())
    demand = ask(at, update)
    at.model.advance(at.job.clocks.opening + 1)
    # late by now: not final, and who has asked decides
    assert at.model.update(update).status == UpdateStatus.PENDING
    assert refused(at, TRAINER, m.Claim(update=update)) == "board: not final"
    at.model.apply(OTHER, d.Expire(demand=demand))
    assert at.model.update(update).status == UpdateStatus.FALLEN


def test_an_answered_demand_holds_nothing_back() -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    demand = ask(at, update)
    at.model.apply(TRAINER, shown(at, demand))
    at.model.advance(at.model.update(update).deadline + at.job.clocks.opening + 1 - at.model.now())
    at.model.apply(TRAINER, m.Claim(update=update))
    at.model.check_conservation()
    assert at.model.update(update).status == UpdateStatus.FINAL


def opened(at: Table, update: bytes) -> bytes:
    """A dispute that the watcher has opened."""
    player = challenger(at, at.openings(one_word(3, 2, 65)))
    at.play([player], until=at.model.now())
    (dispute,) = at.model.disputes(update=update)
    return dispute.dispute


def test_a_page_that_is_not_shown_waits_for_open_disputes() -> None:
    """Y-5: a cheat cannot take a challenger's prize by a demand of its own that it leaves unanswered."""
    at = audited()
    lie = at.openings(one_word(3, 2, 65))
    update = at.post(lie, segments=1)
    purse = at.model.tokens_of(WATCHER)
    watch = challenger(at, at.truth)
    at.play([watch], until=at.model.now())
    demand = ask(at, update, sender=OTHER)
    at.model.advance(ANSWER_TIME + 1)
    assert refused(at, OTHER, d.Expire(demand=demand)) == "availability: disputes are open"
    at.play(
        [watch, defender(at, lie)],
        until=at.model.now() + 10**5,
        while_=lambda: at.model.update(update).status == UpdateStatus.PENDING,
    )
    money, before = at.job.money, at.model.tokens_of(OTHER)
    assert at.model.tokens_of(WATCHER) - purse >= money.gas_price * money.scheduled_gas + money.bounty
    at.model.apply(OTHER, d.CloseDemand(demand=demand))
    assert at.model.tokens_of(OTHER) - before == FEE
    at.model.check_conservation()


def test_once_its_disputes_are_lost_an_update_falls_by_the_page_that_nobody_showed() -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    dispute = opened(at, update)
    demand = ask(at, update, sender=OTHER)
    at.play([defender(at, at.truth)], until=at.model.now())
    [position] = at.model.demands(dispute)
    [posted] = at.model.candidates(position)
    branch = at.model.branch(dispute, posted.candidate)
    at.model.advance(branch.limit + 1 - at.model.now())
    assert refused(at, OTHER, d.Expire(demand=demand)) == "availability: disputes are open"
    at.model.apply(OTHER, m.Timeout(dispute=dispute, candidate=posted.candidate))
    at.model.apply(OTHER, d.Expire(demand=demand))
    at.model.check_conservation()
    assert at.model.update(update).status == UpdateStatus.FALLEN


def test_an_update_that_falls_by_a_dispute_pays_its_demands_their_fees_and_no_share() -> None:
    at = audited(answer_time=10**5)
    lie = at.openings(one_word(3, 2, 65))
    update = at.post(lie, segments=1)
    demand = ask(at, update, sender=OTHER)
    at.play(
        [challenger(at, at.truth), defender(at, lie)],
        until=at.model.now() + 10**5,
        while_=lambda: at.model.update(update).status == UpdateStatus.PENDING,
    )
    before = at.model.tokens_of(OTHER)
    at.model.apply(OTHER, d.CloseDemand(demand=demand))
    at.model.check_conservation()
    assert at.model.tokens_of(OTHER) - before == FEE


# -------------------------------------------------------------------- floods


def test_a_flood_costs_4080_fees_and_can_be_answered_in_time() -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    purse = at.model.tokens_of(OTHER)
    demands = []
    for n in range(MAX_OPEN):
        before = at.model.tokens_of(OTHER)
        demands.append(ask(at, update, page=n % 4, sender=OTHER))
        assert before - at.model.tokens_of(OTHER) == fee_of(FEE, n) == FEE << n // 16
    assert purse - at.model.tokens_of(OTHER) == 4080 * FEE
    move = d.Demand(update=update, slot=0, page=0)
    assert refused(at, WATCHER, move) == "availability: no place left"
    pages = opener(at, update)
    order = list(demands)
    random.Random(7).shuffle(order)
    trainer = at.model.tokens_of(TRAINER)
    at.model.advance(ANSWER_TIME)
    for demand in order:
        at.model.apply(TRAINER, pages.answer(at.model.availability.demands[demand]))
    at.model.check_conservation()
    assert at.model.tokens_of(TRAINER) - trainer == sum(kept(at, fee_of(FEE, n)) for n in range(MAX_OPEN))
    assert not at.model.availability.demands
    ask(at, update)


def test_who_answers_its_own_demands_pays_the_burned_share_for_each() -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    before = at.model.tokens_of(TRAINER)
    for _ in range(3):
        demand = ask(at, update, sender=TRAINER)
        at.model.apply(TRAINER, shown(at, demand))
    assert before - at.model.tokens_of(TRAINER) == 3 * (FEE - kept(at, FEE))


def test_equal_demands_are_different_ones() -> None:
    at = audited()
    update = at.post(at.truth, segments=1)
    demands = {ask(at, update) for _ in range(5)}
    assert len(demands) == 5
    for demand in demands:
        at.model.apply(TRAINER, shown(at, demand))


@pytest.mark.parametrize("seed", range(3))
def test_random_demands_answers_and_ends_agree(seed: int) -> None:
    """Demands, answers, ends, disputes and time in any order, right or not: model and contracts agree."""
    rng = random.Random(seed)
    at = audited()
    updates = [at.post(at.truth, segments=1), at.post(at.truth, segments=1)]
    pages = {update: opener(at, update) for update in updates}
    opened(at, updates[0])
    known: list[bytes] = []
    for _ in range(150):
        party = rng.choice((REQUESTER, TRAINER, WATCHER, OTHER))
        kind = rng.choice(("ask", "ask", "ask", "answer", "answer", "expire", "close", "time", "claim"))
        update = rng.choice(updates)
        move: m.Move
        if kind == "time":
            at.model.advance(rng.choice((0, 1, 7, 30)))
            continue
        if kind == "ask" or not known:
            move = d.Demand(update=update, slot=rng.randrange(7), page=rng.randrange(5))
        elif kind == "answer":
            demand = rng.choice(known)
            info = at.model.availability.demands.get(demand)
            if info is None:
                move = d.Answer(demand=demand, page=b"", page_path=(), slot_path=())
            else:
                move = pages[info.update].answer(info)
                if rng.random() < 0.2:
                    move = replace(move, page=move.page[::-1] or bytes(256))
        elif kind == "claim":
            move = m.Claim(update=update)
        else:
            demand = rng.choice(known)
            move = d.Expire(demand=demand) if kind == "expire" else d.CloseDemand(demand=demand)
        try:
            result = at.model.apply(party, move)
            if isinstance(move, d.Demand):
                known.append(result)
        except RefusedError:
            pass
        at.model.check_conservation()
    model = at.model
    assert isinstance(model, Lockstep)
    assert model.accepted["Demand"] > 10
    assert model.accepted["Answer"] > 5


def test_ends_are_late_demands_or_all_of_an_update_that_is_gone() -> None:
    def info(n: int, due: int) -> DemandInfo:
        return DemandInfo(
            demand=bytes([n]) * 32, update=bytes(32), asker=OTHER, slot=0, page=0, due=due, fee=1
        )

    demands = [info(1, 20), info(2, 10), info(3, 30)]
    assert ended(demands, live=True, now=10) == []
    assert ended(demands, live=True, now=25) == [d.Expire(demand=bytes([2]) * 32)]
    assert ended(demands, live=True, now=25, disputed=True) == []
    assert len(ended(demands, live=False, now=0, disputed=True)) == 3


def test_a_state_that_the_update_does_not_end_with_opens_nothing() -> None:
    at = audited()
    with pytest.raises(MismatchError, match="hashes to"):
        PageOpener(at.truth.trace.state_words(0), at.job.geometry, segment_end(at.truth, 0))


# -------------------------------------------------------------------- the board's side


def test_only_availability_moves_fees_and_fells_by_demand() -> None:
    world = BoardWorld()
    for name, args in (
        ("demand_opened", (bytes(32), world.alice, 1)),
        ("demand_closed", (bytes(32), world.alice, 1, True)),
        ("fell_unanswered", (bytes(32), world.alice, world.alice)),
    ):
        for sender in (world.alice, world.court):
            with refuses("board: not availability"):
                world.board.call(name, *args, sender=sender)


@pytest.mark.parametrize("byte", [16, 40])
def test_an_answer_of_the_tallest_trees_costs_less_than_its_fee_pays_for(byte: int) -> None:
    """At 16 gas a byte of calldata that is not zero, and at 40 (the floor price of EIP-7623)."""
    evm = GasEvm(timestamp=START)
    token = evm.deploy("OddToken")
    board = evm.deploy("JobBoard", token.address, SCHEDULED_GAS)
    availability = evm.deploy("Availability", board.address)
    board.call("bind", evm.account(8), availability.address, GOVERNOR)
    world_job = table().job
    who = evm.account(1)
    rng = np.random.default_rng(1)
    page, path = rng.bytes(256), [rng.bytes(32) for _ in range(26 + 32)]
    n_slots, slot = (1 << 32) - 1, (1 << 31) + 12345
    node, index = sha256(page).digest(), (slot << 26) + 98765
    for level, sibling in enumerate(path):
        pair = sibling + node if index >> level & 1 else node + sibling
        node = sha256(pair).digest()
    geometry = replace(world_job.geometry, tensor_height=26, n_slots=n_slots)
    job = replace(
        world_job,
        chain_id=1,
        board=bytes.fromhex(board.address[2:]),
        requester=bytes.fromhex(who[2:]),
        geometry=geometry,
        expiry=START + 10**6,
        audit=Audit(auditor=ANYBODY, demand_until=START + 10**6, answer_time=60, demand_fee=FEE),
    )
    token.call("mint", who, 10**12)
    token.call("approve", board.address, 1 << 200, sender=who)
    board.call("open_job", job.terms(), sender=who)
    board.call("lease", job.job_id, sender=who)
    update = board.call("post", job.job_id, job.job_id, [node], sender=who)
    demands = [availability.call("demand", update, slot, 98765, sender=who) for _ in range(2)]
    # the first of two: the other one moves to its place
    call = ("answer", demands[0], page, path[:26], path[26:])
    data = availability.encode(*call)
    availability.call(*call, sender=evm.account(2))
    used = availability.gas + (byte - 16) * sum(map(bool, data))
    assert ANSWER_GAS * 0.4 < used < ANSWER_GAS
