"""The ghost is independent, and what it watches for would be seen."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.stateful import rules
from tests.stateful import world as world_module
from tests.stateful.calls import CHEAT, REQUESTER, TRAINER, WATCHER, Call
from tests.stateful.driver import Driver
from tests.stateful.ghost_base import Refused
from tests.stateful.ghost_records import LOST, OPEN
from tests.stateful.world import DivergedError, World

HERE = Path(__file__).parent
ALLOWED = {"collections", "dataclasses", "fractions", "hashlib", "math", "re", "typing", "__future__"}


@pytest.mark.parametrize("path", sorted(HERE.glob("ghost*.py")), ids=lambda path: path.stem)
def test_the_ghost_knows_nothing_of_the_project(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            name = node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
            names = [f"{name}.{alias.name}" for alias in node.names]
            ghosts = name.startswith("tests.stateful.ghost") or all(
                "tests.stateful.ghost" in n for n in names
            )
            assert ghosts or name.split(".")[0] in ALLOWED, f"{path.name} imports {name}"


def test_modules_are_one_idea_long() -> None:
    assert not [p.name for p in HERE.glob("*.py") if len(p.read_text().splitlines()) > 400]


def played(calls: int = 250, seed: int = 5) -> Driver:
    """A world in which something has happened."""
    driver = Driver(World(), Random(seed))
    while driver.calls < calls:
        driver.step()
    return driver


# ---------------------------------------------------------------- a ghost that errs is noticed


def _credit(world: World) -> None:
    world.ghost.board.credit[REQUESTER] += 1


def _deadline(world: World) -> None:
    next(iter(world.ghost.board.updates.values())).deadline += 1


def _claimant(world: World) -> None:
    next(iter(world.ghost.court.positions.values())).claimant = bytes(32)


def _reserve(world: World) -> None:
    for branch in world.ghost.court.branches.values():
        branch.defence_reserve += 1


@pytest.mark.parametrize("change", [_credit, _deadline, _claimant, _reserve], ids=lambda f: f.__name__[1:])
def test_a_difference_in_anything_shown_is_noticed(change: Callable[[World], None]) -> None:
    driver = played()
    driver.world.compare()
    change(driver.world)
    with pytest.raises(DivergedError):
        driver.world.compare()


def test_a_refusal_that_the_ghost_does_not_expect_is_noticed() -> None:
    world = World()
    world.ghost.board.credit[CHEAT] = 5
    with pytest.raises(DivergedError, match="spec allows it"):
        world.call(Call(CHEAT, "board", "withdraw"))


def test_a_success_that_the_ghost_does_not_expect_is_noticed() -> None:
    world = World()
    world.ghost.token.balance[CHEAT] = 0
    with pytest.raises(DivergedError, match="spec forbids"):
        world.call(Call(CHEAT, "token", "transfer", (REQUESTER, 5)))


def test_another_reason_than_the_specified_one_is_noticed() -> None:
    world = World()

    def other(*_: object) -> None:
        raise Refused("board: claimed")

    world.ghost.board.claim = other  # type: ignore[method-assign, assignment]
    with pytest.raises(DivergedError, match="spec forbids"):
        world.call(Call(CHEAT, "board", "claim", (bytes(32),)))


# ---------------------------------------------------------------- a broken rule is noticed


def _lost(driver: Driver) -> None:
    known = next(d for d in driver.world.ghost.court.disputes.values() if d.status == OPEN)
    known.challenger, known.status = WATCHER, LOST


def _fallen(driver: Driver) -> None:
    court = driver.world.ghost.court
    for candidate in court.candidates.values():
        candidate.fallen = True


def _right_falls(driver: Driver) -> None:
    for known in driver.world.ghost.board.updates.values():
        known.fallen = True


def _wrong_final(driver: Driver) -> None:
    for update, known in driver.world.ghost.board.updates.items():
        if driver.world.ghost.board.is_live(update):
            known.states[0] = bytes(32)
            known.open_disputes = known.open_demands = 0
    driver.world.ghost.board.now += 10**6


def _gap(driver: Driver) -> None:
    for job in driver.world.ghost.board.jobs.values():
        if job.chain:
            driver.world.ghost.board.updates[job.chain[0]].start = bytes(32)


def _poorer(driver: Driver) -> None:
    driver.world.ghost.token.balance[TRAINER] -= 10**14


def _vanished(driver: Driver) -> None:
    driver.world.ghost.board.credit[REQUESTER] += 1


def _crowd(driver: Driver) -> None:
    position = next(p for p in driver.world.ghost.court.positions.values() if p.candidates)
    position.candidates *= 1_024


def _named_twice(driver: Driver) -> None:
    ghost = driver.world.ghost
    ghost.board.jobs[next(iter(ghost.board.updates))] = next(iter(ghost.board.jobs.values()))


BROKEN = {
    "I-1": _vanished,
    "M-9": _poorer,
    "I-2": _gap,
    "I-4": _fallen,
    "I-5": _lost,
    "I-6": _right_falls,
    "I-7": _wrong_final,
    "I-8": _crowd,
    "I-9": _named_twice,
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_noticed(rule: str) -> None:
    driver = played()
    rules.RULES[rule](driver.world, driver.truth)
    BROKEN[rule](driver)
    with pytest.raises(rules.BrokenRuleError, match=rule):
        rules.RULES[rule](driver.world, driver.truth)


def test_what_is_final_and_open_is_noticed() -> None:
    driver = played()
    ghost = driver.world.ghost
    update = next(u for u in ghost.board.updates if ghost.board.is_live(u))
    known = ghost.board.updates[update]
    known.deadline = 0
    ghost.board.jobs[known.job].recorded = known.index + 1
    known.open_disputes = 1
    with pytest.raises(rules.BrokenRuleError, match="I-3"):
        rules.settled_only_when_final(driver.world, driver.truth)


def test_a_final_update_that_is_gone_is_noticed() -> None:
    driver = played()
    next(iter(driver.world.ghost.board.jobs.values())).recorded = 99
    with pytest.raises(rules.BrokenRuleError, match="U-2"):
        rules.recorded_stays(driver.world, driver.truth)


def test_events_in_another_order_than_the_specified_one_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "FOLLOWS", (("court.Demanded", "court.Opened"),))
    with pytest.raises(DivergedError, match="does not follow"):
        played()
