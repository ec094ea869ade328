"""Reserving and opening disputes (dispute.md, D-1, D-2), and demands at STEPS (D-4)."""

from __future__ import annotations

import pytest

from protocol.commitments.tree import ZERO
from protocol.game.ids import Kind, position_id
from tests.support.court import OPEN, CourtWorld, made_up, state
from tests.support.evm import Reverted


def test_a_reservation_locks_the_challenge_bond_and_is_bound_to_its_sender(world: CourtWorld) -> None:
    update = world.post()
    before = world.token.call("balanceOf", world.watcher)
    digest = world.reserve(update)
    assert world.token.call("balanceOf", world.watcher) == before - world.money.challenge_bond
    assert world.view("reservation", world.watcher, digest) == {
        "job": world.job,
        "reserved_at": world.now,
        "opened": False,
    }
    # the same pair again; then a copy by somebody else, which is another reservation and opens nothing
    world.refused("court: reserved before", "reserve", world.job, digest)
    world.court.call("reserve", world.job, digest, sender=world.other)
    assert world.open(update, sender=world.other) != digest
    assert world.open(update) == digest
    assert world.view("reservation", world.watcher, digest)["opened"]
    assert not world.view("reservation", world.other, digest)["opened"]
    world.refused("court: reserved before", "reserve", world.job, digest)


def test_a_job_that_is_not_there_cannot_be_reserved_for(world: CourtWorld) -> None:
    with pytest.raises(Reverted, match="board: unknown job"):
        world.court.call("reserve", made_up("job"), made_up("digest"), sender=world.watcher)


def test_opening_records_the_dispute_and_demands_steps(world: CourtWorld) -> None:
    update = world.post()
    reserved_at = world.now
    world.reserve(update, segment=1)
    world.wait(7)
    dispute = world.open(update, segment=1)
    assert world.view("dispute", dispute) == {
        "update": update,
        "job": world.job,
        "segment": 1,
        "challenger": world.watcher.lower(),
        "reserved_at": reserved_at,
        "opened_at": world.now,
        "status": OPEN,
    }
    position = position_id(update, Kind.STEPS, 1)
    assert world.court.call("position_id", update, 1, 1, 0) == position
    clocks = world.clocks
    assert world.view("position", position) == {
        "kind": 1,
        "parent": update,
        "a": 1,
        "b": 0,
        "first": state(1),
        "last": state(2),
        "demanded_at": world.now,
        "ends_at": world.now + clocks.allowance + clocks.response + clocks.reserve,
        "allowance": clocks.allowance,
        "defence_reserve": clocks.reserve,
        "standing": 0,
        "candidates": 0,
        "covered": False,
        "claimant": dispute,
        "credit": ZERO,
    }
    assert world.court.call("traces", update) == 1
    assert world.open_disputes(update) == 1
    world.refused("court: opened before", "open", *world.open_arguments(update, segment=1))


@pytest.mark.parametrize(("late", "accepted"), [(-1, True), (0, True), (1, False)])
def test_a_reservation_is_opened_within_the_opening_time(
    world: CourtWorld, late: int, accepted: bool
) -> None:
    update = world.post()
    world.reserve(update)
    world.wait(world.clocks.opening + late)
    if accepted:
        world.open(update)
    else:
        world.refused("court: opening is over", "open", *world.open_arguments(update))


@pytest.mark.parametrize(("late", "accepted"), [(-1, True), (0, True), (1, False)])
def test_a_reservation_is_made_by_the_deadline(world: CourtWorld, late: int, accepted: bool) -> None:
    posted_at = world.now
    update = world.post(2)
    world.at(posted_at + world.clocks.window + 2 * world.clocks.replay + late)
    world.reserve(update)
    world.wait(world.clocks.opening - 1)
    if accepted:
        world.open(update)
    else:
        world.refused("court: reserved too late", "open", *world.open_arguments(update))


def test_a_reservation_that_was_not_opened_comes_back_once(world: CourtWorld) -> None:
    update = world.post()
    digest = world.reserve(update)
    world.refused("court: nothing reserved", "cancel_reservation", digest, sender=world.other)
    world.court.call("cancel_reservation", digest, sender=world.watcher)
    assert world.credit(world.watcher) == world.money.challenge_bond
    world.refused("court: nothing reserved", "cancel_reservation", digest)
    # it is gone, so it can be made again, with a time of its own
    world.reserve(update)
    world.open(update)
    world.wait(world.clocks.opening + 1)
    world.refused("court: reservation was opened", "cancel_reservation", digest)


@pytest.mark.parametrize(("late", "accepted"), [(-1, True), (0, True), (1, False)])
def test_an_opening_without_a_reservation_makes_one_by_the_deadline(
    world: CourtWorld, late: int, accepted: bool
) -> None:
    posted_at = world.now
    update = world.post(2)
    world.at(posted_at + world.clocks.window + 2 * world.clocks.replay + late)
    before = world.token.call("balanceOf", world.watcher)
    if not accepted:
        world.refused("court: reserved too late", "open", *world.open_arguments(update))
        return
    dispute = world.open(update)
    assert world.token.call("balanceOf", world.watcher) == before - world.money.challenge_bond
    assert world.view("dispute", dispute)["reserved_at"] == world.now
    assert world.view("reservation", world.watcher, dispute) == {
        "job": world.job,
        "reserved_at": world.now,
        "opened": True,
    }
    world.refused("court: reserved before", "reserve", world.job, dispute)
    world.refused("court: reservation was opened", "cancel_reservation", dispute)
    world.refused("court: opened before", "open", *world.open_arguments(update))


