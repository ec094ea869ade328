"""What the demo reports, read from the chain and from the transactions that its clients sent."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from protocol.chain.client import SentTransaction
from protocol.chain.court_view import ChainView
from protocol.errors import MismatchError
from protocol.game.ids import Kind
from protocol.game.openings import Openings
from protocol.game.view import DisputeInfo
from protocol.job_folder import JobFolder
from protocol.program.address import range_length


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
    """Where the dispute ended.

    Attributes:
        segment: from 1; step: from the start of the job, from 0.
        node, label: the node and its operator and line in the user's code.
        page, word: within the node's output, from 0; element: its index by dimension.
        range, ranges, terms: the fold range that decided (from 1), of how many, and its first and last term.
        posted_bits, right_bits: the word as committed and as it should be; posted, right: their values.
        leaf: kind of the leaf that the contract judged.
    """

    segment: int
    step: int
    node: int
    label: str
    page: int
    word: int
    element: tuple[int, ...]
    range: int
    ranges: int
    terms: tuple[int, int]
    posted_bits: str
    right_bits: str
    posted: float
    right: float
    leaf: str


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
class Report:
    """Everything that happened, as `gavel demo --json` prints it.

    Attributes:
        dispute: transactions, gas and every transaction, from reserving to settling.
        balances: per actor bond tokens before the job was opened and after everything was withdrawn.
        conserved: whether all tokens together are the supply.
        accuracy: on the test images, by the plain module with the final state loaded; loss: of the last step.
        seconds: of the parts.
    """

    job: str
    segments: int
    evidence: Evidence
    verdict: Verdict
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
        verdict = data["verdict"]
        for amount in ("bond", "to_winner", "burned", "to_requester", "tip"):
            verdict[amount] = str(verdict[amount])
        return data


def float_of(word: int) -> float:
    """The binary32 number of a word."""
    return float(struct.unpack(">f", word.to_bytes(4))[0])


def element_of(word: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Index by dimension of a flat index, row-major."""
    index: list[int] = []
    for size in reversed(sizes):
        word, place = divmod(word, size)
        index.append(place)
    return tuple(reversed(index))


def fold_evidence(
    view: ChainView, dispute: DisputeInfo, *, folder: JobFolder, openings: Openings, index: int
) -> Evidence:
    """Read the way of a dispute down to a fold range from the positions that it demanded.

    Args:
        openings: of the party that replayed rightly.
        index: leaf that was proven, below the cursor of the fold branch.

    Raises:
        MismatchError: the dispute did not end in a fold.
    """
    positions = [view.position(p) for p in view.demands(dispute.dispute)]
    by_kind = {position.kind: position for position in positions}
    if Kind.FOLD not in by_kind:
        raise MismatchError("the dispute did not come to a fold; the drill should have")
    fold, nodes = by_kind[Kind.FOLD], by_kind[Kind.NODES]
    step = dispute.segment * folder.job.geometry.stride + nodes.a - 1
    node = folder.program.nodes[fold.a]
    length = range_length(node, folder.job.geometry.range_log2)
    right = int(openings.trace.node_words(step, fold.a)[fold.b])
    return Evidence(
        segment=dispute.segment + 1,
        step=step,
        node=fold.a,
        label=folder.program.labels[fold.a],
        page=fold.b // 64,
        word=fold.b,
        element=element_of(fold.b, node.out),
        range=index,
        ranges=fold.ranges,
        terms=((index - 1) * length, min(index * length, node.terms) - 1),
        posted_bits=f"0x{fold.word:08x}",
        right_bits=f"0x{right:08x}",
        posted=float_of(fold.word),
        right=float_of(right),
        leaf="range",
    )


def transactions(clients: Mapping[str, Iterable[SentTransaction]]) -> list[Sent]:
    """Every transaction of some clients, in order of the chain."""
    sent = [
        Sent(who=who, what=tx.tag, gas=tx.gas, calldata=tx.calldata, block=tx.block)
        for who, txs in clients.items()
        for tx in txs
    ]
    return sorted(sent, key=lambda tx: tx.block)


def dispute_transactions(sent: list[Sent]) -> list[Sent]:
    """Those from the first `reserve` to the last `settle`."""
    first = next(i for i, tx in enumerate(sent) if tx.what == "reserve")
    last = max(i for i, tx in enumerate(sent) if tx.what == "settle")
    return sent[first : last + 1]
