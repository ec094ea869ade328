"""What a run has to show: every function called, most calls successful, and which reasons were met."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.stateful.ghost import BOARD_FOR_OTHERS
from tests.stateful.world import Tally

LEAST_SHARE: Final = 0.4
"""A function of which fewer calls than this succeed is not tested, whatever else was green."""

FOR_CONTRACTS: Final = frozenset(
    {f"board.{name}" for names in BOARD_FOR_OTHERS.values() for name in names}
    | {"court.verdict", "board.bind"}
)
"""What only another contract, or once the deployer, may call: directly it is always refused."""

WITHIN: Final = {
    "board.lock_bond": ("court.Reserved",),
    "board.return_bond": ("court.ReservationCancelled", "court.Freed", "court.DisputeClosed"),
    "board.lose_challenge_bond": ("court.DisputeLost",),
    "board.lose_defence_bond": ("court.CandidateFell",),
    "board.dispute_opened": ("court.Opened",),
    "board.dispute_closed": ("court.DisputeClosed", "court.DisputeLost"),
    "board.fell": ("court.UpdateFell",),
    "board.pay_moot": ("court.DisputeClosed",),
    "board.demand_opened": ("availability.PageDemanded",),
    "board.demand_closed": ("availability.PageShown", "availability.DemandClosed"),
    "board.fell_unanswered": ("availability.DemandExpired",),
    "court.verdict": ("court.CandidateFell", "court.DisputeLost"),
}
"""By which events it is seen that such a function was called by its contract."""

ELSEWHERE: Final = {
    "board: no token": "deployment",
    "board: no court": "deployment",
    "court: no board or no verifier": "deployment",
    "verifier: no court": "deployment, and `prove` for a court that is none",
    "functions: no contract": "deployment",
    "court: too many disputes": "2^26 - 1 disputes of one update",
    "scalar: no such function": "views and the verifier's own calls",
    "scalar: not a word": "views and the verifier's own calls",
    "verifier: number too large": "views",
    "accumulator: length": "views",
}
"""Reasons that no call of the machine can meet, and where they are tested or why not."""


def weak(tally: Tally, functions: list[str]) -> dict[str, float]:
    """Functions that succeeded too rarely, or were never called, with their share of successes."""
    shares = {}
    for name in functions:
        if name in FOR_CONTRACTS:
            continue
        share = tally.succeeded[name] / tally.made[name] if tally.made[name] else 0.0
        if share < LEAST_SHARE:
            shares[name] = share
    return shares


def unreached(tally: Tally) -> list[str]:
    """Reasons of errors.md, E-3, that no call of a run met."""
    text = (Path(__file__).resolve().parents[2] / "specs" / "errors.md").read_text()
    listed = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    reasons = [reason for reason in listed if ": " in reason and "*" not in reason]
    met = {reason for _, reason in tally.refused}
    return [reason for reason in reasons if reason not in met]


def by_reason(tally: Tally) -> dict[str, int]:
    """How often each reason was met, most frequent first; the empty one is none at all (E-4)."""
    counts: dict[str, int] = {}
    for (_, reason), times in tally.refused.items():
        counts[reason] = counts.get(reason, 0) + times
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
