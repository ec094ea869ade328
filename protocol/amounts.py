"""Amounts of tokens for people."""

from __future__ import annotations

from typing import Final

_ZEROS: Final = 6


def amount(value: int) -> str:
    """Write an amount in a token's smallest unit, exactly: ``5 x 10^18`` where it ends in many zeros."""
    digits = str(value)
    zeros = len(digits) - len(digits.rstrip("0"))
    if not value or zeros < _ZEROS:
        return f"{value:,}"
    return f"{value // 10**zeros:,} x 10^{zeros}"
