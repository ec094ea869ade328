"""Every scenario, played by the shipped agents on an embedded chain: it ends where it was steered to, and the
right parties pay. The table of specs/outcomes.md is what these runs gave.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from gavel.scenarios.cheats import CHEATS, DEFAULT
from gavel.scenarios.decision import Leaf
from gavel.scenarios.outcome import Outcome
from gavel.scenarios.outcome import outcome as read_outcome
from gavel.scenarios.plays import ACCUSING, CHEATING, ENDING, STEP, all_scenarios, play
from gavel.scenarios.scenario import Scenario
from gavel.scenarios.stage import REQUESTER, SECOND, TRAINER, WATCHER, Stage, new_chain
from gavel.scenarios.table import table
from protocol.errors import MismatchError, UsageError
from protocol.game.ids import Kind
from protocol.job import load_preset

TABLE = Path(__file__).resolve().parents[2] / "specs" / "outcomes.md"
MONEY = load_preset("minimal").money
REFUND = MONEY.gas_price * MONEY.scheduled_gas
SEGMENTS = 4
POSTED = 2
"""Segments up to that of STEP."""

CHEATS_AND_COPY = [name for name, s in all_scenarios().items() if s.part == CHEATING and name != "vanishing"]
ACCUSED = [name for name, s in all_scenarios().items() if s.part == ACCUSING and name != "stall-unopened"]


@cache
def played(name: str) -> Outcome:
    """Each scenario is played once for all tests."""
    return play(name)


def after_burning(bond: int) -> int:
    return bond - bond * MONEY.burn_bps // 10_000


def by_clock(outcome: Outcome) -> bool:
    return outcome.decision is not None and not outcome.decision.proven


# -------------------------------------------------------------------- cheats


@pytest.mark.parametrize("name", CHEATS_AND_COPY)
def test_a_cheat_falls_at_its_leaf_and_pays(name: str) -> None:
    outcome = played(name)
    decided = outcome.decision
    assert decided is not None
    cheat = CHEATS.get(name, CHEATS[DEFAULT])
    assert (decided.level, decided.leaf) == cheat.decides
    # A clock decides where the cheat is silence, or has nothing to say, and nowhere else.
    quiet = cheat.conduct.silent_at or cheat.conduct.garbage_at or cheat.conduct.posts_wrong_last
    assert decided.proven == (not quiet)
    assert decided.step == (None if decided.level == Kind.STEPS else STEP)
    assert outcome.updates == ("fallen",)
    assert outcome.disputes[0] == "closed"
    prize = REFUND + MONEY.bounty
    assert outcome.changes[WATCHER] == prize + MONEY.tip  # M-3, and the tip of who settles
    assert outcome.changes["burned"] >= MONEY.update_bond - after_burning(MONEY.update_bond)
    if name != "copied-opening":
        assert outcome.changes[TRAINER] == -MONEY.update_bond
        assert outcome.changes[REQUESTER] == after_burning(MONEY.update_bond) - prize - MONEY.tip


def test_a_corruption_that_vanishes_is_left_alone() -> None:
    outcome = played("vanishing")
    assert outcome.decision is None
    assert (outcome.updates, outcome.disputes, outcome.transactions) == (("final",), (), 0)
    assert outcome.changes[TRAINER] == POSTED * MONEY.reward == -outcome.changes[REQUESTER]


def test_every_kind_of_leaf_decides_somewhere() -> None:
    leaves = {cheat.decides[1] for cheat in CHEATS.values() if cheat.decides}
    assert leaves == set(Leaf) - {Leaf.TIMEOUT}
    asked = {cheat.conduct.silent_at for cheat in CHEATS.values()} - {None}
    commits = {(kind, "commit") for kind in (Kind.STEPS, Kind.NODES, Kind.FOLD)}
    assert asked == commits | {(kind, "reveal") for kind in Kind}


def test_who_copies_an_opening_gets_nothing_for_it() -> None:
    outcome = played("copied-opening")
    assert outcome.refused == ()
    assert outcome.disputes == ("closed", "lost")
    assert outcome.changes[SECOND] == -MONEY.challenge_bond


# -------------------------------------------------------------------- challengers


@pytest.mark.parametrize("name", ACCUSED)
def test_a_challenger_of_an_honest_trainer_pays(name: str) -> None:
    outcome = played(name)
    decided = outcome.decision
    assert decided is not None
    if name.startswith("stall-"):
        assert decided.leaf == Leaf.TIMEOUT
        assert decided.level == Kind[name.removeprefix("stall-").upper()]
    else:
        lie = name.removeprefix("nothing-")
        assert (decided.level, decided.leaf) == CHEATS.get(lie, CHEATS[DEFAULT]).decides
    assert outcome.updates == ("final",)
    assert set(outcome.disputes) == {"lost"}
    challengers = 2 if name == "copied-nothing" else 1
    late = challengers if name.startswith("stall-") else challengers - 1  # M-4: a tip to who times it out
    won = challengers * (REFUND + MONEY.bounty) + late * MONEY.tip
    assert outcome.changes[TRAINER] == POSTED * MONEY.reward + won
    assert outcome.changes[WATCHER] == -MONEY.challenge_bond


def test_the_honest_challengers_levels_are_all_there() -> None:
    stalled = {Kind[name.removeprefix("stall-").upper()] for name in ACCUSED if name.startswith("stall-")}
    assert stalled == set(Kind)
    leaves = {played(name).decision.leaf for name in ACCUSED if name.startswith("nothing-")}  # type: ignore[union-attr]
    assert leaves == {Leaf.RANGE, Leaf.WORD, Leaf.LINK, Leaf.ZERO_WORD, Leaf.ZERO_PAGE, Leaf.ZERO_SLOT}


def test_a_reservation_that_is_not_opened_costs_nothing_and_harms_nobody() -> None:
    outcome = played("stall-unopened")
    assert (outcome.decision, outcome.disputes, outcome.transactions) == (None, (), 2)
    assert outcome.changes[WATCHER] == 0
    assert outcome.changes[TRAINER] == POSTED * MONEY.reward


# -------------------------------------------------------------------- ends of a job


@pytest.mark.parametrize(
    ("name", "updates", "changes"),
    [
        ("done", 1, {TRAINER: SEGMENTS}),
        ("cancelled", 1, {TRAINER: POSTED}),
        ("expired", 1, {TRAINER: POSTED}),
        ("taken-over", 2, {TRAINER: POSTED, SECOND: SEGMENTS - POSTED}),
    ],
)
def test_a_job_ends_with_rewards_for_what_is_final(name: str, updates: int, changes: dict[str, int]) -> None:
    outcome = played(name)
    assert outcome.updates == ("final",) * updates
    rewards = {role: segments * MONEY.reward for role, segments in changes.items()}
    assert {role: n for role, n in outcome.changes.items() if n > 0} == rewards
    assert outcome.changes[REQUESTER] == -sum(rewards.values())
    ended = name in ("cancelled", "expired")
    assert outcome.refused == (("board: job has ended",) if ended else ())


def test_a_lease_under_which_nothing_is_posted_is_forfeited() -> None:
    changes = played("lease-forfeited").changes
    assert changes[TRAINER] == -MONEY.lease_deposit
    assert changes[WATCHER] == MONEY.tip  # M-6: to who evicts
    assert changes[SECOND] == SEGMENTS * MONEY.reward
    assert changes[REQUESTER] == after_burning(MONEY.lease_deposit) - MONEY.tip - SEGMENTS * MONEY.reward


def test_a_successor_defends_the_update_of_a_trainer_that_has_left() -> None:
    outcome = played("taken-over-defended")
    assert outcome.decision is not None
    assert outcome.decision.leaf == Leaf.RANGE
    assert (outcome.updates, outcome.disputes) == (("final", "final"), ("lost",))
    assert outcome.changes[TRAINER] == POSTED * MONEY.reward
    assert outcome.changes[SECOND] == (SEGMENTS - POSTED) * MONEY.reward + REFUND + MONEY.bounty
    assert outcome.changes[WATCHER] == -MONEY.challenge_bond


# -------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", all_scenarios())
def test_tokens_are_conserved_and_nobody_honest_loses_any(name: str) -> None:
    outcome, scenario = played(name), all_scenarios()[name]
    assert sum(outcome.changes.values()) == 0
    final = POSTED if outcome.updates[0] == "final" else 0
    for role in scenario.honest - {REQUESTER}:
        assert outcome.changes[role] >= 0
    if scenario.part != ENDING:
        assert outcome.changes[REQUESTER] >= -final * MONEY.reward
    assert 0 <= outcome.gas <= outcome.all_gas


def test_the_table_is_what_the_runs_gave() -> None:
    fresh = table({name: played(name) for name in all_scenarios()})
    assert TABLE.read_text() == fresh, "specs/outcomes.md is stale; run `gavel fixtures fill`"


def test_a_scenario_is_the_same_transactions_every_time() -> None:
    name = "silent-nodes-commit"
    transcripts = []
    for _ in range(2):
        chain = new_chain()
        assert play(name, chain=chain) == played(name)
        latest = int(chain.rpc("eth_blockNumber", []), 16)
        blocks = [chain.rpc("eth_getBlockByNumber", [hex(n), False]) for n in range(latest + 1)]
        # Not the hashes: the backend draws prevrandao, which nothing here reads.
        transcripts.append([(b["timestamp"], b["transactions"], b["stateRoot"]) for b in blocks])
    assert transcripts[0] == transcripts[1]


def test_another_step_and_another_seed_are_other_places_with_the_same_end() -> None:
    outcome = play("gradient-sum", step=0, seed=3)
    usual = played("gradient-sum").decision
    assert outcome.decision is not None
    assert usual is not None
    assert (outcome.decision.level, outcome.decision.leaf, outcome.decision.step) == (
        Kind.FOLD,
        Leaf.RANGE,
        0,
    )
    assert (outcome.decision.index, outcome.decision.range) != (usual.index, usual.range)


def test_unknown_scenarios_and_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="there is no scenario 'nonsense'; choose one of: partial-sum"):
        play("nonsense")
    with pytest.raises(UsageError, match="the job has no step 12; name one from 0 to 11"):
        play("weight-bit", step=12)


def test_the_checks_of_the_money_can_fail() -> None:
    stage = Stage()
    scenario: Scenario = all_scenarios()["stall-steps"]
    scenario.run(stage, STEP, 0)
    with pytest.raises(MismatchError, match="tokens are not conserved"):  # not paid out yet
        read_outcome(stage, name="early", honest=frozenset(), decided=None, refused=())
    stage.finish()
    with pytest.raises(MismatchError, match="the honest watcher has lost 60000000 tokens"):
        read_outcome(stage, name="watcher", honest=frozenset({WATCHER}), decided=None, refused=())
    stage.close()
