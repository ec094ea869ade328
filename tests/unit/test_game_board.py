"""Jobs, leases, the chain of updates and its ends, and every token in them (U-1 to U-11, M-1 to M-7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256

import pytest

from protocol.commitments.tree import Tree
from protocol.errors import MismatchError, RefusedError
from protocol.game import moves as m
from protocol.game import rules
from protocol.game.ids import candidate_id, dispute_id, position_id, update_id
from protocol.game.model import Model
from protocol.game.model_ledger import BURN
from protocol.game.view import UpdateStatus
from protocol.job import Clocks, Geometry, Job, Money
from tests.support.game import OTHER, PURSE, REQUESTER, TRAINER, Table, segment_end, table

LEASE, NOTICE, OPENING = 900, 300, 120


@cache
def first_table() -> Table:
    return table()


def fresh() -> Table:
    return table(truth=first_table().truth)


def refusal(at: Table, sender: bytes, move: m.Move) -> str:
    with pytest.raises(RefusedError) as caught:
        at.send(sender, move)
    return caught.value.reason


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


# -------------------------------------------------------------------- ids


def test_ids_are_the_hashes_that_the_rules_spell_out() -> None:
    a, b, c, d = (bytes([i]) * 32 for i in range(1, 5))
    who = bytes([9]) * 20
    padded = bytes(12) + who
    assert (
        update_id(
            job=a, parent=b, first_segment=3, segments=2, history_root=c, last_state=d, trainer=who, falls=1
        )
        == sha256(a + b + word(3) + word(2) + c + d + padded + word(1)).digest()
    )
    assert (
        dispute_id(update=a, segment=7, challenger=who, salt=b) == sha256(a + word(7) + padded + b).digest()
    )
    assert position_id(a, 6, 5, 4) == sha256(a + word(6) + word(5) + word(4)).digest()
    assert candidate_id(a, b) == sha256(a + b).digest()


def test_an_update_is_named_by_its_history() -> None:
    at = fresh()
    update = at.post(at.truth, segments=2)
    states = [segment_end(at.truth, i) for i in range(2)]
    history = Tree([at.job.genesis, *states], 3).root
    assert update == update_id(
        job=at.job.job_id,
        parent=at.job.job_id,
        first_segment=0,
        segments=2,
        history_root=history,
        last_state=states[-1],
        trainer=TRAINER,
        falls=0,
    )


# -------------------------------------------------------------------- terms

GEOMETRY = [
    ("board: geometry is zero", {"n_nodes": 0}),
    ("board: geometry is zero", {"batch": 0}),
    ("board: geometry is zero", {"max_segments": 0}),
    ("board: steps or stride", {"stride": 8}),
    ("board: max_segments", {"max_segments": 64}),
    ("board: tensor height", {"tensor_height": 27}),
    ("board: fan-out or range", {"fanout_log2": 0}),
    ("board: fan-out or range", {"fanout_log2": 11}),
    ("board: fan-out or range", {"range_log2": 7}),
]
CLOCKS = [("board: a clock is zero", {name: 0}) for name in ("window", "response", "opening", "lease")]
MONEY = [
    ("board: burned share", {"burn_bps": 999}),
    ("board: burned share", {"burn_bps": 9001}),
    ("board: update bond too small", {"update_bond": 40_124_999}),
    ("board: challenge bond too small", {"challenge_bond": 40_124_999}),
    ("board: defence bond too small", {"defence_bond": 27_624_999}),
    ("board: lease deposit too small", {"lease_deposit": 124_999}),
    ("board: no reward", {"reward": 0}),
    ("board: scheduled gas", {"scheduled_gas": 9_999_999}),
    ("board: scheduled gas", {"scheduled_gas": 1 << 32}),
    ("board: amount too large", {"reward": 1 << 128}),
]


def changed(job: Job, part: str, changes: dict[str, int]) -> Job:
    inner: Geometry | Clocks | Money = getattr(job, part)
    return replace(job, salt=bytes([1]) * 32, **{part: replace(inner, **changes)})


@pytest.mark.parametrize(
    ("part", "reason", "changes"),
    [
        *(("geometry", *case) for case in GEOMETRY),
        *(("clocks", *case) for case in CLOCKS),
        *(("money", *case) for case in MONEY),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_terms_outside_the_bounds_are_refused(part: str, reason: str, changes: dict[str, int]) -> None:
    at = fresh()
    assert refusal(at, REQUESTER, m.OpenJob(terms=changed(at.job, part, changes))) == reason
    # At the bound itself, where there is one on the other side, they are not.
    if part == "money" and changes.keys() & {
        "update_bond",
        "challenge_bond",
        "defence_bond",
        "lease_deposit",
    }:
        at.send(REQUESTER, m.OpenJob(terms=changed(at.job, part, {k: v + 1 for k, v in changes.items()})))


def test_terms_of_another_board_requester_or_time_are_refused() -> None:
    at = fresh()
    assert refusal(at, REQUESTER, m.OpenJob(terms=at.job)) == "board: job exists"
    assert refusal(at, OTHER, m.OpenJob(terms=at.job)) == "board: not the requester"
    other = replace(at.job, board=OTHER)
    assert refusal(at, REQUESTER, m.OpenJob(terms=other)) == "board: terms are for another board"
    other = replace(at.job, chain_id=2)
    assert refusal(at, REQUESTER, m.OpenJob(terms=other)) == "board: terms are for another board"
    other = replace(at.job, expiry=at.model.now())
    assert refusal(at, REQUESTER, m.OpenJob(terms=other)) == "board: expired"
    dear = changed(at.job, "money", {"reward": PURSE})
    assert refusal(at, REQUESTER, m.OpenJob(terms=dear)) == "board: token transfer failed"


# -------------------------------------------------------------------- leases


def test_one_leaseholder_at_a_time_and_a_late_one_loses_the_deposit() -> None:
    at = fresh()
    job, money = at.job.job_id, at.job.money
    at.send(TRAINER, m.Lease(job=job))
    assert refusal(at, OTHER, m.Lease(job=job)) == "board: leased"
    at.model.advance(LEASE)
    assert refusal(at, OTHER, m.Evict(job=job)) == "board: lease is not late"
    assert refusal(at, OTHER, m.Lease(job=job)) == "board: leased"
    at.model.advance(1)
    assert refusal(at, TRAINER, m.Release(job=job)) == "board: lease is late"
    late = m.Post(job=job, parent=job, states=(segment_end(at.truth, 0),))
    assert refusal(at, TRAINER, late) == "board: lease is late"
    at.send(OTHER, m.Lease(job=job))
    burned = money.lease_deposit * money.burn_bps // 10_000
    assert at.model.tokens_of(TRAINER) == PURSE - money.lease_deposit
    assert at.model.tokens_of(OTHER) == PURSE - money.lease_deposit + money.tip
    assert at.model.tokens_of(BURN) == burned
    post = m.Post(job=job, parent=job, states=(segment_end(at.truth, 0),))
    at.send(OTHER, post)
    at.send(OTHER, m.Release(job=job))
    assert at.model.tokens_of(OTHER) == PURSE + money.tip - money.update_bond
    assert refusal(at, OTHER, m.Release(job=job)) == "board: not the leaseholder"
    assert refusal(at, OTHER, m.Evict(job=job)) == "board: not leased"


def test_an_unused_lease_given_back_loses_its_deposit() -> None:
    """U-3, M-6: at once, and also when something was posted under an earlier lease."""
    at = fresh()
    job, deposit = at.job.job_id, at.job.money.lease_deposit
    burned = deposit * at.job.money.burn_bps // 10_000
    before = at.model.tokens_of(REQUESTER)
    at.send(TRAINER, m.Lease(job=job))
    at.send(TRAINER, m.Release(job=job))
    assert at.model.tokens_of(TRAINER) == PURSE - deposit
    assert at.model.tokens_of(BURN) == burned
    assert at.model.tokens_of(REQUESTER) == before + deposit - burned
    at.post(at.truth, segments=1, sender=OTHER)
    at.send(OTHER, m.Release(job=job))
    held = at.job.money.update_bond
    assert at.model.tokens_of(OTHER) == PURSE - held
    at.send(OTHER, m.Lease(job=job))
    at.send(OTHER, m.Release(job=job))
    assert at.model.tokens_of(OTHER) == PURSE - held - deposit
    assert at.model.tokens_of(BURN) == 2 * burned
    assert at.model.tokens_of(REQUESTER) == before + 2 * (deposit - burned)


def test_an_unused_lease_of_a_job_that_has_ended_comes_back() -> None:
    """U-3: nobody could post any more, so a requester gains nothing by ending the job."""
    at = fresh()
    job = at.job.job_id
    at.send(TRAINER, m.Lease(job=job))
    at.send(REQUESTER, m.Cancel(job=job))
    at.model.advance(at.job.clocks.notice + 1)
    at.send(TRAINER, m.Release(job=job))
    assert at.model.tokens_of(TRAINER) == PURSE
    assert at.model.tokens_of(BURN) == 0


def test_a_post_renews_the_lease_and_the_last_one_ends_it() -> None:
    at = fresh()
    at.post(at.truth, segments=1)
    at.model.advance(LEASE)
    at.post(at.truth, segments=1)
    assert at.model.board.jobs[at.job.job_id].leaseholder is None
    assert at.model.tokens_of(TRAINER) == PURSE - 2 * at.job.money.update_bond
    assert refusal(at, TRAINER, m.Lease(job=at.job.job_id)) == "board: nothing left to post"


# -------------------------------------------------------------------- updates


def test_posts_are_the_leaseholders_in_number_and_in_time() -> None:
    at = fresh()
    job, state = at.job.job_id, bytes(32)
    assert (
        refusal(at, TRAINER, m.Post(job=bytes(32), parent=bytes(32), states=(state,))) == "board: unknown job"
    )
    assert refusal(at, TRAINER, m.Post(job=job, parent=job, states=(state,))) == "board: not the leaseholder"
    at.send(TRAINER, m.Lease(job=job))
    assert refusal(at, OTHER, m.Post(job=job, parent=job, states=(state,))) == "board: not the leaseholder"
    assert refusal(at, TRAINER, m.Post(job=job, parent=job, states=())) == "board: number of segments"
    assert (
        refusal(at, TRAINER, m.Post(job=job, parent=job, states=(state,) * 8)) == "board: number of segments"
    )
    assert (
        refusal(at, TRAINER, m.Post(job=job, parent=job, states=(state,) * 3))
        == "board: beyond the last segment"
    )


def test_deadlines_grow_along_the_chain_so_that_nobody_posts_faster_than_a_watcher_replays() -> None:
    at = fresh()
    start = at.model.now()
    first = at.model.update(at.post(at.truth, segments=1))
    second = at.model.update(at.post(at.truth, segments=1))
    assert first.deadline == start + 600 + 10
    assert second.deadline == first.deadline + 10


def test_an_update_is_final_v_after_its_deadline_and_paid_once() -> None:
    at = fresh()
    update = at.post(at.truth, segments=1)
    deadline = at.model.update(update).deadline
    at.model.advance(deadline + OPENING - at.model.now())
    assert at.model.update(update).status == UpdateStatus.PENDING
    assert refusal(at, OTHER, m.Claim(update=update)) == "board: not final"
    at.model.advance(1)
    assert at.model.update(update).status == UpdateStatus.FINAL
    at.send(OTHER, m.Claim(update=update))
    assert refusal(at, OTHER, m.Claim(update=update)) == "board: claimed"
    assert refusal(at, OTHER, m.Claim(update=bytes(32))) == "board: unknown update"
    assert refusal(at, OTHER, m.Reclaim(update=update)) == "board: update is live"
    held = at.job.money.lease_deposit
    assert at.model.tokens_of(TRAINER) == PURSE + at.job.money.reward - held


def test_finality_waits_for_the_parent() -> None:
    at = fresh()
    first = at.post(at.truth, segments=1)
    second = at.post(at.truth, segments=1)
    at.model.board.updates[first].open_disputes = 1
    at.model.advance(10_000)
    assert [at.model.update(u).status for u in (first, second)] == [UpdateStatus.PENDING] * 2
    at.model.board.updates[first].open_disputes = 0
    assert [at.model.update(u).status for u in (first, second)] == [UpdateStatus.FINAL] * 2


# -------------------------------------------------------------------- ends


def test_after_notice_nothing_is_posted_and_the_rest_is_refunded_once() -> None:
    at = fresh()
    job, money = at.job.job_id, at.job.money
    update = at.post(at.truth, segments=1)
    assert refusal(at, OTHER, m.Cancel(job=job)) == "board: not the requester"
    at.send(REQUESTER, m.Cancel(job=job))
    at.model.advance(NOTICE)
    at.send(REQUESTER, m.Cancel(job=job))
    assert refusal(at, OTHER, m.Refund(job=job)) == "board: job has not ended"
    at.model.advance(1)
    states = (segment_end(at.truth, 1),)
    assert refusal(at, TRAINER, m.Post(job=job, parent=job, states=states)) == "board: job has ended"
    assert refusal(at, OTHER, m.Refund(job=job)) == "board: updates are pending"
    at.model.advance(at.model.update(update).deadline + OPENING + 1 - at.model.now())
    at.send(OTHER, m.Refund(job=job))
    assert refusal(at, OTHER, m.Refund(job=job)) == "board: refunded"
    at.send(OTHER, m.Claim(update=update))
    assert at.model.tokens_of(REQUESTER) == PURSE - money.reward
    at.send(TRAINER, m.Release(job=job))
    assert refusal(at, TRAINER, m.Lease(job=job)) == "board: job has ended"
    at.send(TRAINER, m.Withdraw())
    at.send(REQUESTER, m.Withdraw())
    assert at.model.board.wallets[TRAINER] == PURSE + money.reward
    assert refusal(at, TRAINER, m.Withdraw()) == "board: nothing to withdraw"
    assert at.model.board.balance == 0


def test_expiry_ends_a_job_as_notice_does() -> None:
    at = fresh()
    at.model.advance(at.job.expiry - at.model.now())
    at.send(TRAINER, m.Lease(job=at.job.job_id))
    at.model.advance(1)
    late = m.Post(job=at.job.job_id, parent=at.job.job_id, states=(bytes(32),))
    assert refusal(at, TRAINER, late) == "board: job has ended"
    at.send(OTHER, m.Refund(job=at.job.job_id))
    assert at.model.tokens_of(REQUESTER) == PURSE


def test_what_was_burned_can_be_moved_out_of_the_ledger() -> None:
    at = fresh()
    at.send(TRAINER, m.Lease(job=at.job.job_id))
    at.model.advance(LEASE + 1)
    at.send(OTHER, m.Evict(job=at.job.job_id))
    at.send(OTHER, m.WithdrawBurned())
    assert at.model.board.wallets[BURN] == at.job.money.lease_deposit * 2000 // 10_000
    assert refusal(at, OTHER, m.WithdrawBurned()) == "board: nothing to withdraw"


# -------------------------------------------------------------------- the rules themselves

Break = Callable[[Model, bytes], None]


def steal(model: Model, update: bytes) -> None:
    model.board.credit(OTHER, 1)


def jump(model: Model, update: bytes) -> None:
    model.board.updates[update].first_state = bytes(32)


def skip(model: Model, update: bytes) -> None:
    model.board.updates[update].first_segment = 1


def fall(model: Model, update: bytes) -> None:
    model.board.updates[update].fallen = True


def rob(model: Model, update: bytes) -> None:
    model.board.wallets[TRAINER] -= 1


@pytest.mark.parametrize(
    ("broken", "rule"),
    [(steal, "I-1"), (jump, "I-2"), (skip, "I-2"), (fall, "I-6"), (rob, "M-9")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_rule_is_noticed(broken: Break, rule: str) -> None:
    at = fresh()
    update = at.post(at.truth, segments=1)
    protected = rules.Protected(honest=frozenset([TRAINER]), purse=PURSE, truth=at.truth)
    rules.check(at.model, protected)
    broken(at.model, update)
    with pytest.raises((rules.BrokenRuleError, MismatchError), match=rule):
        rules.check(at.model, protected)
