"""The state machine: Hypothesis chooses what happens, a driver carries it out.

The rules hold no bundles of Hypothesis. Jobs, updates, disputes, positions, candidates and demands are
known to the ghost, and what can be done with one depends on many others (a move names a dispute and a
candidate at a position that it demanded, whose list is revealed), so almost all pairs of two bundles would
be refused. A rule draws a function, or a number from which the driver's choices follow, and the driver
looks up what there is. A failure is made smaller as usual: by fewer rules and smaller numbers. Each rule
lets the driver play on for a while first: in many of its examples Hypothesis leaves out most rules, and no
dispute would get anywhere.
"""

from __future__ import annotations

from random import Random
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.stateful.driver import Driver
from tests.stateful.world import Tally, World

numbers = st.integers(0, 2**32 - 1)
counts = st.integers(0, 30)


class Machine(RuleBasedStateMachine):
    """Contracts and ghost under any sequence of calls.

    Attributes:
        total: counts the calls of all worlds.
    """

    total: ClassVar[Tally] = Tally()

    @initialize(seed=numbers)
    def deploy(self, seed: int) -> None:
        self.world = World()
        self.driver = Driver(self.world, Random(seed))

    def _played(self, seed: int, steps: int) -> Driver:
        """Everybody does something, mostly sensible, a few times; what follows does so from there."""
        self.driver.random.seed(seed)
        for _ in range(steps):
            self.driver.step()
        return self.driver

    @rule(seed=numbers, steps=counts)
    def play(self, seed: int, steps: int) -> None:
        """Nothing else."""
        self._played(seed, steps)

    @rule(seed=numbers, steps=counts, function=st.sampled_from(Driver.FUNCTIONS))
    def sensible(self, seed: int, steps: int, function: str) -> None:
        """A call of one function, if there is an occasion."""
        self._played(seed, steps).sensible(function)

    @rule(seed=numbers, steps=counts, function=st.sampled_from(Driver.FUNCTIONS))
    def spoiled(self, seed: int, steps: int, function: str) -> None:
        """A call of one function with one thing wrong."""
        self._played(seed, steps).spoiled(function)

    @rule(seed=numbers, steps=counts)
    def stray(self, seed: int, steps: int) -> None:
        """A call about anything that exists."""
        self._played(seed, steps).stray()

    @rule(seed=numbers, steps=counts)
    def wait(self, seed: int, steps: int) -> None:
        """Time passes to a moment that matters, the one before or the one after."""
        self._played(seed, steps).wait()

    @rule(seed=numbers, steps=counts)
    def duty(self, seed: int, steps: int) -> None:
        """One of the honest does something that it has to do."""
        self._played(seed, steps).duty()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.compare()
            self.total.add(self.world.tally)


def state_changing(world: World) -> dict[str, Any]:
    """Every external function that can change state, of every contract of a deployment: name to ABI entry."""
    return {
        f"{name}.{entry['name']}": entry
        for name, handle in world.handles.items()
        for entry in handle.artifact.abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
