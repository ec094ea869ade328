"""Every reason that the contracts refuse with: its rule, what it means, what to do (errors.md, E-3).

`RefusedError` explains itself from here, and the table in errors.md is made from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.game.reasons_availability import AVAILABILITY
from protocol.game.reasons_board import BOARD
from protocol.game.reasons_court import COURT
from protocol.game.reasons_proofs import PROOFS
from protocol.game.refusal import Refusal

REASONS: Final[Mapping[str, Refusal]] = {**BOARD, **COURT, **AVAILABILITY, **PROOFS}
"""The reason as the contract gives it, ``"module: reason"``, and what is known of it."""

_OTHERS: Final = (
    "it is none of gavel's own reasons: ask whoever wrote the bond token, or what else the transaction called"
)


def explained(reason: str, advice: str = "") -> str:
    """Return a reason with its rule, what it means and what to do.

    Args:
        reason: as the contract gives it.
        advice: what to do here, where the caller knows more than the list.
    """
    known = REASONS.get(reason)
    if known is None:
        return f"{reason}; {advice or _OTHERS}"
    return f"{reason} ({known.rule}: {known.meaning}); {advice or known.advice}"


def table() -> str:
    """Return the table of errors.md, in Markdown."""
    rows = ["| reason | rule | when | what to do |", "|---|---|---|---|"]
    rows += [
        f"| {name} | {known.rule} | {known.meaning} | {known.advice} |" for name, known in REASONS.items()
    ]
    return "\n".join(rows) + "\n"
