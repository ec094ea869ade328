"""What there is to tell of a dispute: where it went, what it found, what was sent, and who was paid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gavel.awaited import COMMITTED, Awaited, awaited
from gavel.demo.evidence import evidence
from gavel.demo.record import Evidence
from gavel.explain.sent import SentMove, moves_of
from gavel.scenarios.decision import Decision, decision
from protocol.chain.contract import Event
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.errors import UsageError
from protocol.game.ids import Kind
from protocol.game.moves import Prove, Select, SelectStep, SelectWord
from protocol.game.openings import Openings
from protocol.game.view import DisputeInfo, DisputeStatus, PositionInfo, UpdateInfo
from protocol.job_folder import JobFolder

BURN = bytes.fromhex("000000000000000000000000000000000000dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One list of children that the challenger chose from.

    Attributes:
        title: what the list is; chosen: the child, in words.
        children, index: how many, and which of them.
        digest: of the child, empty where it was opened itself.
    """

    title: str
    chosen: str
    children: int
    index: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Tokens credited, in the smallest unit, to 20 bytes, for what; `time` in seconds."""

    to: bytes
    amount: int
    what: str
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the page says.

    Attributes:
        names: of the accounts that have a part, by address.
        decision: what decided, None while nothing has; found: the word or hash, as posted and as it should
            be, None without a replay.
        awaited: what it waits for, if it is open.
        now: timestamp of the chain's latest block, in seconds; chain_id: of the chain.
    """

    folder: JobFolder
    update: UpdateInfo
    dispute: DisputeInfo
    names: dict[bytes, str]
    levels: Sequence[Level]
    decision: Decision | None
    found: Evidence | None
    moves: Sequence[SentMove]
    payments: Sequence[Payment]
    awaited: Sequence[Awaited]
    now: int
    chain_id: int


def resolve(view: ChainView, text: str | None, job: bytes) -> DisputeInfo:
    """Return the dispute of a job that an id names: its own, or that of an update, or first digits of it.

    Of several disputes of an update, and of all of a job if no id is given, it is the first that is closed,
    else that is open, else that is lost.

    Raises:
        UsageError: nothing, or more than one thing, has such an id.
    """
    updates = view.updates(job)
    disputes = [d for update in updates for d in view.disputes(update=update.update)]
    order = {"closed": 0, "open": 1, "lost": 2}
    if text is None and disputes:
        return min(disputes, key=lambda d: order[d.status.value])
    asked = (text or "").lower().removeprefix("0x")
    if not asked or set(asked) - set("0123456789abcdef"):
        raise UsageError(f"{text!r} is no id; write the hexadecimal digits that `gavel status` shows")
    named = {d.dispute: [d] for d in disputes} | {
        u.update: [d for d in disputes if d.update == u.update] for u in updates
    }
    hits = [found for key, found in named.items() if key.hex().startswith(asked)]
    if len(hits) != 1:
        count = "no" if not hits else f"{len(hits)} different"
        raise UsageError(f"{count} disputes or updates of this job begin with {asked}; see `gavel status`")
    if not hits[0]:
        raise UsageError("nobody has disputed that update, so there is nothing to explain")
    return min(hits[0], key=lambda d: order[d.status.value])


def facts_of(
    contracts: Contracts,
    view: ChainView,
    events: Sequence[Event],
    dispute: DisputeInfo,
    *,
    folder: JobFolder,
    openings: Openings | None,
) -> Facts:
    """Gather what the page says.

    Args:
        view: refreshed; events: all since the deployment.
        openings: over an own replay; None to say only what the chain says.

    Raises:
        ChainError: the node failed, or has forgotten a transaction.
    """
    update = view.update(dispute.update)
    moves = moves_of(contracts, view, events, dispute.dispute)
    made = [sent.move for sent in moves if sent.move is not None]
    decided = decision(view, folder, made)
    proof = next((move for move in made if isinstance(move, Prove)), None)
    found = None
    if decided is not None and openings is not None:
        found = evidence(
            view, decided, segment=dispute.segment, proof=proof, folder=folder, openings=openings
        )
    names = {
        BURN: "burned",
        folder.job.requester: "requester",
        dispute.challenger: "challenger",
        update.trainer: "trainer",
    }
    return Facts(
        folder=folder,
        update=update,
        dispute=dispute,
        names=names,
        levels=list(_levels(view, folder, moves, dispute)),
        decision=decided,
        found=found,
        moves=moves,
        payments=list(_payments(moves, folder)),
        awaited=awaited(view, dispute),
        now=view.now(),
        chain_id=contracts.client.chain_id,
    )


