"""Every game that the model's own tests play, with the contracts following move by move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from protocol.game import moves as m
from tests.property.test_game_random import *  # noqa: F403
from tests.support.game import NEW_MODEL, TRAINER, WATCHER, challenger, defender, one_word, table
from tests.support.lockstep import DivergedError, Lockstep
from tests.unit.test_attacks_board import *  # noqa: F403
from tests.unit.test_game_board import *  # noqa: F403
from tests.unit.test_game_clocks import *  # noqa: F403
from tests.unit.test_game_happy import *  # noqa: F403
from tests.unit.test_game_leaves import *  # noqa: F403
from tests.unit.test_game_many import *  # noqa: F403
from tests.unit.test_game_steered import *  # noqa: F403


@pytest.fixture(scope="module", autouse=True)
def _contracts_follow() -> Iterator[None]:
    token = NEW_MODEL.set(Lockstep)
    yield
    NEW_MODEL.reset(token)


def _moved(model: Lockstep) -> None:
    next(iter(model.court.branches.values())).cursor = replace(
        next(iter(model.court.branches.values())).cursor, index=7
    )


def _paid(model: Lockstep) -> None:
    model.board.credits[WATCHER] = 1


def _later(model: Lockstep) -> None:
    next(iter(model.court.positions.values())).ends_at += 1


def _forgotten(model: Lockstep) -> None:
    model.court.revealed.popitem()


@pytest.mark.parametrize("change", [_moved, _paid, _later, _forgotten])
def test_a_difference_is_noticed(change: Callable[[Lockstep], None]) -> None:
    at = table()
    lie = at.openings(one_word(3, 2, 65))
    at.post(lie, segments=1)
    at.play([challenger(at, at.truth), defender(at, lie)], until=at.model.now())
    assert isinstance(at.model, Lockstep)
    at.model.compare()
    change(at.model)
    with pytest.raises(DivergedError):
        at.model.compare()


def test_a_move_that_only_one_side_accepts_is_noticed() -> None:
    at = table()
    at.model.board.wallets[TRAINER] = 0
    with pytest.raises(DivergedError, match=r"Lease of .*: model 'board: token transfer failed'"):
        at.send(TRAINER, m.Lease(job=at.job.job_id))
