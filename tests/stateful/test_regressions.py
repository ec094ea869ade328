"""What the state machine found once, by name."""

from __future__ import annotations

from random import Random

import pytest

from tests.stateful.calls import REQUESTER, Call
from tests.stateful.driver import Driver
from tests.stateful.ghost_base import Refused
from tests.stateful.ghost_terms import TERMS
from tests.stateful.world import World


@pytest.mark.parametrize(
    ("deposit", "reason"), [(149_994, "board: lease deposit too small"), (149_995, None)]
)
def test_what_is_kept_is_rounded_down(deposit: int, reason: str | None) -> None:
    """M-2 said b - b * burn_bps / 10000, the board computes b * (10000 - burn_bps) / 10000: one unit less."""
    world = World()
    named = dict(zip(TERMS, Driver(world, Random(1)).board.terms(REQUESTER), strict=True))
    bonds = dict.fromkeys(("update_bond", "challenge_bond", "defence_bond", "demand_fee"), 10**10)
    named |= {"burn_bps": 3333, "tip": 100_001, "lease_deposit": deposit, **bonds}
    outcome = world.call(Call(REQUESTER, "board", "open_job", (tuple(named.values()),)))
    assert (outcome.args[0] if isinstance(outcome, Refused) else None) == reason
