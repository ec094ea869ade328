"""A few hundred of the same calls on py-evm, which is the EVM that gavel ships."""

from __future__ import annotations

from random import Random

from tests.stateful.driver import Driver
from tests.stateful.world import START, World
from tests.support.gas_evm import GasEvm

CALLS = 300


def test_py_evm_agrees_with_the_ghost_too() -> None:
    world = World(GasEvm(timestamp=START), every=10)  # a view takes as long as a call here
    driver = Driver(world, Random(3))
    while driver.calls < CALLS:
        driver.step()
    world.compare()
    assert sum(world.tally.succeeded.values()) > 0.6 * CALLS
