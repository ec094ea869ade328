"""Corners that random calls do not come to, on contracts and ghost: full positions, long chains, ends."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.stateful.calls import CHEAT, PURSE, REQUESTER, RIVAL, STRANGER, TRAINER, WATCHER, Call
from tests.stateful.driver import Driver
from tests.stateful.ghost_availability import MOST_OPEN
from tests.stateful.ghost_base import Refused
from tests.stateful.ghost_records import MOST_CANDIDATES
from tests.stateful.ghost_terms import ANYBODY, GEOMETRY, TERMS, packed, unpacked
from tests.stateful.material import STRIDE
from tests.stateful.world import World


def scene(*, geometry: dict[str, int] | None = None, **terms: Any) -> tuple[Driver, bytes]:
    """A world with one job, leased by the honest trainer."""
    world = World()
    driver = Driver(world, Random(4))
    named = dict(zip(TERMS, driver.board.terms(REQUESTER), strict=True)) | terms
    sizes = unpacked(named["geometry"], GEOMETRY) | (geometry or {})
    named["geometry"] = packed(sizes, GEOMETRY)
    job = world.call(Call(REQUESTER, "board", "open_job", (tuple(named.values()),)))
    assert isinstance(job, bytes), job
    assert world.call(Call(TRAINER, "board", "lease", (job,))) is None
    return driver, job


def posted(driver: Driver, job: bytes) -> bytes:
    """The honest trainer's first update."""
    update = driver.world.call(driver.board.post_of(job, driver.world.ghost.board.jobs[job]))
    assert isinstance(update, bytes), update
    return update


def reason(outcome: Any) -> str | None:
    """Why a call was refused, None if it was not."""
    return outcome.args[0] if isinstance(outcome, Refused) else None


def disputed(driver: Driver, update: bytes) -> bytes:
    """The position of a direct dispute against an update's first segment."""
    reserve = driver.court.reserve_of(update, 0, RIVAL)
    dispute = driver.world.call(driver.court.open_of(RIVAL, reserve.args[1]))
    (position,) = driver.world.ghost.court.disputes[dispute].demands
    return bytes(position)


def made_up(driver: Driver, position: bytes, number: int, who: str) -> Call:
    """A candidate at STEPS whose middle is made up."""
    known, court = driver.world.ghost.court.positions[position], driver.world.ghost.court
    middle = [number.to_bytes(32, "big")] * (STRIDE - 1)
    root = driver.truth.stock.tree([known.first, *middle, known.last], court.tree_height(position))
    return driver.court.commit_of(position, root, who)


def test_a_place_is_kept_for_the_trainer_however_many_candidates_there_are() -> None:
    driver, job = scene()
    world = driver.world
    position = disputed(driver, posted(driver, job))
    for number in range(1, MOST_CANDIDATES):
        outcome = world.call(made_up(driver, position, number, CHEAT), shown=number % 200 == 0)
        assert reason(outcome) is None
    assert reason(world.call(made_up(driver, position, 0, CHEAT))) == "court: no place left"
    right = driver.truth.right_root(position)
    assert reason(world.call(driver.court.commit_of(position, right, WATCHER))) == "court: no place left"
    assert reason(world.call(driver.court.commit_of(position, right, TRAINER))) is None
    assert reason(world.call(made_up(driver, position, 0, TRAINER))) == "court: no place left"


def test_the_trainer_takes_over_its_own_root_when_all_places_are_taken() -> None:
    driver, job = scene()
    world = driver.world
    position = disputed(driver, posted(driver, job))
    right = driver.truth.right_root(position)
    candidate = world.call(driver.court.commit_of(position, right, WATCHER))
    bond = world.ghost.court.terms(position).defence_bond
    for number in range(1, MOST_CANDIDATES - 1):
        world.call(made_up(driver, position, number, CHEAT), shown=False)
    assert reason(world.call(driver.court.commit_of(position, right, STRANGER))) == "court: candidate exists"
    world.wait(world.now + 7)
    assert world.call(driver.court.commit_of(position, right, TRAINER)) == candidate
    known = world.ghost.court.candidates[candidate]
    assert (known.poster, known.bonded, known.posted_at) == (TRAINER, False, world.now - 7)
    assert world.ghost.board.credit[WATCHER] == bond
    assert reason(world.call(driver.court.commit_of(position, right, TRAINER))) == "court: candidate exists"


def test_demands_cost_more_and_more_until_there_is_no_place() -> None:
    driver, job = scene(auditor=ANYBODY, answer_time=60, demand_fee=10**7, demand_until=2**40)
    update = posted(driver, job)
    before = driver.world.ghost.token.balance[CHEAT]
    for number in range(MOST_OPEN):
        outcome = driver.world.call(Call(CHEAT, "availability", "demand", (update, number % 6, number % 4)))
        assert reason(outcome) is None
    paid = before - driver.world.ghost.token.balance[CHEAT]
    assert paid == 16 * sum(2**i for i in range(8)) * 10**7
    last = driver.world.call(Call(CHEAT, "availability", "demand", (update, 0, 0)))
    assert reason(last) == "availability: no place left"
    for duty in driver.honest.duties():
        assert reason(driver.world.call(duty.call)) is None
    assert driver.world.ghost.availability.demands == {}
    driver.world.compare()


def test_a_chain_longer_than_the_board_looks_over_becomes_final_in_parts() -> None:
    """U-6: up to 64 updates beyond the last one recorded."""
    driver, job = scene(geometry={"steps": 70, "stride": 1, "max_segments": 1}, expiry=2**33)
    world = driver.world
    parent, updates = job, []
    for number in range(70):
        state = number.to_bytes(32, "big")
        parent = world.call(Call(TRAINER, "board", "post", (job, parent, (state,))), shown=False)
        updates.append(parent)
    assert reason(world.call(Call(CHEAT, "board", "claim", (updates[0],)))) == "board: not final"
    world.wait(world.now + 10**6)
    assert reason(world.call(Call(CHEAT, "board", "claim", (updates[64],)))) == "board: not final"
    assert reason(world.call(Call(CHEAT, "board", "claim", (updates[63],)))) is None
    assert reason(world.call(Call(CHEAT, "board", "claim", (updates[69],)))) is None
    assert world.ghost.board.jobs[job].recorded == 70
    world.compare()


def test_nobody_burns_more_than_it_has() -> None:
    world = World()
    assert (
        reason(world.call(Call(CHEAT, "token", "burn", (PURSE + 1,)))) == "erc20: burn amount exceeds balance"
    )
    assert reason(world.call(Call(CHEAT, "token", "burn", (PURSE,)))) is None


LAST = [
    *(f"board.{name}" for name in ("refund", "claim", "reclaim", "evict", "withdraw", "withdraw_burned")),
    *(f"court.{name}" for name in ("settle", "timeout", "silence", "close", "free", "cancel_reservation")),
    *(f"availability.{name}" for name in ("close_demand", "expire")),
]


def test_every_token_comes_back_when_all_has_ended() -> None:
    """I-1 at the end: nothing is left with the board that nobody can fetch."""
    driver = Driver(World(), Random(12))
    while driver.calls < 400:
        driver.step()
    world = driver.world
    for _ in range(60):
        driver.wait()
        while driver.duty():
            pass
    world.wait(world.now + 10**6)
    for name in LAST * 40:
        while driver.sensible(name):
            pass
    for (who, dispute), known in list(world.ghost.court.reserved.items()):
        if not known.opened:
            world.call(Call(who, "court", "cancel_reservation", (dispute,)))
    while driver.sensible("board.withdraw"):
        pass
    assert world.ghost.token.balance[world.ghost.at.board] == 0
