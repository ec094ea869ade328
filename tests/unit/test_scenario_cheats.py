"""Cheats as data: each finds a place in any job that has one, and says what must decide there."""

from __future__ import annotations

import pytest

from gavel.jobs import make_executor
from gavel.scenarios.cheats import CHEATS, cheat
from gavel.scenarios.conduct import Conduct, garbage
from gavel.scenarios.decision import Leaf
from gavel.scenarios.job import STEPS, small_job
from protocol.errors import UsageError
from protocol.game.trace import HONEST, Hooks
from prover.engine.trace import trace_of_job

LIES = [name for name, made in CHEATS.items() if made.conduct == Conduct()]


def roots(hooks: Hooks = HONEST) -> list[bytes]:
    folder = small_job()
    trace = trace_of_job(make_executor(folder), folder, hooks=hooks)
    return [trace.state_root(step) for step in range(STEPS + 1)]


@pytest.mark.parametrize("step", [0, 4, 8, 11])
@pytest.mark.parametrize("name", LIES)
def test_a_lie_shows_from_its_step_on_until_its_segment_ends(name: str, step: int) -> None:
    honest = roots()
    for seed in range(3):
        lie = CHEATS[name].prepare(small_job(), step=step, seed=seed)
        told = roots(lie.hooks)
        assert told[: step + 1] == honest[: step + 1]
        if name == "vanishing":
            assert told == honest
            assert lie.decision is None
            continue
        end = (step // 3 + 1) * 3
        assert all(a != b for a, b in zip(told[step + 1 : end + 1], honest[step + 1 : end + 1], strict=True))
        assert lie.decision is not None
        assert (lie.decision.level, lie.decision.leaf) == CHEATS[name].decides
        assert lie.decision.step == step


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_the_same_whenever_it_is_asked_for(name: str) -> None:
    first, second = (CHEATS[name].prepare(small_job(), step=5, seed=2) for _ in range(2))
    assert first.decision == second.decision
    assert roots(first.hooks) == roots(second.hooks)


def test_a_detour_is_right_again_in_between() -> None:
    folder = small_job()
    lie = CHEATS["detour"].prepare(folder, step=4, seed=0)
    place = lie.decision
    assert place is not None
    assert place.node is not None
    assert place.index is not None
    executor = make_executor(folder)
    told = trace_of_job(executor, folder, hooks=lie.hooks).accumulators(4, place.node, place.index)
    honest = trace_of_job(executor, folder).accumulators(4, place.node, place.index)
    same = [a == b for a, b in zip(told, honest, strict=True)]
    assert same == [True, False, *[True] * (len(same) - 3), False]
    word = trace_of_job(executor, folder, hooks=lie.hooks).node_words(4, place.node)[place.index]
    assert told[-1].finish(1) == int(word)


def test_unknown_names_and_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="there is no cheat 'nonsense'; choose one of: partial-sum"):
        cheat("nonsense")
    for step in (-1, STEPS):
        with pytest.raises(UsageError, match="the job has no step"):
            CHEATS["softmax"].prepare(small_job(), step=step, seed=0)


def test_a_wrong_last_state_is_the_only_one_that_is_posted_wrong() -> None:
    conduct = CHEATS["last-state"].conduct
    right = [bytes([i]) * 32 for i in range(3)]
    assert conduct.posted(right) == [*right[:2], garbage(right[2])]
    assert Conduct().posted(right) == right


def test_every_cheat_says_what_it_changes() -> None:
    hooks = {"output", "next_state", "output, accumulators"}
    for name, made in CHEATS.items():
        assert made.name == name
        assert made.text
        assert (made.changes in hooks) == (made.conduct == Conduct())
        if made.decides and made.conduct == Conduct():
            assert made.decides[1] not in (Leaf.SILENCE, Leaf.NO_COMMITMENT, Leaf.TIMEOUT)
