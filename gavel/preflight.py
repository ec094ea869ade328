"""What is looked at before a requester's first transaction, so that what must fail costs nothing (J-3)."""

from __future__ import annotations

import time
from typing import Final

from eth_utils.currency import from_wei

from protocol.chain.client import Client
from protocol.chain.deployment import Contracts
from protocol.chain.moves import MOVE_GAS
from protocol.errors import AccountError, ChainError, RefusedError
from protocol.game.model_board import Board
from protocol.job import Job

STALE: Final = 900
"""Seconds that a node's latest block may lie behind this machine's clock."""

_APPROVAL_GAS: Final = 100_000


def check_fresh(client: Client) -> None:
    """Check that a node keeps up with its chain: what a stale one says of leases and deadlines is over.

    Raises:
        ChainError: its latest block is older than `STALE` seconds by this machine's clock.
    """
    age = int(time.time()) - client.now()
    if age > STALE:
        raise ChainError(
            f"the node's latest block is {age:,} s old: it does not keep up with its chain, or this "
            "machine's clock is fast; nothing was sent; wait until it has caught up, or use another --rpc"
        )


def check_coins(client: Client, gas: int) -> None:
    """Check that the account has the coins that a node asks for before it takes transactions.

    Args:
        gas: sum of their limits.

    Raises:
        AccountError: says how much is missing.
    """
    held, needed = client.coins(), gas * client.fee()
    if held < needed:
        raise AccountError(
            f"{client.address} has {from_wei(held, 'ether')} coins and may need up to "
            f"{from_wei(needed, 'ether')} for gas; nothing was sent; send it some"
        )


def check_opening(contracts: Contracts, job: Job) -> None:
    """Check everything that opening a job asks of terms, tokens and coins; nothing is sent.

    Raises:
        RefusedError: the board would refuse the terms, with its reason.
        AccountError: the account cannot pay the rewards or the gas.
    """
    client = contracts.client
    escrow = job.money.reward * job.geometry.segments
    check_terms_opened(
        job,
        chain_id=client.chain_id,
        board=contracts.board.address_bytes,
        scheduled_gas=int(contracts.board.view("scheduled_gas")),
        now=client.now(),
    )
    held = int(contracts.token.view("balanceOf", client.address))
    if held < escrow:
        raise AccountError(
            f"{client.address} has {held:,} bond tokens, the rewards are {escrow:,}, {escrow - held:,} more; "
            "nothing was sent; get some, or offer less with --money reward=..."
        )
    check_coins(client, MOVE_GAS + _APPROVAL_GAS)


def check_terms_opened(job: Job, *, chain_id: int, board: bytes, scheduled_gas: int, now: int) -> None:
    """Ask the model of the board whether it would open a job for its requester (U-1, M-2).

    Args:
        chain_id, board: of the board, 20 bytes; scheduled_gas: its own (M-1); now: seconds.

    Raises:
        RefusedError: with the board's reason.
    """
    model = Board(chain_id=chain_id, address=board, scheduled_gas=scheduled_gas, now=now)
    model.wallets[job.requester] = job.money.reward * job.geometry.segments
    try:
        model.open_job(job.requester, job)
    except RefusedError as error:
        raise RefusedError(
            error.reason,
            "nothing was sent; specs/updates.md, U-1, and specs/money.md, M-2, say what the board takes",
        ) from error
