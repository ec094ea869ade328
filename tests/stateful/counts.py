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

_DEPLOYING: Final = "a deployment is refused: tests/contracts/test_refusals_named.py, test_reasons.py"
_COURT_ALONE: Final = "the court alone asks, and checks the same before"
_MODULE: Final = (
    "a module's own check, behind one of each contract that uses it: tests/differential/test_merkle.py"
)
_VIEWS: Final = (
    "only views can be asked so: tests/differential/test_verifier_views.py, test_numerics_vyper.py"
)
_TOKEN: Final = (
    "the bond token moves what it says, or gives a reason of its own: tests/contracts/test_board.py"
)

ELSEWHERE: Final = {
    "board: no token": _DEPLOYING,
    "board: is bound": "the deployer binds once: tests/contracts/test_board.py",
    "board: no court": _DEPLOYING,
    "board: update exists": "ids hash the parent and the number of falls, so none comes twice",
    "board: update is not live": _COURT_ALONE,
    "board: final": _COURT_ALONE,
    "board: token transfer failed": _TOKEN,
    "board: token moved another amount": _TOKEN,
    "erc20: transfer from the zero address": "nobody holds the key of the zero address",
    "erc20: approve from the zero address": "nobody holds the key of the zero address",
    "erc20: burn amount exceeds balance": "purses are large: tests/stateful/test_corners.py",
    "court: too many disputes": "takes 67 million disputes of one update",
    "court: no place left": "takes 1,023 candidates: tests/stateful/test_corners.py",
    "court: no such node": "the nodes of the program fill their tree: tests/contracts/test_court_moves.py",
    "court: no board or no verifier": _DEPLOYING,
    "availability: no place left": "takes 128 demands: tests/stateful/test_corners.py",
    "verifier: cursor kind": "the court hands out proofs at last levels alone",
    "verifier: encoding": "encoders of the ABI make none: tests/contracts/test_refusals_named.py",
    "verifier: page": "few mutations hit it: tests/differential/test_verifier_refusals.py",
    "verifier: page tag": "one byte of a witness: tests/differential/test_verifier_refusals.py",
    "verifier: accumulator length": _VIEWS,
    "verifier: number too large": _VIEWS,
    "merkle: index outside the tree": _MODULE,
    "merkle: height above 64": _MODULE,
    "merkle: children not a power of two": _MODULE,
    "merkle: more than 1024 children": _MODULE,
    "accumulator: length": _MODULE,
    "functions: no contract": _DEPLOYING,
    "scalar: no such function": _VIEWS,
    "scalar: not a word": _VIEWS,
}
"""Reasons that the machine's calls need not meet, and why, or where they are tested."""


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
