"""The table of outcomes (specs/outcomes.md), written from the runs, with that of adversaries beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from gavel.scenarios.adversaries import adversaries_table
from gavel.scenarios.outcome import Outcome
from gavel.scenarios.plays import STEP, all_scenarios, play
from gavel.scenarios.stage import REQUESTER, SECOND, THIRD, TRAINER, WATCHER
from protocol.errors import StorageError

OUTCOMES: Final = "outcomes.md"
ADVERSARIES: Final = "adversaries.md"

_INTRODUCTION: Final = f"""# Outcomes

Written by `gavel fixtures fill` from the runs of `gavel/scenarios`, and checked for staleness; do not edit.

Each row is one scenario, played by the shipped agents on an embedded chain, over the small job of
`gavel/scenarios/job.py` under the `minimal` preset. Its trees are binary, so that a dispute has about three
times as many moves as under `full`. Lies are told in step {STEP}. *Decided at* is the level and the leaf
(program.md, P-14) that ended the first dispute; *silence*, *no commitment* and *timeout* are ends by the
clock (D-14, D-15), all others are arithmetic. *Bond tokens* is what each party has more or less, in
millions of the smallest unit, once everything was claimed and withdrawn, rewards included; a row's sum is
zero. Transactions and gas are those of all disputes, of all parties together; in the last column those of
everything after the job was opened, approvals and withdrawals too. *Watcher* is the challenger, honest or
not; *second* and *third* are whoever else takes part: another trainer, another challenger, a stranger.
"""

_COLUMNS: Final = (
    "scenario",
    "what happens",
    "decided at",
    "updates",
    "bond tokens",
    "transactions",
    "gas",
    "in all",
)


def write_tables(folder: Path, outcomes: Iterable[Outcome] | None = None) -> None:
    """Write the tables of outcomes and of adversaries.

    Args:
        folder: of the documents.
        outcomes: one per scenario; unless given, all are played, which takes some minutes.

    Raises:
        MismatchError: a scenario does not end as it must.
        StorageError: a file cannot be written.
    """
    given = outcomes if outcomes is not None else (play(name) for name in all_scenarios())
    played = {outcome.name: outcome for outcome in given}
    for name, text in ((OUTCOMES, table(played)), (ADVERSARIES, adversaries_table(played))):
        try:
            (folder / name).write_text(text)
        except OSError as error:
            raise StorageError(f"{folder / name} cannot be written: {error}") from error


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Return the document.

    Args:
        outcomes: by name of the scenario; all of them.
    """
    lines = [_INTRODUCTION]
    part = ""
    for name, scenario in all_scenarios().items():
        if scenario.part != part:
            part = scenario.part
            lines += [f"## {part}\n", _row(_COLUMNS), _row(["---"] * 5 + ["---:"] * 3)]
        lines.append(_row([f"`{name}`", scenario.text, *_cells(outcomes[name])]))
        following = list(all_scenarios().values())
        if scenario is following[-1] or following[following.index(scenario) + 1].part != part:
            lines.append("")
    return "\n".join(lines)


def _cells(outcome: Outcome) -> list[str]:
    made = outcome.decision
    decided = f"{made.level.name}, {made.leaf.value}" if made else "nothing"
    if outcome.refused:
        decided += f"; refused: {', '.join(sorted(set(outcome.refused)))}"
    dispute = f"{outcome.transactions}" if outcome.transactions else "0"
    return [
        decided,
        ", ".join(outcome.updates),
        _money(outcome.changes),
        dispute,
        f"{outcome.gas:,}",
        f"{outcome.all_transactions}, {outcome.all_gas:,}",
    ]


def _money(changes: Mapping[str, int]) -> str:
    order = (TRAINER, WATCHER, SECOND, THIRD, REQUESTER, "burned")
    parts = [f"{who} {changes[who] / 10**6:+.1f}" for who in order if changes[who]]
    return ", ".join(parts) or "none"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
