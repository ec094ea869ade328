"""Moves of the game as transactions."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, Final, get_args

from protocol.chain.client import SentTransaction
from protocol.chain.deployment import Contracts
from protocol.errors import AccountError
from protocol.game import moves
from protocol.game.demand_moves import DemandMove
from protocol.game.moves import Move
from protocol.job import Job

MOVE_GAS: Final = 3_000_000
PROVE_GAS: Final = 12_000_000
"""The largest witness needs 8 M (program.md, P-12); the rest is room for a candidate's fall."""

APPROVED_BONDS: Final = 64
"""Bonds approved at once, so that a dispute is not slowed by approvals."""

_GAS: Final[dict[type, int]] = {
    moves.Prove: PROVE_GAS,
    moves.SelectWord: 5_000_000,
    moves.Commit: 5_000_000,
    moves.Settle: 5_000_000,
}
_BOARD_MOVES: Final = get_args(moves.BoardMove)


def send_move(
    contracts: Contracts, move: Move, *, tag: str | None = None, tried: bool = False
) -> SentTransaction:
    """Send one move; `tag` is the function's name unless given.

    Args:
        tried: whether to ask the node first: a move that would be refused is then not sent and costs nothing.

    Raises:
        RefusedError: the contract refuses the move, with its named reason.
        ChainError: the transaction was not mined or ran out of gas.
    """
    function = function_name(type(move))
    gas = _GAS.get(type(move), MOVE_GAS)
    args: list[Any] = [_argument(getattr(move, field.name)) for field in fields(move)]
    if isinstance(move, moves.Prove):
        # Proofs go to the verifier, which asks the court for the context and tells it the verdict (P-15).
        return contracts.verifier.send(
            function, contracts.court.address, *args, tag=tag, gas=gas, tried=tried
        )
    contract = contracts.board if isinstance(move, _BOARD_MOVES) else contracts.court
    if isinstance(move, DemandMove):
        contract = contracts.availability
    return contract.send(function, *args, tag=tag, gas=gas, tried=tried)


def function_name(move: type[Move]) -> str:
    """Return the name of the contract's function for a kind of move."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", move.__name__).lower()


def _argument(value: Any) -> Any:
    return value.terms() if isinstance(value, Job) else value


def ensure_allowance(contracts: Contracts, amount: int, *, times: int = APPROVED_BONDS) -> None:
    """Let the board take `amount` bond tokens from the account, approving some more bonds ahead if it must.

    Args:
        amount: tokens, in the smallest unit.
        times: how many times the amount is approved, where it must be.

    Raises:
        AccountError: the account has not so many tokens.
        ChainError: the approval failed.
    """
    account, board = contracts.client.address, contracts.board.address
    if contracts.token.view("balanceOf", account) < amount:
        raise AccountError(
            f"{account} has fewer than the {amount:,} bond tokens that the next move locks; get some"
        )
    if contracts.token.view("allowance", account, board) < amount:
        contracts.token.send("approve", board, amount * times)
