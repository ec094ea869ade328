"""A call as a value, and who the parties are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tests.support.evm import FastEvm


@dataclass(frozen=True, slots=True)
class Call:
    """One transaction. `contract` is token, board, court, verifier or availability; `value` is in wei."""

    sender: str
    contract: str
    function: str
    args: tuple[Any, ...] = ()
    value: int = 0


def _account(number: int) -> str:
    return FastEvm.account(number).lower()


DEPLOYER: Final = _account(1)
GOVERNOR: Final = _account(2)
REQUESTER: Final = _account(3)
TRAINER: Final = _account(4)
WATCHER: Final = _account(5)
CHEAT: Final = _account(6)
RIVAL: Final = _account(7)
STRANGER: Final = _account(8)

HONEST: Final = (TRAINER, WATCHER)
HOSTILE: Final = (CHEAT, RIVAL, STRANGER)
PEOPLE: Final = (REQUESTER, *HONEST, *HOSTILE)
EVERYBODY: Final = (DEPLOYER, GOVERNOR, *PEOPLE)
PURSE: Final = 10**15
"""Tokens of each of the people at the start."""
