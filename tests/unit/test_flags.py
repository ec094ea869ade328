"""What the certificates leave open: counts, the table of them, and a job that leaves everything open."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import flags, golden
from benchmarks.overhead import Certified
from benchmarks.zoo.hostile import hostile, ordinary, pattern
from prover.engine.prepare import executor_of_job
from prover.engine.steps import TIER2, TIER3

FIGURES = json.loads(flags.PATH.read_text())


def test_the_table_is_made_of_the_figures() -> None:
    """Stale? ``python -m benchmarks.flags --table``; figures that are stale: without ``--table``."""
    assert flags.TABLE.read_text() == flags.table(FIGURES)
    assert list(FIGURES["models"]) == golden.names()


def test_elements_are_those_of_the_program_and_few_are_left_open() -> None:
    name, steps = "lenet5-average", 3
    folder = golden.golden_job(name)
    found = flags.rates(folder, executor_of_job(folder), steps)
    for key, row in found["classes"].items():
        recorded = FIGURES["models"][name]["classes"][key]
        assert row["elements"] * golden.steps_of(name) == recorded["elements"] * steps, "stale figures"
        for tier in ("tier2", "tier3", "reference"):
            assert row[tier] == sum(node[tier] for node in found["nodes"] if node["class"] == key)
            assert row[tier] <= 0.02 * row["elements"]
    # The first layer sums pixels k / 16 and leaves exact ties to TwoSum: the counters count.
    assert found["classes"]["products"]["tier2"] > 0


@pytest.mark.parametrize("count", [16, 64, 512])
def test_a_hostile_sum_is_just_above_a_tie(count: int) -> None:
    numbers = [int(x) for x in pattern(count).astype(np.float64) * 2.0**80]
    tie = (1 << 80) + (1 << 56)
    assert sum(numbers) - tie == count - 2
    assert all(numbers)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_product_of_the_hostile_job_needs_the_integer_accumulator(threads: int) -> None:
    certified = Certified(hostile(width=64, batch=16), threads)
    own = flags.class_of(certified.executor)
    products = [node for node, name in own.items() if name == "products"]
    assert len(products) == 2  # outputs, and the weights' gradient
    for step in range(2):  # the first step does not disarm it
        certified.step()
        for node in products:
            extent = certified.program.nodes[node].extent
            assert certified.executor.flags[node].tolist()[: TIER3 + 1] == [extent * (step + 1)] * 2
    above = np.float32(1.0 + 2.0**-23).view(np.uint32)
    outputs = certified.executor.run(certified.state, 2).outputs
    for node in products:
        assert (outputs[node] == above).all()  # a tie alone would round to 1


def test_the_ordinary_job_of_the_same_shapes_needs_it_nowhere() -> None:
    certified = Certified(ordinary(width=64, batch=16), 1)
    certified.step()
    left = certified.executor.flags.sum(axis=0)
    assert left[TIER3] == 0
    assert left[TIER2] < 100
    shapes = [node.extent for node in certified.program.nodes]
    assert shapes == [node.extent for node in Certified(hostile(width=64, batch=16), 1).program.nodes]
