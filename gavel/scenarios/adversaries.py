"""What attacks cost those who try them, and the honest side (specs/adversaries.md), measured by the runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gavel.scenarios.outcome import Outcome
from gavel.scenarios.plays import all_scenarios
from gavel.scenarios.scenario import Attack, Scenario
from gavel.scenarios.stage import REQUESTER, ROLES
from protocol.job import load_preset

_INTRODUCTION: Final = """# Adversaries

Written by `gavel fixtures fill` from the runs of `gavel/scenarios`, and checked for staleness; do not
edit.

Each row is one scenario of [outcomes.md](outcomes.md), where it says what happens; here is what somebody
tries in it, what that must cost, and what it has cost in the run. Tokens are in millions of the smallest
unit, gas in thousands; the job's price is {price} tokens per gas (M-1). All are recorded as fixtures.

- *Attackers lose*: tokens of all that do not follow the protocol, together, and their gas: all of it
  after the opening of the job, except what a call that was refused has used. What they win from each
  other is taken off.
- *Honest gas*: of the moves that the honest side had to make in disputes and about demanded pages; with a
  star, all that it sent.
- *Bonds lost*: by the honest side. It is 0 in every row, or the run fails.
- *Paid back*: what the honest side has got beyond its bonds and rewards: refunds, bounties, tips, fees.
  What is left for the requester of a bond is not counted.
- *Left over*: what was paid back, less the price of its gas. Where it is below zero, nobody refunds it
  (M-9).
- *Ratio*: (tokens that attackers lose + price of their gas) / (price of the honest gas). A dash: the
  attack makes the honest side do nothing.

Floods are listed once more at the end, with what each further candidate, opening, reservation or demand
adds to the same scenario without them.

Tokens that misbehave cannot be played here, since a deployment brings its own:
`tests/contracts/test_token_attacks.py` has one that calls back into every function of the board and the
court while it moves, `tests/contracts/test_board.py` and `test_availability.py` one that keeps a fee,
reports false or reverts. None gets anything (M-10, I-1).
"""

_COLUMNS: Final = (
    "scenario",
    "tries",
    "must cost",
    "attackers lose",
    "their gas",
    "honest gas",
    "bonds lost",
    "paid back",
    "left over",
    "ratio",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What an attack has cost, in tokens and gas.

    Attributes:
        lost: tokens that the attackers lose; gas: that they use.
        honest_gas: that the honest side had to use; bonds_lost: of its tokens.
        paid_back: tokens that it got beyond bonds and rewards.
        price: tokens per gas.
    """

    lost: int
    gas: int
    honest_gas: int
    bonds_lost: int
    paid_back: int
    price: int

    @property
    def left_over(self) -> int:
        """Tokens that the honest side has more than its gas is worth; below zero what the attack costs it."""
        return self.paid_back - self.honest_gas * self.price

    @property
    def ratio(self) -> float | None:
        """What attackers pay for each token that the honest side spends on gas; None where it spends none."""
        spent = self.honest_gas * self.price
        return (self.lost + self.gas * self.price) / spent if spent else None

    def beyond(self, other: Bill, units: int) -> Bill:
        """What each of some units adds to another bill."""
        return Bill(
            lost=(self.lost - other.lost) // units,
            gas=(self.gas - other.gas) // units,
            honest_gas=(self.honest_gas - other.honest_gas) // units,
            bonds_lost=self.bonds_lost - other.bonds_lost,
            paid_back=(self.paid_back - other.paid_back) // units,
            price=self.price,
        )


def bill_of(scenario: Scenario, outcome: Outcome) -> Bill:
    """Return what the attack of a scenario has cost."""
    gained = {role: outcome.changes[role] - outcome.rewards[role] for role in ROLES}
    honest = scenario.honest - {REQUESTER}
    whole = scenario.attack is not None and scenario.attack.whole
    gas = outcome.gas_of if whole else outcome.defence_of
    return Bill(
        lost=-sum(gained[role] for role in ROLES if role not in scenario.honest),
        gas=sum(outcome.gas_of[role] for role in ROLES if role not in scenario.honest),
        honest_gas=sum(gas[role] for role in honest),
        bonds_lost=-sum(min(gained[role], 0) for role in honest),
        paid_back=sum(max(gained[role], 0) for role in honest),
        price=load_preset("minimal").money.gas_price,
    )


def adversaries_table(outcomes: Mapping[str, Outcome]) -> str:
    """Return the document.

    Args:
        outcomes: by name of the scenario; all of them.
    """
    attacks = [(s, s.attack) for s in all_scenarios().values() if s.attack is not None]
    bills = {scenario.name: bill_of(scenario, outcomes[scenario.name]) for scenario, _ in attacks}
    lines = [_INTRODUCTION.format(price=load_preset("minimal").money.gas_price)]
    for part in dict.fromkeys(scenario.part for scenario, _ in attacks):
        lines += [f"## {part}\n", _row(_COLUMNS), _row(["---"] * 3 + ["---:"] * 7)]
        lines += [_line(s, attack, bills[s.name]) for s, attack in attacks if s.part == part]
        lines.append("")
    lines += ["## Floods, each further one\n", _row(_COLUMNS), _row(["---"] * 3 + ["---:"] * 7)]
    for scenario, attack in attacks:
        if attack.units > 1:
            less = bills.get(attack.beyond, _NOTHING)
            each = bills[scenario.name].beyond(less, attack.units)
            lines.append(_line(scenario, attack, each, f" / {attack.units}"))
    return "\n".join([*lines, ""])


_NOTHING: Final = Bill(lost=0, gas=0, honest_gas=0, bonds_lost=0, paid_back=0, price=0)


def _line(scenario: Scenario, attack: Attack, bill: Bill, units: str = "") -> str:
    return _row(
        [
            f"`{scenario.name}`{units}",
            attack.tries,
            attack.must_cost,
            f"{bill.lost / 10**6:.1f}",
            f"{bill.gas / 1000:,.0f}",
            f"{bill.honest_gas / 1000:,.0f}" + (" *" if attack.whole else ""),
            f"{bill.bonds_lost / 10**6:.0f}",
            f"{bill.paid_back / 10**6:.1f}",
            f"{bill.left_over / 10**6:.1f}",
            "-" if bill.ratio is None else f"{bill.ratio:.1f}",
        ]
    )


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
