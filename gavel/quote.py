"""What a job will cost, pay and risk on this machine (trainer.md, K-5). Sends nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Final

from challenger.pace import Finding, Pace, measure
from gavel.summary import Rows, duration
from protocol.amounts import amount
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.checkpoints import CheckpointStore
from protocol.game import bounds
from protocol.game.demands import MAX_OPEN
from protocol.game.model_board import ANSWER_GAS
from protocol.game.model_ledger import BPS
from protocol.job import NOBODY, Geometry, Job
from protocol.job_folder import JobFolder
from protocol.words_file import size_of
from prover.engine.executor import Executor

APPROVE_GAS: Final = 46_000
LEASE_GAS: Final = 109_000
POST_GAS: Final = (304_000, 11_500, 1_020)
"""For an update, for each level of its history tree (C-9), for each segment."""
CLAIM_GAS: Final = (80_000, 90_000)
"""Once, and for each update."""
WITHDRAW_GAS: Final = 39_000
GAS_SOURCE: Final = (
    "measured at py-evm's Prague prices; tests/unit/test_quote.py plays the moves and compares"
)

SPARE: Final = 1.5
"""Times to spare below which a clock is warned of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the rest of a job would go if this machine trained all of it.

    Attributes:
        updates: sizes in segments.
        trained: seconds from now until the last segment is posted, replay of the tip included.
        final: seconds from now until the last update is final.
        most_pending: most updates that wait at the same time, each with its bond.
    """

    updates: tuple[int, ...]
    trained: float
    final: float
    most_pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Seconds, bytes, gas; tokens in the smallest unit; coins in wei.

    Attributes:
        job: its id in hexadecimal.
        segments, done, stored: of the job, posted by anybody so far, and of these in the store.
        step, segment, trace: seconds of a step, of a segment with its hash, and of what a dispute asks for.
        replay: seconds to replay what is posted and not stored.
        plan: of the rest.
        checkpoint, storage: bytes of a checkpoint, and of all to come.
        gas, fee: to lease, post, claim and withdraw; wei offered for each unit now.
        reward: for all that is left.
        bond, lease_deposit, locked: of an update, for the lease, and the most of both at the same time.
        dispute_gas, dispute_refund: worst case for one side of a dispute, and what the loser's bond gives
            back of it (M-1, M-4); dispute_seconds: the longest that one takes (D-19).
        pages: what showing pages may take, for people (Y-8).
        findings: what can be met and what cannot.
    """

    job: str
    segments: int
    done: int
    stored: int
    step: float
    segment: float
    trace: float
    replay: float
    plan: Plan
    checkpoint: int
    storage: int
    gas: int
    fee: int
    reward: int
    bond: int
    lease_deposit: int
    locked: int
    dispute_gas: int
    dispute_refund: int
    dispute_seconds: int
    pages: str
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, with the source of the gas figures."""
        return asdict(self) | {"gas_source": GAS_SOURCE}

    def rows(self) -> Rows:
        """The same for people: what and value."""
        left, plan, coins = self.segments - self.done, self.plan, self.gas * self.fee / 10**18
        bonds = f"{amount(self.bond)} for each of {plan.most_pending:,} pending"
        repaid = f"the loser's bond repays up to {amount(self.dispute_refund)}"
        dispute = f"up to {self.dispute_gas:,} gas for a side and {duration(self.dispute_seconds)}; {repaid}"
        per_hour = f"{self.reward * 3600 / plan.trained:.3g}" if plan.trained else "0"
        return [
            ("left to train", f"{left:,} of {self.segments:,} segments; updates: {len(plan.updates):,}"),
            ("a step here", f"{self.step:.3g} s (measured)"),
            ("a segment here", f"{self.segment:.3g} s, the hash of its state included"),
            (
                "replay first",
                f"{self.replay:.3g} s; segments posted and not stored: {self.done - self.stored:,}",
            ),
            ("all of it", f"{_time(plan.trained)} to train, {_time(plan.final)} until all is final"),
            ("storage", f"{self.storage:,} bytes: {self.checkpoint:,} a checkpoint"),
            ("gas", f"{self.gas:,} to lease, post and claim: {coins:.6g} coins at {self.fee:,} wei"),
            ("rewards", f"{amount(self.reward)}, {per_hour} an hour of training"),
            ("locked", f"up to {amount(self.locked)}: {bonds}, {amount(self.lease_deposit)} for the lease"),
            (
                "at risk",
                "the bonds, if a bit is wrong or a dispute not answered; the deposit, if the lease ends",
            ),
            ("a dispute", dispute),
            ("pages", self.pages),
        ]


def make_quote(contracts: Contracts, folder: JobFolder, executor: Executor, store: CheckpointStore) -> Quote:
    """Measure this machine, look at the chain, and work it out.

    Raises:
        ChainError: the node failed.
        UsageError: the genesis does not fit the program.
    """
    job, geometry, money = folder.job, folder.job.geometry, folder.job.money
    view = ChainView(contracts)
    view.refresh()
    state, now = view.job_state(job.job_id), view.now()
    done = int(state["next_segment"])
    _, _, root = contracts.board.view("tip", job.job_id)
    path = [c for c in store.following(0, job.genesis) if c.segments <= done]
    stored = done if any(c.root == bytes(root) for c in path) else max((c.segments for c in path), default=0)
    pace = measure(executor, folder)
    segment = pace.segment(geometry.stride)
    replay = (done - stored) * segment
    chain = view.chain(job.job_id)
    earlier = max(chain[-1].deadline - now, 0) if chain else 0
    plan = plan_of(job, left=geometry.segments - done, segment=segment, replay=replay, earlier=earlier)
    checkpoint = size_of([spec.extent for spec in folder.program.slots])
    scheduled = money.scheduled_gas
    holder = state["leaseholder"] if now <= state["lease_due"] else bytes(20)
    return Quote(
        job=job.job_id.hex(),
        segments=geometry.segments,
        done=done,
        stored=stored,
        step=pace.step,
        segment=segment,
        trace=pace.trace(geometry.stride),
        replay=replay,
        plan=plan,
        checkpoint=checkpoint,
        storage=checkpoint * (geometry.segments - done),
        gas=gas_of(geometry, plan.updates),
        fee=contracts.client.fee(),
        reward=money.reward * (geometry.segments - done),
        bond=money.update_bond,
        lease_deposit=money.lease_deposit,
        locked=plan.most_pending * money.update_bond + money.lease_deposit,
        dispute_gas=scheduled,
        dispute_refund=scheduled * money.gas_price,
        dispute_seconds=bounds.dispute_seconds(job.clocks, bounds.longest_of(geometry, folder.program)),
        pages=pages_of(job),
        findings=tuple(judge(job, pace, plan, left=int(state["ends_at"]) - now, holder=holder)),
    )


def pages_of(job: Job) -> str:
    """Say what a trainer of a job has to show, and what it is paid for it (Y-4, Y-8)."""
    audit = job.audit
    if audit.auditor == NOBODY:
        return "nobody may demand any"
    paid = audit.demand_fee * (BPS - job.money.burn_bps) // BPS
    return (
        f"up to {MAX_OPEN} demanded at a time, each shown within {duration(audit.answer_time)} for up to "
        f"{ANSWER_GAS:,} gas and at least {amount(paid)}, or the update falls"
    )


def plan_of(job: Job, *, left: int, segment: float, replay: float = 0.0, earlier: float = 0.0) -> Plan:
    """Work out when updates would be posted and final (U-5, U-6).

    Args:
        left: segments to train; segment, replay: seconds of one, and before the first.
        earlier: seconds until the deadline of the tip.
    """
    clocks = job.clocks
    size = update_size(job, segment)
    updates = [size] * (left // size) + ([left % size] if left % size else [])
    at, deadline = replay, earlier
    posted, final = [], []
    for count in updates:
        at += count * segment
        deadline = max(at + clocks.window, deadline) + count * clocks.replay
        posted.append(at)
        final.append(deadline + clocks.opening)
    pending = [sum(one <= at for one in posted) - sum(one < at for one in final) for at in posted]
    return Plan(
        updates=tuple(updates),
        trained=at,
        final=final[-1] if final else 0.0,
        most_pending=max(pending, default=0),
    )


def update_size(job: Job, segment: float) -> int:
    """Segments of an update as `TrainingAgent` posts them: full, or what a third of the lease gives (K-4)."""
    return max(min(job.geometry.max_segments, ceil(job.clocks.lease / 3 / max(segment, 1e-9))), 1)


def gas_of(geometry: Geometry, updates: tuple[int, ...]) -> int:
    """Gas of all that a trainer sends whom nobody disputes."""
    base, level, each = POST_GAS
    posts = sum(base + level * geometry.history_height + each * count for count in updates)
    once, claim = CLAIM_GAS
    return APPROVE_GAS + LEASE_GAS + posts + once + claim * len(updates) + WITHDRAW_GAS if updates else 0


def judge(job: Job, pace: Pace, plan: Plan, *, left: int, holder: bytes) -> list[Finding]:
    """Compare this machine with the job's clocks.

    Args:
        left: seconds until nothing can be posted any more.
        holder: of a lease that runs; zero where there is none.
    """
    clocks, segment, found = job.clocks, pace.segment(job.geometry.stride), []

    def say(need: float, given: float, fits: str, fails: str) -> None:
        level = "info" if need * SPARE <= given else "warning" if need <= given else "error"
        text = {"info": fits, "warning": f"{fits}, with little to spare", "error": fails}[level]
        found.append(Finding(level=level, text=f"{text} ({need:,.3g} s of {given:,} s)"))

    if not plan.updates:
        return [Finding(level="info", text="all segments are posted: nothing is left to train")]
    if any(holder):
        text = f"0x{holder.hex()} holds the lease: wait until it is released or late"
        found.append(Finding(level="warning", text=text))
    say(
        segment,
        clocks.lease,
        "a segment is trained before the lease runs out",
        "THE LEASE RUNS OUT before a segment is trained and its deposit is lost: do not lease",
    )
    say(
        pace.trace(job.geometry.stride),
        clocks.allowance + clocks.response,
        "a dispute can be answered in time",
        "A DISPUTE CANNOT BE ANSWERED in time, every bond is at risk: use a faster machine, or do not post",
    )
    say(
        plan.trained,
        max(left, 0),
        "all that is left can be posted before the job ends",
        "THE JOB ENDS before all of it can be posted; what is posted until then is paid",
    )
    return found


def _time(seconds: float) -> str:
    return duration(ceil(seconds))
