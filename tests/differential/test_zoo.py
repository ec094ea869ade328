"""The models that people train: each captured unchanged, close to eager PyTorch, the same bits in engine and
reference, and judged by the contract in its most characteristic node.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage import PATH, model_row
from benchmarks.zoo import TINY
from protocol.program.address import n_ranges
from protocol.program.lint import check_program, check_values
from prover.capture import check_against_eager
from tests.support.scenes import Challenge, Scene
from tests.support.verifier import VerifierBench
from tests.support.zoo import STEPS, played

MOST_TERMS = 2_000
"""The longest fold that the reference is asked for; longer ones are sampled in the other models."""


@pytest.fixture(scope="module")
def bench() -> VerifierBench:
    return VerifierBench()


@pytest.mark.parametrize("name", TINY)
def test_loss_gradients_and_first_update_are_those_of_eager_pytorch(name: str) -> None:
    run = played(name)
    setup = run.entry.setup
    check_program(run.captured.program)
    check_values(run.captured.program, inputs=run.captured.inputs, state=run.captured.state)
    assert STEPS > 1
    check_against_eager(
        run.captured,
        module=setup.module,
        loss=setup.loss,
        optimizer=setup.optimizer,
        scheduler=setup.scheduler,
        accumulate=setup.accumulate,
        after_backward=setup.after_backward,
        run_step=lambda state, step: run.executor.run(state, step).outputs,
    )
    trainable = {name for name, p in setup.module.named_parameters() if p.requires_grad}
    assert set(run.captured.gradients) == trainable
    changed = sum(not np.array_equal(a, b) for a, b in zip(run.states[0], run.states[2], strict=True))
    assert changed >= len(trainable)
    row = model_row(name, run.entry, run.captured)
    assert row in PATH.read_text().splitlines(), "specs/coverage.md is stale: python -m benchmarks.coverage"


@pytest.mark.parametrize("name", TINY)
def test_engine_and_reference_write_the_same_words(name: str) -> None:
    run = played(name)
    rng = np.random.default_rng(3)
    asked = 0
    for number in run.samples().values():
        node = run.captured.program.nodes[number]
        if node.terms > MOST_TERMS:
            continue
        for word in {0, node.extent - 1, int(rng.integers(node.extent))}:
            wanted = run.interpreter.word(1, number, word, state=run.states[1], nodes=run.nodes[1])
            assert int(run.nodes[1][number][word]) == wanted, (run.captured.program.labels[number], word)
            asked += 1
    assert asked > 40


def scene(name: str) -> Scene:
    """The second step of a training."""
    run = played(name)
    return Scene(
        descriptors=[node.encode() for node in run.captured.program.nodes],
        nodes=run.nodes[1],
        state=run.states[1],
        inputs=run.captured.inputs,
        after=run.states[2],
        tensor_height=run.interpreter.tensor_height,
        input_height=run.interpreter.input_height,
        range_log2=6,
        seed=run.interpreter.seed,
        n_rows=run.interpreter.n_rows,
        batch=run.entry.batch,
        step=1,
    )


@pytest.mark.parametrize("name", TINY)
def test_a_wrong_word_of_the_characteristic_node_is_convicted_by_the_contract(
    bench: VerifierBench, name: str
) -> None:
    run, at = played(name), scene(name)
    number = run.characteristic()
    node = run.captured.program.nodes[number]
    word = int(np.argmax(run.nodes[1][number] != 0))  # one whose value is not nothing
    right = int(run.nodes[1][number][word])

    def judged(challenge: Challenge) -> bool | str:
        return bench.both(challenge.context, challenge.index, challenge.witness())

    ranges = n_ranges(node, run.interpreter.range_log2)
    if ranges == 1:
        assert judged(at.word(number, word)) is False
        assert judged(at.word(number, word, committed=right ^ 1)) is True
        return
    totals = run.interpreter.accumulators(1, number, word, state=run.states[1], nodes=run.nodes[1])
    for place in {1, ranges}:
        assert judged(at.range(number, word, place, totals)) is False
        assert judged(at.range(number, word, place, totals, committed=b"\7" * 32)) is True
