"""Every game that the model's own tests play, with the contracts following move by move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.game import NEW_MODEL
from tests.support.lockstep import Lockstep
from tests.unit.test_game_board import *  # noqa: F403
from tests.unit.test_game_clocks import *  # noqa: F403
from tests.unit.test_game_happy import *  # noqa: F403
from tests.unit.test_game_leaves import *  # noqa: F403
from tests.unit.test_game_many import *  # noqa: F403
from tests.unit.test_game_steered import *  # noqa: F403


@pytest.fixture(autouse=True)
def _contracts_follow() -> Iterator[None]:
    token = NEW_MODEL.set(Lockstep)
    yield
    NEW_MODEL.reset(token)
