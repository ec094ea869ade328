"""Whether several nodes tell the same about what decides over money (actors.md, A-21)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from protocol.chain.client import Client
from protocol.chain.contract import Contract
from protocol.chain.deployment import Contracts
from protocol.errors import ChainError, MismatchError

_ABOUT_JOB: Final = ("tip", "job_state")
_ABOUT_UPDATE: Final = ("update_status", "update_info")


def disagreements(
    contracts: Contracts, job: bytes, *, block: int, updates: Sequence[bytes] = ()
) -> Iterator[str]:
    """Ask every node about a job as it is at the end of a block; say what differs from the node in use.

    Nodes that are out of reach, have no such block or another one are passed over: `Nodes` tells of those.

    Args:
        contracts: of a client; with one node there is nothing to compare.
        job: id, 32 bytes.
        block: number.
        updates: ids whose status and record are compared too.
    """
    nodes = contracts.client.nodes
    if nodes is None or not nodes.several:
        return
    asked = [("the job's " + view, (view, job)) for view in _ABOUT_JOB]
    asked += [(f"update {u.hex()[:12]}'s {view}", (view, u)) for u in updates for view in _ABOUT_UPDATE]
    first: tuple[str, bytes, list[Any]] | None = None
    for name, provider in nodes.usable():
        try:
            client = Client(provider)
            board = Contract(client, "JobBoard", contracts.board.address)
            at = client.block(block)[0]
            told = [board.view(*view, block=block) for _, view in asked]
        except ChainError:
            continue
        if first is None:
            first = name, at, told
        elif at == first[1]:
            for (what, _), here, there in zip(asked, first[2], told, strict=True):
                if here != there:
                    yield f"{what} at the end of block {block} is another at {first[0]} than at {name}"


def require_agreement(contracts: Contracts, job: bytes, *, block: int, updates: Sequence[bytes] = ()) -> None:
    """Refuse to go on where nodes contradict each other about a job; arguments as for `disagreements`.

    Raises:
        MismatchError: names the first two that do.
    """
    for what in disagreements(contracts, job, block=block, updates=updates):
        raise MismatchError(
            f"NODES DISAGREE: {what}; one of them lies: find out which, and leave it out; nothing was done"
        )
