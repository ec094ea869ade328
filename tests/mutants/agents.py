"""Mutants of the honest solver and defence."""

from __future__ import annotations

from typing import Final

from tests.mutants.workshop import Mutant

_SOLVER: Final = "challenger/solver.py"
_DEFENCE: Final = "prover/defence.py"


def _mutant(name: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(name=name, file=file, old=old, new=new, test=f"tests/unit/{test}")


AGENTS: Final = (
    _mutant(
        "the watcher gives up a second before the deadline",
        _SOLVER,
        "view.now() <= update.deadline:",
        "view.now() < update.deadline:",
        "test_game_clocks.py::test_every_move_is_in_time_at_its_last_moment_and_late_after_it",
    ),
    _mutant(
        "the state after the step is shown as the one before",
        _SOLVER,
        "before=committed.node(0, step - 1)",
        "before=committed.node(0, step)",
        "test_game_leaves.py::test_a_lie_is_convicted_by_its_leaf",
    ),
    _mutant(
        "the last difference is selected",
        _SOLVER,
        "in enumerate(zip(theirs, mine, strict=True)):",
        "in reversed(list(enumerate(zip(theirs, mine, strict=True)))):",
        "test_game_leaves.py::test_a_lie_is_convicted_by_its_leaf",
    ),
    _mutant(
        "disputes of void updates are forgotten",
        _SOLVER,
        "update.status in (UpdateStatus.FALLEN, UpdateStatus.VOID)",
        "update.status == UpdateStatus.FALLEN",
        "test_game_many.py::test_a_dispute_of_a_void_update_closes_with_its_bond",
    ),
    _mutant(
        "silence is not called",
        _SOLVER,
        "if branch.turn == Turn.DEFENDER_LATE:",
        "if branch.turn == Turn.WAITING:",
        "test_game_clocks.py::test_a_liar_who_falls_silent_after_any_number_of_moves_falls",
    ),
    _mutant(
        "long folds are proven whole",
        _SOLVER,
        "if not within or node.terms <= range_length(node, geometry.range_log2):",
        "if node.terms:",
        "test_game_leaves.py::test_a_lie_is_convicted_by_its_leaf",
    ),
    _mutant(
        "a lost dispute is tried for ever",
        _SOLVER,
        "losses <= RETRIES",
        "losses <= 10**6",
        "test_game_moments.py::test_a_dispute_that_was_lost_is_tried_once_more_and_no_more",
    ),
    _mutant(
        "the trainer does not post at the last moment",
        _DEFENCE,
        "if view.now() > here.ends_at:",
        "if view.now() >= here.ends_at:",
        "test_game_moments.py::test_a_defender_commits_at_the_last_moment_and_not_after_it",
    ),
    _mutant(
        "late challengers are left alone",
        _DEFENCE,
        "elif branch.turn == Turn.CHALLENGER_LATE:",
        "elif branch.turn == Turn.CLOSED:",
        "test_game_clocks.py::test_a_challenger_who_falls_silent_after_any_number_of_moves_loses",
    ),
    _mutant(
        "one defence bond more than was allowed",
        _DEFENCE,
        "held(view, me) + len(bonded) >= me.bonds",
        "held(view, me) + len(bonded) > me.bonds",
        "test_guard_agent.py::test_no_more_is_held_in_bonds_than_is_allowed",
    ),
)
