"""The replay trace: the same values and roots as the reference gives, and one hook per way to cheat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import state_tree, tensor_root
from protocol.errors import UsageError
from protocol.game.toy import ToyTrace
from protocol.game.trace import HONEST, Hooks, Trace
from protocol.numerics.accumulator import Accumulator
from protocol.program.descriptor import CARRIED
from protocol.program.interpreter import tensor_height
from prover.engine.executor import Executor
from prover.engine.trace import Recall, ReplayTrace
from tests.support import programs
from tests.support.game import one_word
from tests.support.programs import Example

STEPS, STRIDE = 8, 3
LAYER2, LOSS = 4, 17


def trace_of(
    example: Example,
    hooks: Hooks = HONEST,
    first_step: int = 0,
    state: Sequence[Words] = (),
    recall: Recall = lambda _: None,
) -> ReplayTrace:
    executor = Executor(
        example.program,
        inputs=example.inputs,
        seed=example.seed,
        n_rows=example.n_rows,
        batch=example.batch,
        tensor_height=tensor_height(example.program),
    )
    return ReplayTrace(
        executor,
        state=state or example.state,
        first_step=first_step,
        stride=STRIDE,
        n_steps=STEPS,
        range_log2=example.range_log2,
        hooks=hooks,
        recall=recall,
    )


def roots_of(arrays: Sequence[Words], height: int) -> list[bytes]:
    return [tensor_root(words, height) for words in arrays]


def same(a: Sequence[Words], b: Sequence[Words]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_values_and_roots_are_the_reference_s() -> None:
    example = programs.classifier()
    interpreter, height = example.interpreter(), tensor_height(example.program)
    states, outputs = [list(example.state)], []
    for step in range(STEPS):
        nodes, after = interpreter.run_step(states[-1], step)
        outputs.append(nodes)
        states.append(after)
    trace: Trace = trace_of(example)
    # Out of order, so that caches are filled, dropped and filled again.
    for step in (5, 8, 0, 3, 1, 7, 2, 6, 4, 8, 5):
        assert same(trace.state_words(step), states[step])
        assert trace.state_root(step) == state_tree(roots_of(states[step], height)).root
    for step in (6, 0, 7, 2):
        for node, wanted in enumerate(outputs[step]):
            assert np.array_equal(trace.node_words(step, node), wanted)
        after_root = state_tree(roots_of(states[step + 1], height)).root
        assert list(trace.node_roots(step)) == [*roots_of(outputs[step], height), after_root]
        wanted_folds = interpreter.accumulators(step, LAYER2, 3, state=states[step], nodes=outputs[step])
        assert list(trace.accumulators(step, LAYER2, 3)) == wanted_folds
        assert len(wanted_folds) > 2
    assert np.array_equal(trace.input_words(1), example.inputs[1])


def test_a_trace_starts_from_a_checkpoint_and_takes_over_known_states() -> None:
    example = programs.classifier()
    whole = trace_of(example)
    later = trace_of(example, first_step=3, state=whole.state_words(3))
    assert same(later.state_words(7), whole.state_words(7))
    with pytest.raises(UsageError, match="outside of what this trace knows"):
        later.state_words(2)
    with pytest.raises(UsageError, match="does not start a segment"):
        trace_of(example, first_step=2)
    with pytest.raises(UsageError, match="outside"):
        whole.state_words(STEPS + 1)
    with pytest.raises(UsageError, match="no step 8"):
        whole.node_words(STEPS, 0)
    known = trace_of(example)
    marked = [words ^ np.uint32(4) for words in whole.state_words(6)]
    known.remember(6, marked)
    assert same(known.state_words(6), marked)
    assert not same(known.state_words(7), whole.state_words(7))
    with pytest.raises(UsageError, match="does not start a segment"):
        known.remember(4, marked)


def test_kept_states_are_few_and_stored_ones_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    example = programs.classifier()
    monkeypatch.setattr("prover.engine.trace.STATE_BYTES", 1)
    whole = trace_of(example)
    wanted = [whole.state_root(step) for step in range(STEPS + 1)]
    for step in (7, 4, 2, 8, 1, 5):
        assert whole.state_root(step) == wanted[step]
        assert same(whole.state_words(step), trace_of(example).state_words(step))
    assert len(whole._kept) + len(whole._recent) + len(whole._handed) <= 7
    asked: list[int] = []

    def recall(step: int) -> Sequence[Words] | None:
        asked.append(step)
        return whole.state_words(3) if step == 3 else None

    stored = trace_of(example, recall=recall)
    assert stored.nearest(8) == 3
    assert asked == [6, 3]
    assert stored.nearest(2) == 0
    ran: list[int] = []
    run = stored._run
    stored._run = lambda state, step, **k: (ran.append(step), run(state, step, **k))[1]  # type: ignore
    assert stored.state_root(7) == wanted[7]
    assert ran == [3, 4, 5, 6]


def _wrong_slot(step: int, _before: list[Words], after: list[Words]) -> list[Words]:
    return [*after[:2], after[2] + np.uint32(1), *after[3:]] if step == 4 else after


def _wrong_middle(_step: int, _node: int, _word: int, accumulators: list[Accumulator]) -> list[Accumulator]:
    middle = len(accumulators) // 2
    wrong = Accumulator(0, accumulators[middle].value + 1)
    return [*accumulators[:middle], wrong, *accumulators[middle + 1 :]]


def test_a_wrong_output_shows_from_its_node_on() -> None:
    example = programs.classifier()
    honest, cheat = trace_of(example), trace_of(example, one_word(4, LAYER2, 0))
    assert cheat.state_root(4) == honest.state_root(4)
    pairs = zip(honest.node_roots(4), cheat.node_roots(4), strict=True)
    assert next(i for i, (a, b) in enumerate(pairs) if a != b) == LAYER2
    assert cheat.state_root(5) != honest.state_root(5)
    assert cheat.state_root(6) != honest.state_root(6)
    # Later nodes are evaluated from the changed words.
    read_by_softmax = example.interpreter().node_words(
        4, 6, state=cheat.state_words(4), nodes=[cheat.node_words(4, node) for node in range(6)]
    )
    assert np.array_equal(cheat.node_words(4, 6), read_by_softmax)


def test_a_wrong_link_shows_in_the_state_alone() -> None:
    example = programs.classifier()
    honest, cheat = trace_of(example), trace_of(example, Hooks(next_state=_wrong_slot))
    assert list(cheat.node_roots(4))[:-1] == list(honest.node_roots(4))[:-1]
    assert cheat.node_roots(4)[-1] == cheat.state_root(5) != honest.state_root(5)
    assert cheat.state_words(8)[2][0] == honest.state_words(8)[2][0] + 1


@pytest.mark.parametrize("size", [0, 70, 200])
def test_false_padding_is_committed_and_not_read(size: int) -> None:
    """An array of another length, in a node that is linked to a slot, and one slot too many."""
    example = programs.classifier()
    node, slot = next((link, s) for s, link in enumerate(example.program.links) if link != CARRIED)

    def output(step: int, number: int, words: Words) -> Words:
        longer = np.append(words, np.full(200, 7, np.uint32))[:size]
        return longer if (step, number) == (4, node) else words

    def next_state(step: int, before: list[Words], after: list[Words]) -> list[Words]:
        if step == 6:
            assert same(before, cheat.state_words(6))
        return [*after, np.ones(1, np.uint32)] if step == 5 else after

    hooks = Hooks(output=output, next_state=next_state)
    cheat = trace_of(example, hooks)
    toy = ToyTrace(example.interpreter(), example.state, hooks=hooks)
    for step in range(STEPS):
        assert list(cheat.node_roots(step)) == list(toy.node_roots(step))
    assert cheat.state_words(5)[slot].size == cheat.node_words(4, node).size == size
    assert len(cheat.state_words(6)) == len(cheat.state_words(7)) + 1
    honest = trace_of(example)
    assert cheat.state_root(5) != honest.state_root(5)
    # What lies past the extent is read by nobody.
    assert (cheat.state_root(8) == honest.state_root(8)) == (size >= honest.node_words(4, node).size)


def test_a_skipped_step_leaves_the_state_as_it_was() -> None:
    example = programs.classifier()
    skip = Hooks(next_state=lambda step, before, after: before if step == 4 else after)
    cheat, honest = trace_of(example, skip), trace_of(example)
    assert cheat.state_root(5) == cheat.state_root(4) == honest.state_root(4) != honest.state_root(5)


def test_a_wrong_accumulator_shows_in_the_fold_alone() -> None:
    example = programs.classifier()
    honest, cheat = trace_of(example), trace_of(example, Hooks(accumulators=_wrong_middle))
    assert list(cheat.node_roots(4)) == list(honest.node_roots(4))
    folds = zip(honest.accumulators(4, LAYER2, 0), cheat.accumulators(4, LAYER2, 0), strict=True)
    assert sum(a != b for a, b in folds) == 1
