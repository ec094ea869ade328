"""Every scenario, played by the shipped agents on an embedded chain: it ends where it was steered to, and the
right parties pay. The tables of specs/outcomes.md and specs/adversaries.md are what these runs gave.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gavel.scenarios.adversaries import adversaries_table, bill_of
from gavel.scenarios.attacks import EACH, FLOOD
from gavel.scenarios.cheats import CHEATS, DEFAULT
from gavel.scenarios.collusions import OWN_DEMANDS
from gavel.scenarios.decision import Leaf
from gavel.scenarios.outcome import Outcome
from gavel.scenarios.outcome import outcome as read_outcome
from gavel.scenarios.plays import ACCUSING, CHEATING, ENDING, STEP, all_scenarios, play
from gavel.scenarios.scenario import Scenario
from gavel.scenarios.stage import REQUESTER, ROLES, SECOND, THIRD, TRAINER, WATCHER, Stage, new_chain
from gavel.scenarios.table import ADVERSARIES, OUTCOMES, table
from protocol.errors import MismatchError, UsageError
from protocol.game.ids import Kind
from protocol.job import load_preset

SPECS = Path(__file__).resolve().parents[2] / "specs"
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


# -------------------------------------------------------------------- strangers, spam and time

BESIDE = {"flood-steps-liar": "silent-nodes-commit", "flood-nodes-liar": "silent-nodes-reveal"}


@pytest.mark.parametrize("name", BESIDE)
def test_a_flood_of_candidates_hides_nothing_and_each_pays_who_fells_it(name: str) -> None:
    outcome, alone = played(name), played(BESIDE[name])
    assert (outcome.updates, outcome.disputes) == (("fallen",), ("closed",))
    assert outcome.changes[SECOND] == -FLOOD * MONEY.defence_bond
    assert outcome.changes[WATCHER] == alone.changes[WATCHER] + FLOOD * REFUND  # M-5
    spent = outcome.defence_of[WATCHER] - alone.defence_of[WATCHER]
    assert 0 < spent * MONEY.gas_price < FLOOD * REFUND
    burned = outcome.changes["burned"] - alone.changes["burned"]
    assert burned == FLOOD * (MONEY.defence_bond - after_burning(MONEY.defence_bond))


@pytest.mark.parametrize("name", ["identical-silent", "flood-steps-honest", "bogus-below-honest"])
def test_candidates_of_strangers_do_not_touch_an_honest_one(name: str) -> None:
    outcome = played(name)
    assert (outcome.updates, outcome.disputes) == (("final",), ("lost",))
    late = MONEY.tip if by_clock(outcome) else 0
    assert outcome.changes[TRAINER] == POSTED * MONEY.reward + REFUND + MONEY.bounty + late
    assert outcome.changes[WATCHER] == -MONEY.challenge_bond
    assert outcome.changes[SECOND] == 0  # what nobody honest has to fell comes back


@pytest.mark.parametrize("name", ["vanished-saved", "vanished-bogus"])
def test_a_watcher_saves_the_update_of_a_trainer_that_has_vanished(name: str) -> None:
    outcome = played(name)
    assert (outcome.updates, outcome.disputes) == (("final",), ("lost",))
    assert outcome.changes[TRAINER] == POSTED * MONEY.reward
    late = MONEY.tip if by_clock(outcome) else 0
    assert outcome.changes[THIRD] in (REFUND + MONEY.bounty, REFUND + MONEY.bounty + late)
    assert outcome.defence_of[TRAINER] == 0


def test_who_goes_on_for_a_trainer_that_falls_silent_has_its_bonds_back_and_no_gas() -> None:
    outcome = played("half-vanished")
    assert (outcome.updates, outcome.disputes) == (("final",), ("lost",))
    assert outcome.changes[TRAINER] >= POSTED * MONEY.reward + REFUND + MONEY.bounty  # D-15
    assert outcome.changes[THIRD] in (0, MONEY.tip)
    assert outcome.defence_of[THIRD] > 0


def test_every_opening_of_a_spammer_pays_the_trainer() -> None:
    outcome = played("opening-spam")
    openings = EACH * POSTED
    assert outcome.disputes == ("lost",) * openings
    assert outcome.changes[SECOND] == -openings * MONEY.challenge_bond
    won = openings * (REFUND + MONEY.bounty + MONEY.tip)
    assert outcome.changes[TRAINER] == POSTED * MONEY.reward + won


def test_reservations_that_are_not_opened_cost_the_honest_side_nothing() -> None:
    outcome = played("reservation-spam")
    assert outcome.changes[TRAINER] == POSTED * MONEY.reward
    assert outcome.defence_of[TRAINER] == outcome.defence_of[WATCHER] == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("late-choice", ("court: challenger is late",)),
        ("late-commit", ("court: posting period is over",)),
        ("late-reveal", ()),  # anybody may reveal at any time; it counts for nothing then
    ],
)
def test_one_second_late_is_late(name: str, reason: tuple[str, ...]) -> None:
    outcome = played(name)
    assert outcome.refused == reason
    assert by_clock(outcome)
    loser = WATCHER if name == "late-choice" else TRAINER
    assert outcome.changes[loser] < 0
    assert outcome.updates == (("final",) if loser == WATCHER else ("fallen",))


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("slow-challenger", f"nothing-{DEFAULT}"),
        ("censored-trainer", f"nothing-{DEFAULT}"),
        ("slow-liar", DEFAULT),
        ("censored-watcher", DEFAULT),
    ],
)
def test_who_moves_in_the_last_second_ends_as_if_it_had_not_waited(name: str, like: str) -> None:
    slow, quick = played(name), played(like)
    assert slow.decision == quick.decision
    assert slow.decision is not None
    assert slow.decision.proven
    assert slow.changes == quick.changes


# -------------------------------------------------------------------- parties in league

LEAGUES = {
    "self-disputed": (TRAINER, SECOND),
    "self-disputed-three": (TRAINER, SECOND, REQUESTER),
    "diluted": (TRAINER, SECOND),
    "recycled-candidates": (TRAINER, SECOND, THIRD),
    "felled-by-itself": (TRAINER, SECOND),
}


@pytest.mark.parametrize("name", LEAGUES)
def test_a_league_loses_the_burned_share_of_every_bond_and_what_it_owes_the_watcher(name: str) -> None:
    outcome = played(name)
    burned = outcome.changes["burned"]
    assert burned >= MONEY.update_bond - after_burning(MONEY.update_bond)
    assert sum(outcome.changes[role] for role in LEAGUES[name]) <= -burned - outcome.changes[WATCHER]
    assert outcome.changes[WATCHER] >= outcome.defence_of[WATCHER] * MONEY.gas_price  # M-9


def test_a_league_with_its_requester_keeps_all_the_rest() -> None:
    three, two = played("self-disputed-three"), played("self-disputed")
    assert three.changes == two.changes
    assert two.changes[REQUESTER] >= 0


# -------------------------------------------------------------------- what is withheld


@pytest.mark.parametrize("name", ["withheld-pages", "own-demands"])
def test_an_update_whose_pages_nobody_shows_falls(name: str) -> None:
    outcome = played(name)
    assert outcome.updates == ("fallen",)
    assert outcome.changes[WATCHER] == REFUND + MONEY.bounty + MONEY.tip
    fees = MONEY.update_bond - after_burning(MONEY.update_bond)
    if name == "own-demands":  # Y-9: of fees that it pays itself only the burned share is lost
        fee = load_preset("minimal").demand_fee
        fees += OWN_DEMANDS * (fee - after_burning(fee))
    assert outcome.changes["burned"] == fees


def test_a_store_that_is_gone_and_one_that_lies_change_nothing() -> None:
    outcome = played("withheld-store")
    assert outcome.updates == ("final", "final")
    assert outcome.changes[SECOND] == (SEGMENTS - POSTED) * MONEY.reward


def test_a_notice_costs_a_trainer_its_work_and_no_deposit() -> None:
    outcome = played("notice")
    assert outcome.refused == ("board: job has ended",)
    assert not any(outcome.changes.values())
    assert bill_of(all_scenarios()["notice"], outcome).left_over < 0


def test_nobody_follows_a_program_that_is_not_well_formed() -> None:
    outcome = played("farming")
    assert outcome.updates == ("final",)
    assert outcome.changes[TRAINER] == -outcome.changes[REQUESTER]
    assert outcome.gas_of[WATCHER] == 0


# -------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", all_scenarios())
def test_tokens_are_conserved_and_nobody_honest_loses_any(name: str) -> None:
    outcome, scenario = played(name), all_scenarios()[name]
    assert sum(outcome.changes.values()) == 0
    final = POSTED if outcome.updates[:1] == ("final",) else 0
    for role in scenario.honest - {REQUESTER}:
        assert outcome.changes[role] >= 0
    if scenario.part != ENDING and REQUESTER in scenario.honest and name != "withheld-store":
        assert outcome.changes[REQUESTER] >= -final * MONEY.reward
    assert 0 <= outcome.gas <= outcome.all_gas


@pytest.mark.parametrize(("file", "made"), [(OUTCOMES, table), (ADVERSARIES, adversaries_table)])
def test_the_tables_are_what_the_runs_gave(file: str, made: Callable[[dict[str, Outcome]], str]) -> None:
    fresh = made({name: played(name) for name in all_scenarios()})
    assert (SPECS / file).read_text() == fresh, f"specs/{file} is stale; run `gavel fixtures fill`"


@pytest.mark.parametrize("name", [name for name, s in all_scenarios().items() if s.attack is not None])
def test_no_attack_costs_an_honest_party_a_bond_and_hardly_any_its_gas(name: str) -> None:
    scenario = all_scenarios()[name]
    bill = bill_of(scenario, played(name))
    assert bill.bonds_lost == 0
    assert bill.lost >= 0
    assert scenario.attack is not None
    if name != "notice":  # M-9: the work and the gas of a lease that comes to nothing
        assert bill.left_over >= 0
        assert bill.ratio is None or bill.ratio > 1


def test_there_are_enough_adversaries_and_none_is_there_twice() -> None:
    attacks = [s for s in all_scenarios().values() if s.attack is not None]
    assert len(attacks) >= 70
    assert len({s.text for s in attacks}) == len(attacks)
    assert {role for s in attacks for role in set(ROLES) - s.honest} == set(ROLES)


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
