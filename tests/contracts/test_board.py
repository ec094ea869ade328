"""JobBoard: jobs, leases, the chain of updates, deadlines, finality, money (updates.md, money.md)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from protocol.chain.artifacts import MAX_RUNTIME_BYTES
from protocol.commitments.tree import Tree
from protocol.job import ANYBODY, Audit, Job
from tests.support.board import BURN, SCHEDULED_GAS, BoardWorld, refuses, state
from tests.support.evm import FastEvm, Reverted

NOWHERE = "0x" + "00" * 20
LEAST_AUDIT = Audit(auditor=ANYBODY, demand_until=0, answer_time=1, demand_fee=750_000)
"""The least that the board takes where pages can be demanded (M-2, Y-8)."""


@pytest.fixture
def world() -> BoardWorld:
    return BoardWorld()


def test_deployed_code_fits_a_chain(world: BoardWorld) -> None:
    assert world.board.artifact.deployed_bytes <= MAX_RUNTIME_BYTES


def test_job_id_is_the_hash_that_python_computes(world: BoardWorld, job: Job) -> None:
    assert world.open(job) == job.job_id
    assert world.board.call("terms", job.job_id)[9] == job.geometry.pack()
    assert world.held() == job.money.reward * 7


def test_geometry_and_clocks_survive_packing(job: Job) -> None:
    assert type(job.geometry).unpack(job.geometry.pack()) == job.geometry
    assert type(job.clocks).unpack(job.clocks.pack()) == job.clocks


@pytest.mark.parametrize(
    ("part", "field", "value", "reason"),
    [
        ("", "chain_id", 77, "board: terms are for another board"),
        ("", "board", bytes(20), "board: terms are for another board"),
        ("", "requester", bytes(19) + b"\1", "board: not the requester"),
        ("", "expiry", 1_700_000_000, "board: expired"),
        *[
            ("geometry", name, 0, "board: geometry is zero")
            for name in (
                "n_nodes",
                "n_slots",
                "n_inputs",
                "n_rows",
                "batch",
                "steps",
                "stride",
                "max_segments",
            )
        ],
        ("geometry", "steps", 2**31 + 1, "board: steps or stride"),
        ("geometry", "stride", 21, "board: steps or stride"),
        ("geometry", "max_segments", 64, "board: max_segments"),
        ("geometry", "tensor_height", 27, "board: tensor height"),
        ("geometry", "input_height", 27, "board: input height"),
        ("geometry", "fanout_log2", 0, "board: fan-out or range"),
        ("geometry", "fanout_log2", 11, "board: fan-out or range"),
        ("geometry", "range_log2", 7, "board: fan-out or range"),
        *[
            ("clocks", name, 0, "board: a clock is zero")
            for name in ("window", "response", "opening", "lease")
        ],
        *[
            ("money", name, 2**128, "board: amount too large")
            for name in (
                "update_bond",
                "challenge_bond",
                "defence_bond",
                "lease_deposit",
                "reward",
                "gas_price",
                "bounty",
                "tip",
            )
        ],
        ("money", "burn_bps", 999, "board: burned share"),
        ("money", "burn_bps", 9001, "board: burned share"),
        ("money", "update_bond", 40_124_999, "board: update bond too small"),
        ("money", "challenge_bond", 40_124_999, "board: challenge bond too small"),
        ("money", "defence_bond", 27_624_999, "board: defence bond too small"),
        ("money", "lease_deposit", 124_999, "board: lease deposit too small"),
        ("money", "reward", 0, "board: no reward"),
        ("audit", "answer_time", 0, "board: answer time"),
        ("audit", "answer_time", 2**32, "board: answer time"),
        ("audit", "demand_fee", 749_999, "board: demand fee too small"),
        ("audit", "demand_fee", 2**128, "board: amount too large"),
        ("money", "scheduled_gas", SCHEDULED_GAS - 1, "board: scheduled gas"),
        ("money", "scheduled_gas", 2**32, "board: scheduled gas"),
    ],
)
def test_terms_out_of_bounds_are_refused(
    world: BoardWorld, job: Job, part: str, field: str, value: Any, reason: str
) -> None:
    job = replace(job, audit=LEAST_AUDIT)
    if part:
        job = replace(job, **{part: replace(getattr(job, part), **{field: value})})
    else:
        job = replace(job, **{field: value})
    with refuses(reason):
        world.open(job)


@pytest.mark.parametrize(
    ("field", "least"),
    [
        ("update_bond", 40_125_000),
        ("challenge_bond", 40_125_000),
        ("defence_bond", 27_625_000),
        ("lease_deposit", 125_000),
    ],
)
def test_the_least_bond_of_m2_is_accepted(world: BoardWorld, job: Job, field: str, least: int) -> None:
    assert world.open(replace(job, money=replace(job.money, **{field: least})))


def test_the_least_terms_of_demands_are_accepted(world: BoardWorld, job: Job) -> None:
    audited = replace(job, audit=LEAST_AUDIT)
    assert world.open(audited) == audited.job_id != job.job_id
    assert world.board.call("terms", audited.job_id)[-4:] == ("0x" + "ff" * 20, 0, 1, 750_000)


# -------------------------------------------------------------------- the governor


def test_only_the_governor_changes_the_least_scheduled_gas_and_hands_over(world: BoardWorld) -> None:
    for who in (world.deployer, world.requester, world.court, world.availability):
        for call, value in (("set_scheduled_gas", 1), ("set_governor", who)):
            with refuses("board: not the governor"):
                world.board.call(call, value, sender=who)
    world.board.call("set_scheduled_gas", 7, sender=world.governor)
    (logged,) = world.board.events
    assert (logged.name, logged.args) == ("ScheduledGasSet", {"before": SCHEDULED_GAS, "scheduled_gas": 7})
    assert world.board.call("scheduled_gas") == 7
    for units in (0, 2**32):
        with refuses("board: scheduled gas"):
            world.board.call("set_scheduled_gas", units, sender=world.governor)
    world.board.call("set_governor", world.bob, sender=world.governor)
    (logged,) = world.board.events
    assert {name: value.lower() for name, value in logged.args.items()} == {
        "before": world.governor.lower(),
        "governor": world.bob.lower(),
    }
    with refuses("board: not the governor"):
        world.board.call("set_scheduled_gas", 8, sender=world.governor)
    world.board.call("set_governor", NOWHERE, sender=world.bob)
    for who in (world.bob, world.governor):
        with refuses("board: not the governor"):
            world.board.call("set_scheduled_gas", 8, sender=who)


def test_a_change_of_the_least_scheduled_gas_touches_no_open_job(world: BoardWorld, job: Job) -> None:
    leased = world.open(job)
    before = world.board.call("terms", leased)
    world.board.call("set_scheduled_gas", job.money.scheduled_gas + 1, sender=world.governor)
    assert world.board.call("terms", leased) == before
    # what is opened from now on schedules more, and no other thing of an old job is refused
    later = replace(job, salt=state(7))
    with refuses("board: scheduled gas"):
        world.open(later)
    more = replace(later, money=replace(job.money, scheduled_gas=job.money.scheduled_gas + 1))
    world.open(more)
    world.board.call("lease", leased, sender=world.alice)
    wrong = world.post(world.alice, leased, 1)
    world.board.call("dispute_opened", wrong, sender=world.court)
    world.board.call("fell", wrong, world.bob, world.watcher, sender=world.court)
    assert world.credit(world.watcher) == job.money.gas_price * job.money.scheduled_gas + job.money.bounty


def test_a_job_opens_once(world: BoardWorld, job: Job) -> None:
    world.open(job)
    with refuses("board: job exists"):
        world.open(job)


def test_no_job_before_the_court_is_bound() -> None:
    world = BoardWorld()
    board = world.evm.deploy("JobBoard", world.token.address, SCHEDULED_GAS, sender=world.deployer)
    job = replace(world.job(), board=bytes.fromhex(board.address[2:]))
    with refuses("board: no court"):
        board.call("open_job", job.terms(), sender=world.requester)
    with refuses("board: not the deployer"):
        board.call("bind", world.court, world.availability, world.governor, sender=world.alice)
    for court, availability in ((NOWHERE, world.availability), (world.court, NOWHERE)):
        with refuses("board: is bound"):
            board.call("bind", court, availability, world.governor, sender=world.deployer)
    with refuses("board: is bound"):
        world.board.call("bind", world.alice, world.alice, world.alice, sender=world.deployer)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(1, "board: token moved another amount"), (2, "board: token transfer failed"), (3, "token: refuses")],
)
def test_a_token_that_does_not_move_what_it_says_is_refused(
    world: BoardWorld, mode: int, reason: str
) -> None:
    world.token.call("behave", mode)
    with refuses(reason):
        world.open()


def test_posting_follows_the_chain(world: BoardWorld, job: Job, leased: bytes) -> None:
    now = world.evm.timestamp
    first = world.post(world.alice, leased, 1, 2)
    assert world.board.call("tip", leased) == (first, 2, state(2))
    second = world.post(world.alice, leased, 3)
    info = world.board.call("update_info", second)
    assert info[1] == first
    assert info[3] == 1
    # U-5: window and one replay allowance per segment, counted on from the parent's deadline
    assert world.board.call("update_info", first)[8] == now + 600 + 20
    assert info[8] == now + 600 + 20 + 10
    history = Tree([state(0), state(1), state(2)], job.geometry.history_height)
    assert world.board.call("update_info", first)[6] == history.root
    pieces = [leased, leased, bytes(32), (2).to_bytes(32), history.root, state(2)]
    pieces += [bytes.fromhex(world.alice[2:]).rjust(32, b"\0"), bytes(32)]
    assert first == hashlib.sha256(b"".join(pieces)).digest()


@pytest.mark.parametrize("max_segments", [1, 2, 3, 7, 8, 63])
def test_history_root_matches_the_tree_for_every_width(
    world: BoardWorld, job: Job, max_segments: int
) -> None:
    geometry = replace(job.geometry, steps=63, stride=1, max_segments=max_segments)
    job = replace(job, geometry=geometry)
    job_id = world.open(job)
    world.board.call("lease", job_id, sender=world.alice)
    states = list(range(1, max_segments + 1))
    update = world.post(world.alice, job_id, *states)
    expected = Tree([state(n) for n in [0, *states]], geometry.history_height).root
    assert world.board.call("update_info", update)[6] == expected


def test_posting_is_refused(world: BoardWorld, leased: bytes) -> None:
    with refuses("board: not the leaseholder"):
        world.post(world.bob, leased, 1)
    with refuses("board: unknown job"):
        world.post(world.alice, state(9), 1)
    with refuses("board: number of segments"):
        world.post(world.alice, leased)
    world.post(world.alice, leased, 1, 2, 3, 4, 5)
    with refuses("board: beyond the last segment"):
        world.post(world.alice, leased, 6, 7, 8)


def test_an_update_stands_on_the_tip_alone(world: BoardWorld, leased: bytes) -> None:
    first = world.post(world.alice, leased, 1)
    for parent in (leased, state(9), bytes(32)):
        with refuses("board: not the tip"):
            world.board.call("post", leased, parent, [state(2)], sender=world.alice)
    world.board.call("post", leased, first, [state(2)], sender=world.alice)


def test_more_segments_than_the_terms_allow_are_refused(world: BoardWorld, job: Job) -> None:
    job_id = world.open(replace(job, geometry=replace(job.geometry, max_segments=2)))
    world.board.call("lease", job_id, sender=world.alice)
    with refuses("board: number of segments"):
        world.post(world.alice, job_id, 1, 2, 3)


def test_finality_waits_for_deadline_and_opening(world: BoardWorld, leased: bytes) -> None:
    update = world.post(world.alice, leased, 1)
    deadline = world.board.call("update_info", update)[8]
    world.evm.timestamp = deadline + 120
    with refuses("board: not final"):
        world.board.call("claim", update, sender=world.bob)
    assert world.board.call("update_status", update) == "pending"
    world.evm.timestamp += 1
    assert world.board.call("update_status", update) == "final"
    world.board.call("claim", update, sender=world.bob)
    assert world.board.call("update_status", update) == "final"
    with refuses("board: claimed"):
        world.board.call("claim", update, sender=world.bob)
    with refuses("board: update is live"):
        world.board.call("reclaim", update, sender=world.bob)


def test_an_open_dispute_holds_finality_and_children_back(world: BoardWorld, leased: bytes) -> None:
    first = world.post(world.alice, leased, 1)
    second = world.post(world.alice, leased, 2)
    world.board.call("dispute_opened", first, sender=world.court)
    world.evm.timestamp += 10_000
    for update in (first, second):
        assert world.board.call("update_status", update) == "pending"
        assert not world.board.call("dispute_context", update)[8]
        with refuses("board: not final"):
            world.board.call("claim", update)
    world.board.call("dispute_closed", first, sender=world.court)
    for update in (first, second):
        assert world.board.call("update_status", update) == "final"
        assert world.board.call("dispute_context", update)[8]
    world.board.call("claim", second)
    world.board.call("claim", first)


def test_the_last_post_ends_the_lease_and_rewards_are_paid_once(
    world: BoardWorld, job: Job, leased: bytes
) -> None:
    updates = [world.post(world.alice, leased, 1, 2, 3, 4), world.post(world.alice, leased, 5, 6, 7)]
    assert world.credit(world.alice) == job.money.lease_deposit
    with refuses("board: nothing left to post"):
        world.board.call("lease", leased, sender=world.bob)
    world.evm.timestamp += 10_000
    for update in updates:
        world.board.call("claim", update, sender=world.bob)
    before = world.token.call("balanceOf", world.alice)
    world.board.call("withdraw", sender=world.alice)
    money = job.money
    paid = world.token.call("balanceOf", world.alice) - before
    assert paid == 7 * money.reward + 2 * money.update_bond + money.lease_deposit
    assert world.held() == 0
    with refuses("board: nothing to withdraw"):
        world.board.call("withdraw", sender=world.alice)


def test_a_fall_cuts_the_chain_and_splits_the_bond(world: BoardWorld, job: Job, leased: bytes) -> None:
    kept = world.post(world.alice, leased, 1)
    wrong = world.post(world.alice, leased, 2)
    built = world.post(world.alice, leased, 3)
    for _ in range(3):
        world.board.call("dispute_opened", wrong, sender=world.court)
    world.board.call("fell", wrong, world.bob, world.watcher, sender=world.court)
    statuses = [world.board.call("update_status", u) for u in (kept, wrong, built)]
    assert statuses == ["pending", "fallen", "void"]
    assert world.board.call("tip", leased) == (kept, 1, state(1))
    money, refund = job.money, job.money.gas_price * job.money.scheduled_gas
    assert world.credit(BURN) == money.update_bond // 5
    assert world.credit(world.bob) == money.tip
    assert world.credit(world.watcher) == refund + money.bounty
    assert world.credit(world.alice) == money.lease_deposit
    # two further disputes are owed their gas, the requester has the rest
    rest = money.update_bond - money.update_bond // 5 - money.tip - refund - money.bounty
    assert world.credit(world.requester) == rest - 2 * refund
    for who in (world.bob, world.watcher):
        before = world.credit(who)
        world.board.call("pay_moot", wrong, who, sender=world.court)
        assert world.credit(who) == before + refund
    with refuses("board: bond is gone"):
        world.board.call("reclaim", wrong)
    world.board.call("reclaim", built)
    with refuses("board: bond is gone"):
        world.board.call("reclaim", built)
    with refuses("board: not final"):
        world.board.call("claim", built)
    with refuses("board: update is not live"):
        world.board.call("fell", wrong, world.bob, world.watcher, sender=world.court)
    # conservation (I-1): credits, one live bond, unspent rewards
    assert world.held() == world.credits() + money.update_bond + 7 * money.reward


def test_the_moot_share_never_exceeds_the_bond(world: BoardWorld, leased: bytes) -> None:
    wrong = world.post(world.alice, leased, 1)
    for _ in range(50):
        world.board.call("dispute_opened", wrong, sender=world.court)
    world.board.call("fell", wrong, world.bob, world.watcher, sender=world.court)
    for _ in range(49):
        world.board.call("pay_moot", wrong, world.bob, sender=world.court)
    assert world.credits() <= world.held()
    with pytest.raises(Reverted):
        world.board.call("pay_moot", wrong, world.bob, sender=world.court)


def test_a_final_update_cannot_fall(world: BoardWorld, leased: bytes) -> None:
    update = world.post(world.alice, leased, 1)
    world.evm.timestamp += 10_000
    world.board.call("finalise", leased)
    with refuses("board: final"):
        world.board.call("fell", update, world.bob, world.watcher, sender=world.court)


def test_the_same_trainer_can_post_again_after_a_fall(world: BoardWorld, leased: bytes) -> None:
    first = world.post(world.alice, leased, 1)
    world.board.call("dispute_opened", first, sender=world.court)
    world.board.call("fell", first, world.bob, world.watcher, sender=world.court)
    world.board.call("lease", leased, sender=world.alice)
    again = world.post(world.alice, leased, 1)
    assert again != first
    assert world.board.call("is_live", again)
    assert not world.board.call("is_live", first)


def test_cancel_refund_and_expiry(world: BoardWorld, job: Job, leased: bytes) -> None:
    update = world.post(world.alice, leased, 1, 2)
    with refuses("board: not the requester"):
        world.board.call("cancel", leased, sender=world.alice)
    world.board.call("cancel", leased, sender=world.requester)
    world.evm.timestamp += 200
    world.board.call("cancel", leased, sender=world.requester)
    assert world.board.call("job_state", leased)[6] == world.evm.timestamp - 200 + 300
    with refuses("board: job has not ended"):
        world.board.call("refund", leased)
    world.evm.timestamp += 101
    with refuses("board: job has ended"):
        world.post(world.alice, leased, 3)
    with refuses("board: updates are pending"):
        world.board.call("refund", leased)
    world.board.call("release", leased, sender=world.alice)
    with refuses("board: job has ended"):
        world.board.call("lease", leased, sender=world.bob)
    world.evm.timestamp += 10_000
    assert world.board.call("refund", leased) == 5 * job.money.reward
    with refuses("board: refunded"):
        world.board.call("refund", leased)
    world.board.call("claim", update)
    assert world.held() == world.credits()


def test_refund_of_an_untouched_job_at_expiry(world: BoardWorld, job: Job) -> None:
    job_id = world.open(job)
    world.evm.timestamp = job.expiry
    with refuses("board: job has not ended"):
        world.board.call("refund", job_id)
    world.evm.timestamp += 1
    assert world.board.call("refund", job_id) == 7 * job.money.reward
    with refuses("board: unknown job"):
        world.board.call("refund", state(9))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("lock_bond", (state(1), False, FastEvm.account(2))),
        ("return_bond", (state(1), False, FastEvm.account(2))),
        ("lose_challenge_bond", (state(1), FastEvm.account(2), FastEvm.account(2))),
        ("lose_defence_bond", (state(1), FastEvm.account(2), FastEvm.account(3))),
        ("dispute_opened", (state(1),)),
        ("dispute_closed", (state(1),)),
        ("fell", (state(1), FastEvm.account(2), FastEvm.account(2))),
        ("pay_moot", (state(1), FastEvm.account(2))),
    ],
)
def test_the_court_alone_moves_bonds(world: BoardWorld, function: str, arguments: tuple[Any, ...]) -> None:
    with refuses("board: not the court"):
        world.board.call(function, *arguments, sender=world.alice)


@pytest.mark.parametrize("defence", [False, True])
def test_bonds_come_back_or_are_split(world: BoardWorld, job: Job, leased: bytes, defence: bool) -> None:
    money, refund = job.money, job.money.gas_price * job.money.scheduled_gas
    bond = money.defence_bond if defence else money.challenge_bond
    before = world.held()
    for _ in range(2):
        world.board.call("lock_bond", leased, defence, world.bob, sender=world.court)
    assert world.held() == before + 2 * bond
    world.board.call("return_bond", leased, defence, world.bob, sender=world.court)
    assert world.credit(world.bob) == bond
    if defence:
        world.board.call("lose_defence_bond", leased, world.watcher, world.watcher, sender=world.court)
        prize, tip = refund, 0
    else:
        world.board.call("lose_challenge_bond", leased, world.alice, world.watcher, sender=world.court)
        prize, tip = refund + money.bounty, money.tip
    assert world.credit(world.watcher) == prize
    assert world.credit(world.alice) == tip
    assert world.credit(world.requester) == bond - bond // 5 - prize - tip
    with refuses("board: unknown job"):
        world.board.call("lock_bond", state(9), defence, world.bob, sender=world.court)
    world.board.call("withdraw_burned", sender=world.alice)
    assert world.token.call("balanceOf", BURN) == bond // 5