# -------------------------------------------------------------------- the way down


def _levels(
    view: ChainView, folder: JobFolder, moves: Sequence[SentMove], dispute: DisputeInfo
) -> Iterator[Level]:
    """The lists that were chosen from, in the order of the selections."""
    kind = Kind.STEPS
    for sent in moves:
        move = sent.move
        if isinstance(move, Select) and move.dispute == dispute.dispute:
            selected = next(e.args for e in sent.events if e.name == "Selected")
            here, kind = kind, Kind(int(selected["kind"]))
            yield Level(
                title=_title(here),
                chosen=_chosen(here, kind, selected, folder),
                children=1 << len(move.path),
                index=move.index,
                digest=move.leaf,
            )
        elif isinstance(move, SelectStep) and move.dispute == dispute.dispute:
            step = _demanded(view, sent).a
            absolute = dispute.segment * folder.job.geometry.stride + step - 1
            yield Level(
                title=_title(Kind.STEPS),
                chosen=f"the state after step {step} of the segment, step {absolute} of the job (from 0)",
                children=1 << len(move.path),
                index=move.index,
                digest=move.leaf,
            )
            kind = Kind.NODES
        elif isinstance(move, SelectWord) and move.dispute == dispute.dispute:
            yield Level(
                title=_title(Kind.PAGE),
                chosen=f"word {_demanded(view, sent).b} of the output: its sum is too long to repeat at once",
                children=64,
                index=move.index,
                digest=b"",
            )
            kind = Kind.FOLD
        elif isinstance(move, Prove) and move.dispute == dispute.dispute:
            yield _last(view, folder, move, lost=dispute.status == DisputeStatus.LOST)


def _demanded(view: ChainView, sent: SentMove) -> PositionInfo:
    return view.position(next(e.args["position"] for e in sent.events if e.name == "Demanded"))


def _title(kind: Kind) -> str:
    return {
        **COMMITTED,
        Kind.TENSOR: "the pages of the output, 64 words each",
        Kind.PAGE: "the 64 words of the page",
        Kind.STATE: "the slots of the state after the step",
    }[kind]


def _chosen(here: Kind, kind: Kind, selected: dict[str, int], folder: JobFolder) -> str:
    if here == Kind.NODES and kind in (Kind.TENSOR, Kind.PAGE):
        node = int(selected["node"])
        return f"the output of node {node}: {folder.program.labels[node]}"
    if here == Kind.NODES and kind == Kind.STATE:
        return "the state after the step: every output agrees"
    if kind == Kind.PAGE:
        return f"page {int(selected['index'])} of the output"
    return f"a part of the list: {1 << int(selected['height']):,} entries"


def _last(view: ChainView, folder: JobFolder, move: Prove, *, lost: bool) -> Level:
    cursor = view.branch(move.dispute, move.candidate).cursor
    levels = 6 if cursor.kind == Kind.PAGE else folder.job.geometry.levels(cursor.height)
    found = "found right" if lost else "found WRONG"
    return Level(
        title=_title(cursor.kind),
        chosen=f"entry {(cursor.index << levels) + move.index} (from 0): repeated by the contract, {found}",
        children=1 << levels,
        index=move.index,
        digest=b"",
    )


# -------------------------------------------------------------------- money


def _payments(moves: Sequence[SentMove], folder: JobFolder) -> Iterator[Payment]:
    for sent in moves:
        for event in sent.events:
            args = event.args
            if event.name == "Fallen":
                yield from _parts(
                    sent,
                    (BURN, args["burned"], "burned from the update's bond"),
                    (args["winner"], args["to_winner"], "gas refund and bounty, from the update's bond"),
                    (sent.sender, args["to_resolver"], "tip for settling"),
                    (folder.job.requester, args["to_requester"], "the rest of the update's bond"),
                )
            elif event.name == "BondLost":
                yield from _parts(
                    sent,
                    (BURN, args["burned"], "burned from a lost bond"),
                    (args["winner"], args["to_winner"], "from a lost bond"),
                )


def _parts(sent: SentMove, *parts: tuple[bytes, int, str]) -> Iterator[Payment]:
    for to, amount, what in parts:
        if amount:
            yield Payment(to=to, amount=int(amount), what=what, time=sent.time)