def test_who_cannot_pay_the_bond_opens_nothing(world: CourtWorld) -> None:
    update = world.post()
    world.token.call("approve", world.board.address, 0, sender=world.watcher)
    with pytest.raises(Reverted):
        world.open(update)
    assert world.open_disputes(update) == 0


def test_a_copied_digest_gives_its_bond_back_though_its_owner_opened(world: CourtWorld) -> None:
    update = world.post()
    digest = world.reserve(update)
    world.court.call("reserve", world.job, digest, sender=world.other)
    world.open(update)
    world.wait(world.clocks.opening + 1)
    world.court.call("cancel_reservation", digest, sender=world.other)
    assert world.credit(world.other) == world.money.challenge_bond
    world.refused("court: reservation was opened", "cancel_reservation", digest)


def test_opening_checks_update_job_segment_and_history(world: CourtWorld) -> None:
    update = world.post()
    unknown = made_up("update")
    for segment in (0, 1, 2):
        world.reserve(update, segment=segment)
    world.reserve(unknown)
    world.refused("court: update is not live", "open", *world.open_arguments(unknown))
    world.refused("court: not a segment of it", "open", *world.open_arguments(update, segment=2))

    good = world.open_arguments(update)
    for place, value in ((3, state(9)), (4, good[4][:-1]), (4, good[6])):
        wrong = [*good]
        wrong[place] = value
        world.refused("court: first state not in history", "open", *wrong)
    for place, value in ((5, state(9)), (6, good[6][:-1]), (6, good[4])):
        wrong = [*good]
        wrong[place] = value
        world.refused("court: last state not in history", "open", *wrong)
    # leaves of another segment, rightly opened, are not this segment's
    world.refused(
        "court: first state not in history", "open", *good[:3], *world.open_arguments(update, segment=1)[3:]
    )

    terms = world.terms.terms()
    other_terms = (*terms[:3], made_up("salt"), *terms[4:])
    job = bytes(world.board.call("open_job", other_terms, sender=world.requester))
    digest = world.digest(update, 0, world.watcher, 6)
    world.court.call("reserve", job, digest, sender=world.watcher)
    world.refused("court: reserved for another job", "open", *world.open_arguments(update, salt=6))


def test_segments_of_a_later_update_count_from_its_first(world: CourtWorld) -> None:
    first = world.post(2)
    later = world.post(3, lease=False)
    assert first != later
    world.dispute(later, segment=4, first=2, segments=3)
    world.reserve(later, segment=1)
    world.refused("court: not a segment of it", "open", *world.open_arguments(later, segment=1, first=0))


def test_a_final_update_is_not_opened_against(world: CourtWorld) -> None:
    update = world.post()
    digest = world.reserve(update)
    world.at(world.now + 10 * world.clocks.window)
    assert world.board.call("update_status", update) == "final"
    world.refused("court: update is final", "open", *world.open_arguments(update))
    world.court.call("cancel_reservation", digest, sender=world.watcher)


def test_the_earliest_reservation_among_the_demanders_claims(world: CourtWorld) -> None:
    update = world.post()
    position = position_id(update, Kind.STEPS, 0)
    early = world.reserve(update, sender=world.other)
    tie = world.reserve(update, sender=world.third)
    world.wait(1)
    late = world.dispute(update)
    ends_at = world.view("position", position)["ends_at"]
    assert world.view("position", position)["claimant"] == late
    world.wait(1)
    world.open(update, sender=world.third)
    assert world.view("position", position)["claimant"] == tie
    world.open(update, sender=world.other)
    # of the same time as the claimant's: the earlier demand keeps it
    assert world.view("position", position)["claimant"] == tie != early
    # nothing else of the position moves, and a position counts once as a trace
    assert world.view("position", position)["ends_at"] == ends_at
    assert world.court.call("traces", update) == 1
    assert world.open_disputes(update) == 3


def test_the_allowance_grows_with_the_traces_up_to_four(world: CourtWorld) -> None:
    update = world.post(6)
    allowances = []
    for segment in range(6):
        world.dispute(update, segment=segment, segments=6)
        allowances.append(world.view("position", position_id(update, Kind.STEPS, segment))["allowance"])
    assert allowances == [world.clocks.allowance * k for k in (1, 2, 3, 4, 4, 4)]


def test_the_court_wants_a_board_and_a_verifier_that_exist(world: CourtWorld) -> None:
    nobody = world.evm.account(99)
    for board, verifier in ((nobody, world.verifier.address), (world.board.address, nobody)):
        with pytest.raises(Reverted, match="court: no board or no verifier"):
            world.evm.deploy("Court", board, verifier)
    assert world.court.call("board").lower() == world.board.address.lower()
    assert world.court.call("verifier").lower() == world.verifier.address.lower()
    assert world.court.artifact.deployed_bytes <= 24_576
    print("Court, bytes deployed:", world.court.artifact.deployed_bytes)
