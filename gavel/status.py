"""What a board holds, as one picture for people and programs: `gavel status`, read only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from challenger.ledger import Exposure, exposure
from gavel.awaited import Awaited, awaited
from protocol.chain.agent import STALE
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.errors import UsageError
from protocol.game.demands import DemandInfo
from protocol.game.view import DisputeInfo, UpdateInfo, UpdateStatus
from protocol.job import Clocks, Geometry, Money

FORMAT: Final = "gavel status 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """The node that was asked.

    Attributes:
        chain_id, block, time: of its head; age: seconds that it is behind this machine's clock.
        stale: whether that is more than a node in step with its network should be.
    """

    chain_id: int
    block: int
    time: int
    age: int
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeState:
    """A dispute and what it waits for, the most urgent first."""

    info: DisputeInfo
    awaited: Sequence[Awaited]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateState:
    """An update.

    Attributes:
        final_at: the first second in which it is final if nothing is opened against it (U-6).
        demands: for pages of its last state that are open, what is due first before the others (Y-2).
    """

    info: UpdateInfo
    final_at: int
    disputes: Sequence[DisputeState]
    demands: Sequence[DemandInfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job on the board.

    Attributes:
        requester, leaseholder: 20 bytes; the latter None where nobody holds the lease.
        lease_due, expiry: seconds; nothing can be posted after `expiry`.
        final, posted: segments that are final, and that stand in the chain.
        falls: updates that have fallen so far.
    """

    job: bytes
    requester: bytes
    geometry: Geometry
    clocks: Clocks
    money: Money
    expiry: int
    leaseholder: bytes | None
    lease_due: int
    final: int
    posted: int
    falls: int
    updates: Sequence[UpdateState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A board at one moment. `account` and `exposure` are None unless somebody was asked about."""

    node: NodeState
    jobs: Sequence[JobState]
    account: bytes | None = None
    exposure: Exposure | None = None


def picture(
    contracts: Contracts,
    view: ChainView,
    *,
    jobs: Sequence[bytes] | None = None,
    account: bytes | None = None,
) -> Picture:
    """Read a board.

    Args:
        view: refreshed.
        jobs: ids; all jobs unless given.
        account: whose exposure to read, 20 bytes.

    Raises:
        UsageError: a job is not on this board.
        ChainError: the node failed.
    """
    chosen = view.jobs() if jobs is None else jobs
    return Picture(
        node=node_state(contracts, view),
        jobs=[job_state(view, job) for job in chosen],
        account=account,
        exposure=None if account is None else exposure(view, account),
    )


def node_state(contracts: Contracts, view: ChainView) -> NodeState:
    """What is known of a node, as of the view's last look."""
    age = int(time.time()) - view.now()
    return NodeState(
        chain_id=contracts.client.chain_id, block=view.block, time=view.now(), age=age, stale=age > STALE
    )


def job_state(view: ChainView, job: bytes) -> JobState:
    """Read one job. Raises UsageError if the board does not know it."""
    if job not in view.jobs():
        raise UsageError(f"the board knows no job {job.hex()}; check the deployment file and --rpc")
    terms, state = view.terms(job), view.job_state(job)
    clocks = Clocks.unpack(int(terms["clocks"]))
    updates = [update_state(view, update, clocks) for update in view.updates(job)]
    chain = view.chain(job)
    leased = any(state["leaseholder"])
    return JobState(
        job=job,
        requester=terms["requester"],
        geometry=Geometry.unpack(int(terms["geometry"])),
        clocks=clocks,
        money=Money(**{field.name: int(terms[field.name]) for field in fields(Money)}),
        expiry=int(terms["expiry"]),
        leaseholder=state["leaseholder"] if leased else None,
        lease_due=int(state["lease_due"]) if leased else 0,
        final=segments(u for u in chain if u.status == UpdateStatus.FINAL),
        posted=segments(chain),
        falls=int(state["falls"]),
        updates=updates,
    )


def segments(chain: Iterable[UpdateInfo]) -> int:
    """Segments of some updates together."""
    return sum(update.segments for update in chain)


def update_state(view: ChainView, update: UpdateInfo, clocks: Clocks) -> UpdateState:
    """An update with its disputes and the demands for its pages."""
    disputes = [
        DisputeState(info=found, awaited=awaited(view, found))
        for found in view.disputes(update=update.update)
    ]
    return UpdateState(
        info=update,
        final_at=update.deadline + clocks.opening + 1,
        disputes=disputes,
        demands=view.open_demands(update.update),
    )


def to_json(seen: Picture) -> dict[str, Any]:
    """A picture as values of JSON: ids in hexadecimal, addresses with 0x, amounts as strings of digits."""
    return {
        "format": FORMAT,
        "node": asdict(seen.node),
        "jobs": [_job(job) for job in seen.jobs],
        "account": None if seen.account is None else address(seen.account),
        "exposure": None if seen.exposure is None else _exposure(seen.exposure),
    }


def _job(job: JobState) -> dict[str, Any]:
    return {
        "job": job.job.hex(),
        "requester": address(job.requester),
        "segments": job.geometry.segments,
        "posted": job.posted,
        "final": job.final,
        "falls": job.falls,
        "expiry": job.expiry,
        "leaseholder": None if job.leaseholder is None else address(job.leaseholder),
        "lease_due": job.lease_due,
        "geometry": asdict(job.geometry),
        "clocks": asdict(job.clocks),
        "money": {key: str(value) for key, value in asdict(job.money).items()},
        "updates": [_update(update) for update in job.updates],
    }


def _update(update: UpdateState) -> dict[str, Any]:
    info = update.info
    return {
        "update": info.update.hex(),
        "parent": info.parent.hex(),
        "trainer": address(info.trainer),
        "index": info.index,
        "first_segment": info.first_segment,
        "segments": info.segments,
        "status": info.status.value,
        "deadline": info.deadline,
        "final_at": update.final_at,
        "last_state": info.states[-1].hex(),
        "disputes": [_dispute(dispute) for dispute in update.disputes],
        "demands": [_demand(demand) for demand in update.demands],
    }


def _dispute(dispute: DisputeState) -> dict[str, Any]:
    info = dispute.info
    return {
        "dispute": info.dispute.hex(),
        "segment": info.segment,
        "challenger": address(info.challenger),
        "reserved_at": info.reserved_at,
        "status": info.status.value,
        "awaited": [
            {
                "side": move.side.value,
                "move": move.move,
                "position": move.position.hex(),
                "candidate": None if move.candidate is None else move.candidate.hex(),
                "due": move.due,
                "limit": move.limit,
            }
            for move in dispute.awaited
        ],
    }


def _demand(demand: DemandInfo) -> dict[str, Any]:
    return {
        "demand": demand.demand.hex(),
        "asker": address(demand.asker),
        "slot": demand.slot,
        "page": demand.page,
        "due": demand.due,
        "fee": str(demand.fee),
    }


def _exposure(found: Exposure) -> dict[str, Any]:
    counts = ("open", "won", "lost")
    return {key: value if key in counts else str(value) for key, value in asdict(found).items()}


def address(account: bytes) -> str:
    """An address as JSON has it."""
    return "0x" + account.hex()
