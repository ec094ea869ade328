"""What deployments and presets schedule for a dispute is what the snapshot says (money.md, M-11)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocol.chain.gas_bound import DEAREST_PROOF, LONGEST_DISPUTE, SNAPSHOT, least_scheduled_gas, side_gas
from protocol.errors import MalformedError
from protocol.game.model_board import ANSWER_GAS
from protocol.game.model_ledger import BPS
from protocol.job import load_preset

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "dispute_cost.json"
TABLE = """# a
Court.open   3   7   7   7

# b
# gas of a dispute

function     gas
reserve      100
open        1000
commit       500
select        10
reveal        20
select        30
reveal_page   40
select_word   20
select_step    9
judge       7777
settle        70
"""


def test_the_challenger_pays_for_its_selects_and_the_dearest_proof() -> None:
    # 11 transactions: 4 levels, 3 selects
    assert side_gas(TABLE, transactions=11) == 100 + 1000 + 3 * 30 + DEAREST_PROOF + 70


def test_the_side_that_needs_more_counts() -> None:
    assert side_gas(TABLE.replace("commit       500", "commit   9000000"), transactions=11) == 4 * 9_000_000


def test_a_snapshot_without_a_move_is_refused() -> None:
    with pytest.raises(MalformedError, match="no figure of settle"):
        side_gas(TABLE.replace("settle ", "settled "))


@pytest.mark.parametrize("name", ["minimal", "full"])
def test_presets_schedule_at_least_what_the_snapshot_says(name: str) -> None:
    preset = load_preset(name)
    assert preset.money.scheduled_gas >= least_scheduled_gas() >= side_gas(SNAPSHOT.read_text())
    kept = BPS - preset.money.burn_bps
    refund = preset.money.gas_price * preset.money.scheduled_gas
    owed = refund + preset.money.bounty + preset.money.tip
    for bond in (preset.money.update_bond, preset.money.challenge_bond):
        assert bond * kept >= owed * BPS
    assert preset.demand_fee * kept >= preset.money.gas_price * ANSWER_GAS * BPS


def test_the_longest_dispute_is_that_of_the_benchmark() -> None:
    tables = json.loads(RESULTS.read_text())["tables"]
    rows = tables["model size, with the choices of the preset full"]
    # these are opened directly: one transaction less than with a reservation
    assert max(row["transactions"] for row in rows) + 1 == LONGEST_DISPUTE
    # whole disputes as measured, both sides together at 40 gas a byte, need less than one side schedules
    assert max(row["at_40"] for row in rows) < least_scheduled_gas()
