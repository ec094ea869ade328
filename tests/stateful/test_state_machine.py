"""20,000 calls by many parties on contracts and ghost, chosen by Hypothesis; compared after every call."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful import counts
from tests.stateful.driver import Driver
from tests.stateful.machine import Machine, state_changing
from tests.stateful.world import Tally, World

CALLS = 20_000
LONG = os.environ.get("GAVEL_PROFILE") == "long"
"""Making a failure smaller takes minutes: it is for whoever looks into it."""


@pytest.fixture(scope="module")
def played() -> Tally:
    quick = settings(
        max_examples=50,
        stateful_step_count=40,
        derandomize=True,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if LONG else [])],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=quick)
    return Machine.total


def test_there_were_as_many_calls_as_promised(played: Tally) -> None:
    print(f"{sum(played.made.values())} calls, {sum(played.succeeded.values())} successes")
    assert sum(played.made.values()) >= CALLS


def test_most_calls_of_every_function_succeeded(played: Tally) -> None:
    assert counts.weak(played, list(state_changing(World()))) == {}


def test_every_function_for_contracts_was_called_by_its_contract(played: Tally) -> None:
    missed = {
        name: events
        for name, events in counts.WITHIN.items()
        if not any(played.events[event] for event in events)
    }
    assert missed == {}


def test_no_state_changing_function_is_forgotten() -> None:
    assert set(state_changing(World())) == {*Driver.FUNCTIONS, *counts.FOR_CONTRACTS}


def test_refusals_were_met_for_many_reasons_and_mostly_for_one_at_a_time(played: Tally) -> None:
    met = counts.by_reason(played)
    print("never met:", counts.unreached(played))
    assert len(met) >= 80
    assert played.single > 0.7 * sum(met.values())
