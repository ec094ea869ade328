"""The executor on whole programs: several steps against the reference, threads, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from protocol.errors import UnsupportedError, UsageError
from protocol.program.interpreter import tensor_height
from prover.engine.executor import Executor
from prover.engine.trace import replay_segment
from tests.support import programs
from tests.support.programs import Example

EXAMPLES = [
    programs.counter(slots=3, start=2**32 - 2),
    programs.classifier(),
    programs.classifier(hidden=200),
]


def executor_of(example: Example, threads: int = 1) -> Executor:
    return Executor(
        example.program,
        inputs=example.inputs,
        seed=example.seed,
        n_rows=example.n_rows,
        batch=example.batch,
        tensor_height=tensor_height(example.program),
        threads=threads,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=["counter", "classifier", "wide"])
@pytest.mark.parametrize("threads", [1, 2])
def test_steps_are_those_of_the_reference(example: Example, threads: int) -> None:
    executor, interpreter = executor_of(example, threads), example.interpreter()
    fast, slow = list(example.state), list(example.state)
    before = [words.copy() for words in fast]
    for step in range(5):
        result = executor.run(fast, step)
        outputs, slow = interpreter.run_step(slow, step)
        for node, (got, wanted) in enumerate(zip(result.outputs, outputs, strict=True)):
            assert np.array_equal(got, wanted), f"step {step}, node {node}: {example.program.labels[node]}"
        for got, wanted in zip(result.next_state, slow, strict=True):
            assert np.array_equal(got, wanted)
        assert np.float32(result.loss).view(np.uint32) == outputs[example.program.loss][0]
        fast = result.next_state
    for words, unchanged in zip(example.state, before, strict=True):
        assert np.array_equal(words, unchanged)


def test_freed_outputs_change_nothing_and_losses_are_reported() -> None:
    example = programs.classifier()
    executor = executor_of(example)
    state, wanted = list(example.state), []
    for step in range(3, 7):
        result = executor.run(state, step)
        state = result.next_state
        wanted.append(result.loss)
    seen: list[tuple[int, float]] = []
    last, losses = replay_segment(
        executor, example.state, 3, 4, progress=lambda step, loss: seen.append((step, loss))
    )
    assert losses == wanted
    assert seen == list(zip(range(3, 7), wanted, strict=True))
    for got, expected in zip(last, state, strict=True):
        assert np.array_equal(got, expected)


def test_a_hook_changes_what_later_nodes_read() -> None:
    example = programs.classifier()
    executor = executor_of(example)
    honest = executor.run(example.state, 0).outputs

    def corrupt(node: int, words: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return words ^ np.uint32(1) if node == 4 else words

    changed = executor.run(example.state, 0, hook=corrupt).outputs
    assert np.array_equal(changed[3], honest[3])
    assert np.array_equal(changed[4], honest[4] ^ np.uint32(1))
    wanted = example.interpreter().node_words(0, 6, state=example.state, nodes=changed)
    assert np.array_equal(changed[6], wanted)


def test_read_only_and_strided_words_are_taken() -> None:
    example = programs.classifier()
    executor = executor_of(example)
    frozen = []
    for words in example.state:
        twice = np.repeat(words, 2)[::2]
        twice.flags.writeable = False
        frozen.append(twice)
    one, two = executor.run(frozen, 0), executor.run(example.state, 0)
    for a, b in zip(one.next_state, two.next_state, strict=True):
        assert np.array_equal(a, b)


def test_what_does_not_fit_is_refused() -> None:
    example = programs.classifier()
    executor = executor_of(example)
    with pytest.raises(UsageError, match="does not fit the program's slots"):
        executor.run(example.state[:2], 0)
    with pytest.raises(UsageError, match="flat uint32"):
        executor.run([words.astype(np.int64) for words in example.state], 0)
    with pytest.raises(UsageError, match="every input"):
        Executor(
            example.program,
            inputs=example.inputs[1:],
            seed=example.seed,
            n_rows=7,
            batch=2,
            tensor_height=2,
        )


def test_flush_to_zero_is_refused() -> None:
    example = programs.classifier()
    executor = executor_of(example)
    assert torch.set_flush_denormal(True), "this processor cannot flush subnormals, so the test shows nothing"
    try:
        with pytest.raises(UnsupportedError, match="flushes subnormal numbers"):
            executor.run(example.state, 0)
    finally:
        torch.set_flush_denormal(False)
    executor.run(example.state, 0)
