"""What the demo reports, read from the chain and from the transactions that its clients sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from protocol.chain.client import SentTransaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One transaction: who sent it, what for, gas, calldata in bytes, block."""

    who: str
    what: str
    gas: int
    calldata: int
    block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where the dispute ended. What does not apply to the leaf that decided is None.

    Attributes:
        segment: from 1.
        level: the list or tree that the dispute had come to; leaf: what the contract judged there, or what
            was not answered in time (gavel.scenarios.decision.Leaf).
        step: from the start of the job, from 0.
        node, label: the node and its operator and line in the user's code.
        page, word: within the node's output, from 0; element: its index by dimension.
        slot, slot_name: of the state after the step.
        range, ranges, terms: the fold range that decided (from 1), of how many, and its first and last term.
        posted_bits, right_bits: the word as committed and as it should be; posted, right: their values.
        posted_hash, right_hash: of a page or a slot, likewise, 64 digits; zeros for nothing.
    """

    segment: int
    level: str
    leaf: str
    step: int | None = None
    node: int | None = None
    label: str | None = None
    page: int | None = None
    word: int | None = None
    element: tuple[int, ...] | None = None
    range: int | None = None
    ranges: int | None = None
    terms: tuple[int, int] | None = None
    posted_bits: str | None = None
    right_bits: str | None = None
    posted: float | None = None
    right: float | None = None
    slot: int | None = None
    slot_name: str | None = None
    posted_hash: str | None = None
    right_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How the dispute ended for the parties; tokens in the smallest unit, addresses as names.

    Attributes:
        status: of the disputed update; void: number of updates that fell with it.
        winner: who was credited with the fall.
        bond, to_winner, burned, to_requester, tip: parts of the lost bond.
    """

    status: str
    void: int
    winner: str
    bond: int
    to_winner: int
    burned: int
    to_requester: int
    tip: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The cheat that was played: its name, what it does, and the step, from the start of the job."""

    name: str
    text: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that happened, as `gavel demo --json` prints it.

    Attributes:
        cheat: that was played.
        evidence, verdict: None where there was no fault to dispute.
        dispute: transactions, gas and every transaction, from reserving to settling.
        balances: per actor bond tokens before the job was opened and after everything was withdrawn.
        conserved: whether all tokens together are the supply.
        accuracy: on the test images, by the plain module with the final state loaded; loss: of the last step.
        seconds: of the parts.
    """

    job: str
    segments: int
    cheat: Told
    evidence: Evidence | None
    verdict: Verdict | None
    dispute: dict[str, Any]
    balances: dict[str, dict[str, int]]
    conserved: bool
    accuracy: float
    loss: float
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """As values of JSON. Token amounts are strings: they exceed what JSON readers keep exactly."""
        data = asdict(self)
        data["balances"] = {who: {k: str(v) for k, v in b.items()} for who, b in self.balances.items()}
        for amount in ("bond", "to_winner", "burned", "to_requester", "tip"):
            if data["verdict"] is not None:
                data["verdict"][amount] = str(data["verdict"][amount])
        return data


def transactions(clients: Mapping[str, Iterable[SentTransaction]]) -> list[Sent]:
    """Every transaction of some clients, in order of the chain."""
    sent = [
        Sent(who=who, what=tx.tag, gas=tx.gas, calldata=tx.calldata, block=tx.block)
        for who, txs in clients.items()
        for tx in txs
    ]
    return sorted(sent, key=lambda tx: tx.block)


def dispute_transactions(sent: list[Sent]) -> list[Sent]:
    """Those from the first `open` to the last `settle`; none where nothing was opened."""
    first = next((i for i, tx in enumerate(sent) if tx.what == "open"), len(sent))
    last = max((i for i, tx in enumerate(sent) if tx.what == "settle"), default=len(sent) - 1)
    return sent[first : last + 1]
