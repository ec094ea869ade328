"""The transactions of a dispute, found by what the contracts logged, and read from the node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gavel.fixtures.calls import decoded, move_of
from protocol.chain.contract import Event
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts

CONTRACTS: Final = ("board", "court", "verifier", "availability")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMove:
    """One mined transaction of a dispute.

    Attributes:
        tx_hash: 32 bytes; block, time: of its block, the latter in seconds; sender: 20 bytes.
        gas: used; price: wei paid for each; calldata: bytes.
        move: what it was; None for a call that is no move, such as one through another contract.
        events: what it logged.
    """

    tx_hash: bytes
    block: int
    time: int
    sender: bytes
    gas: int
    price: int
    calldata: int
    move: Any
    events: Sequence[Event]


def moves_of(
    contracts: Contracts, view: ChainView, events: Sequence[Event], dispute: bytes
) -> list[SentMove]:
    """Return every transaction that a dispute is made of, in the order of the chain.

    Args:
        view: refreshed; events: all that were logged since the deployment.

    Raises:
        ChainError: the node does not have a transaction any more, or failed.
    """
    wanted = _related(view, events, dispute)
    by_transaction: dict[bytes, list[Event]] = {}
    for event in events:
        if event.transaction in wanted:
            by_transaction.setdefault(event.transaction, []).append(event)
    times: dict[int, int] = {}
    found = []
    for tx_hash, logged in by_transaction.items():
        block = logged[0].block
        if block not in times:
            times[block] = contracts.client.timestamp(block)
        found.append(_read(contracts, tx_hash, times[block], logged))
    return found


def _related(view: ChainView, events: Iterable[Event], dispute: bytes) -> set[bytes]:
    """The transactions that logged something about a dispute, its positions, candidates, or what it went
    through.
    """
    positions = set(view.demands(dispute))
    candidates = {c.candidate for position in positions for c in view.candidates(position)}
    through = {view.candidate(candidate).root for candidate in candidates}
    update = view.dispute(dispute).update
    found: set[bytes] = set()
    for event in events:  # in the order of the chain: what was selected comes before what is revealed of it
        args = event.args
        if event.name == "Selected" and args["dispute"] == dispute:
            through.add(args["hash"])
        mine = (
            args.get("dispute") == dispute
            or (event.name == "Reserved" and args["digest"] == dispute)
            or args.get("position") in positions
            or args.get("candidate") in candidates
            or (event.name in ("Revealed", "PageRevealed") and args["hash"] in through)
            or (event.name == "UpdateFell" and args["update"] == update)
        )
        # What others demanded or selected at the same places is their dispute.
        if mine and args.get("dispute", dispute) == dispute:
            found.add(event.transaction)
    return found


def _read(contracts: Contracts, tx_hash: bytes, time: int, events: Sequence[Event]) -> SentMove:
    mined = contracts.client.mined(tx_hash)
    return SentMove(
        tx_hash=tx_hash,
        block=mined.block,
        time=time,
        sender=mined.sender,
        gas=mined.gas,
        price=mined.price,
        calldata=len(mined.data),
        move=_move(contracts, mined.to, mined.data),
        events=tuple(events),
    )


def _move(contracts: Contracts, to: bytes | None, data: bytes) -> Any:
    for name in CONTRACTS:
        if getattr(contracts, name).address_bytes == to:
            call = decoded(name, data)
            return None if call is None else move_of(name, *call)
    return None
