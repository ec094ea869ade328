"""Moves of the game as transactions."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, Final, get_args

from protocol.chain.client import SentTransaction
from protocol.chain.deployment import Contracts
from protocol.game import moves
from protocol.game.moves import Move
from protocol.job import Job

MOVE_GAS: Final = 3_000_000
PROVE_GAS: Final = 12_000_000
"""The largest witness needs 8 M (program.md, P-12); the rest is room for a candidate's fall."""

_GAS: Final[dict[type, int]] = {
    moves.Prove: PROVE_GAS,
    moves.SelectWord: 5_000_000,
    moves.Commit: 5_000_000,
    moves.Settle: 5_000_000,
}
_BOARD_MOVES: Final = get_args(moves.BoardMove)


def send_move(contracts: Contracts, move: Move, *, tag: str | None = None) -> SentTransaction:
    """Send one move; `tag` is the function's name unless given.

    Raises:
        RefusedError: the contract refuses the move, with its named reason.
        ChainError: the transaction was not mined or ran out of gas.
    """
    function = re.sub(r"(?<!^)(?=[A-Z])", "_", type(move).__name__).lower()
    gas = _GAS.get(type(move), MOVE_GAS)
    args: list[Any] = [_argument(getattr(move, field.name)) for field in fields(move)]
    if isinstance(move, moves.Prove):
        # Proofs go to the verifier, which asks the court for the context and tells it the verdict (P-15).
        return contracts.verifier.send(function, contracts.court.address, *args, tag=tag, gas=gas)
    contract = contracts.board if isinstance(move, _BOARD_MOVES) else contracts.court
    return contract.send(function, *args, tag=tag, gas=gas)


def _argument(value: Any) -> Any:
    return value.terms() if isinstance(value, Job) else value
