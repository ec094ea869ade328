"""JobBoard: leases, their due times and their deposits (updates.md, U-3; money.md, M-6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.job import Job
from tests.support.board import BURN, BoardWorld, refuses, state


@pytest.fixture
def world() -> BoardWorld:
    return BoardWorld()


@pytest.mark.parametrize(("late", "allowed"), [(-1, True), (0, True), (1, False)])
def test_a_post_at_its_due_time_is_in_time(
    world: BoardWorld, leased: bytes, late: int, allowed: bool
) -> None:
    world.evm.timestamp += 900 + late
    if allowed:
        assert world.post(world.alice, leased, 1)
        with refuses("board: lease is not late"):
            world.board.call("evict", leased, sender=world.bob)
    else:
        with refuses("board: lease is late"):
            world.post(world.alice, leased, 1)
        with refuses("board: lease is late"):
            world.board.call("release", leased, sender=world.alice)


def test_a_lease_at_its_due_time_is_not_late(world: BoardWorld, leased: bytes) -> None:
    world.evm.timestamp += 900
    with refuses("board: lease is not late"):
        world.board.call("evict", leased, sender=world.bob)
    with refuses("board: leased"):
        world.board.call("lease", leased, sender=world.bob)
    world.evm.timestamp += 1
    world.board.call("evict", leased, sender=world.bob)


def test_only_one_leaseholder(world: BoardWorld, job: Job, leased: bytes) -> None:
    with refuses("board: leased"):
        world.board.call("lease", leased, sender=world.bob)
    with refuses("board: not the leaseholder"):
        world.board.call("release", leased, sender=world.bob)
    world.post(world.alice, leased, 1)
    world.board.call("release", leased, sender=world.alice)
    assert world.credit(world.alice) == job.money.lease_deposit
    world.board.call("lease", leased, sender=world.bob)
    with refuses("board: unknown job"):
        world.board.call("lease", state(9), sender=world.bob)


def forfeited(world: BoardWorld) -> list[bool]:
    """What the last call's logs say of the leases that it ended."""
    return [event.args["forfeited"] for event in world.board.events if event.name == "LeaseEnded"]


@pytest.mark.parametrize(("after", "returned"), [(0, False), (1, True)])
def test_a_requester_cannot_end_a_job_for_a_lease_deposit(
    world: BoardWorld, job: Job, after: int, returned: bool
) -> None:
    """U-3: with no notice to speak of, cancelling would forfeit a lease under which nobody could post."""
    job_id = world.open(replace(job, clocks=replace(job.clocks, notice=0)))
    world.board.call("lease", job_id, sender=world.alice)
    world.board.call("cancel", job_id, sender=world.requester)
    world.evm.timestamp += after
    world.board.call("release", job_id, sender=world.alice)
    assert forfeited(world) == [not returned]
    assert world.credit(world.alice) == (job.money.lease_deposit if returned else 0)
    assert world.held() == world.credits() + 7 * job.money.reward


def test_an_unused_lease_given_back_loses_its_deposit(world: BoardWorld, job: Job, leased: bytes) -> None:
    """U-3, M-6: a job cannot be blocked for gas alone."""
    deposit, unspent = job.money.lease_deposit, 7 * job.money.reward
    world.board.call("release", leased, sender=world.alice)
    assert forfeited(world) == [True]
    assert world.credit(world.alice) == 0
    assert world.credit(BURN) == deposit // 5
    assert world.credit(world.requester) == deposit - deposit // 5
    assert world.held() == world.credits() + unspent
    with refuses("board: not the leaseholder"):
        world.board.call("release", leased, sender=world.alice)
    world.board.call("lease", leased, sender=world.alice)
    world.board.call("release", leased, sender=world.alice)
    assert world.credit(BURN) == 2 * (deposit // 5)
    assert world.held() == world.credits() + unspent


def test_what_was_posted_under_an_earlier_lease_does_not_save_the_deposit(
    world: BoardWorld, job: Job, leased: bytes
) -> None:
    deposit, locked = job.money.lease_deposit, 7 * job.money.reward + job.money.update_bond
    world.post(world.alice, leased, 1)
    assert world.board.call("job_state", leased)[8]
    world.board.call("release", leased, sender=world.alice)
    assert forfeited(world) == [False]
    assert world.credit(world.alice) == deposit
    world.board.call("lease", leased, sender=world.alice)
    assert not world.board.call("job_state", leased)[8]
    world.board.call("release", leased, sender=world.alice)
    assert forfeited(world) == [True]
    assert world.credit(world.alice) == deposit
    assert world.credit(BURN) == deposit // 5
    assert world.credit(world.requester) == deposit - deposit // 5
    assert world.held() == world.credits() + locked


def test_a_fall_returns_the_deposit_of_an_unused_lease(world: BoardWorld, job: Job, leased: bytes) -> None:
    """U-8: whoever had replayed the tip while it stood, or waits for it to fall, is not to blame."""
    wrong = world.post(world.alice, leased, 1)
    world.board.call("release", leased, sender=world.alice)
    world.board.call("lease", leased, sender=world.bob)
    world.board.call("dispute_opened", wrong, sender=world.court)
    world.board.call("fell", wrong, world.watcher, world.watcher, sender=world.court)
    assert world.credit(world.bob) == job.money.lease_deposit


@pytest.mark.parametrize("by_lease", [True, False])
def test_a_late_leaseholder_loses_the_deposit(
    world: BoardWorld, job: Job, leased: bytes, by_lease: bool
) -> None:
    world.evm.timestamp += 901
    world.board.call("lease" if by_lease else "evict", leased, sender=world.bob)
    deposit, tip = job.money.lease_deposit, job.money.tip
    assert world.credit(world.alice) == 0
    assert world.credit(BURN) == deposit // 5
    assert world.credit(world.bob) == tip
    assert world.credit(world.requester) == deposit - deposit // 5 - tip
    if not by_lease:
        with refuses("board: not leased"):
            world.board.call("evict", leased, sender=world.bob)
