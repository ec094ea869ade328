"""The ghost: a whole deployment, read from specs/ and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.stateful.ghost_availability import GhostAvailability
from tests.stateful.ghost_base import Logged, Refused
from tests.stateful.ghost_board import GhostBoard
from tests.stateful.ghost_court import GhostCourt
from tests.stateful.ghost_token import GhostToken

BOARD_FOR_OTHERS: Final = {
    "not the court": [
        "lock_bond",
        "return_bond",
        "lose_challenge_bond",
        "lose_defence_bond",
        "dispute_opened",
        "dispute_closed",
        "fell",
        "pay_moot",
    ],
    "not availability": ["demand_opened", "demand_closed", "fell_unanswered"],
}
"""What only another contract of the deployment may call (U-8); directly it is refused."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the contracts of a deployment are."""

    token: str
    board: str
    court: str
    verifier: str
    availability: str


class Ghost:
    """What the specification says of a deployment.

    Attributes:
        log: the events of the last call.
    """

    def __init__(self, at: Addresses, *, deployer: str, governor: str, chain_id: int, least_gas: int) -> None:
        """A deployment in which nothing has happened yet."""
        self.log: list[Logged] = []
        self.at, self.deployer = at, deployer
        self.token = GhostToken(deployer, self.log)
        self.board = GhostBoard(
            self.token, at.board, self.log, chain_id=chain_id, least_gas=least_gas, governor=governor
        )
        self.court = GhostCourt(self.board, at.court, self.log)
        self.availability = GhostAvailability(self.board, at.availability, self.log)

    def call(self, now: int, sender: str, contract: str, function: str, args: tuple[Any, ...]) -> Any:
        """What a call returns; its events are in `log`.

        Raises:
            Refused: it is forbidden, and nothing has changed.
        """
        self.board.now = now
        self.log.clear()
        return self._function(contract, function)(sender, *args)

    def _function(self, contract: str, function: str) -> Callable[..., Any]:
        name = re.sub(r"(?=[A-Z])", "_", function).lower()
        if contract == "board" and (found := self._reserved(function)):
            return found
        if (contract, function) == ("board", "bind"):
            return self._bind
        if contract == "verifier":
            return self._prove
        found = getattr(getattr(self, contract), name)
        assert callable(found), f"{contract} has no function {function}"
        return found  # type: ignore[no-any-return]

    def _reserved(self, function: str) -> Callable[..., Any] | None:
        for reason, functions in BOARD_FOR_OTHERS.items():
            if function in functions:
                return lambda *_: _refuse(f"board: {reason}")
        return None

    def _bind(self, sender: str, *_: Any) -> None:
        reasons = ["board: is bound"]
        _refuse(*reasons, *(["board: not the deployer"] if sender != self.deployer else []))

    def _prove(self, sender: str, court: str, *args: Any) -> None:
        if court != self.at.court:
            _refuse("verifier: no court")
        self.court.prove(sender, *args)


def _refuse(*reasons: str) -> None:
    raise Refused(*reasons)
