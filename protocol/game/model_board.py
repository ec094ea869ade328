"""The job board as plain values: jobs, leases, the chain of updates, and all money (updates.md, money.md).

Written from the rules, to be compared with contracts_vyper/JobBoard.vy. Refusals carry the contract's
reasons. Every method checks before it changes anything, so a refused move leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from protocol.commitments.tree import Tree
from protocol.errors import RefusedError, UsageError
from protocol.game.ids import update_id
from protocol.game.model_ledger import BPS, Ledger, require
from protocol.game.view import UpdateInfo, UpdateStatus
from protocol.job import NOBODY, Geometry, Job

MAX_AMOUNT: Final = 1 << 128
MAX_GAS: Final = 1 << 32
MAX_ANSWER_TIME: Final = 1 << 32
ANSWER_GAS: Final = 300_000
"""Gas of one answer to a demand at worst (Y-8)."""


def check_geometry(g: Geometry) -> None:
    """Refuse what no job is opened with (U-1). Raises RefusedError with the board's reason."""
    counts = (g.n_nodes, g.n_slots, g.n_inputs, g.n_rows, g.batch, g.steps, g.stride, g.max_segments)
    require(min(counts) > 0, "board: geometry is zero")
    require(g.steps <= 1 << 31 and g.stride <= g.steps, "board: steps or stride")
    require(g.max_segments <= 63, "board: max_segments")
    require(g.tensor_height <= 26, "board: tensor height")
    require(g.input_height <= 26, "board: input height")
    require(1 <= g.fanout_log2 <= 10 and g.range_log2 <= 6, "board: fan-out or range")


@dataclass(slots=True)
class JobRecord:
    """A job and what changes in it."""

    terms: Job
    ends_at: int
    chain: list[bytes] = field(default_factory=list)
    falls: int = 0
    leaseholder: bytes | None = None
    lease_due: int = 0
    refunded: bool = False
    posted: bool = False


@dataclass(slots=True)
class UpdateRecord:
    """An update as posted, and what became of it."""

    job: bytes
    parent: bytes
    trainer: bytes
    index: int
    first_segment: int
    first_state: bytes
    states: tuple[bytes, ...]
    history_root: bytes
    deadline: int
    open_disputes: int = 0
    settled: bool = False
    fallen: bool = False
    moot_share: int = 0
    open_demands: int = 0

    @property
    def held(self) -> bool:
        """Whether a dispute or a demand holds finality back (U-6)."""
        return bool(self.open_disputes or self.open_demands)


class Board(Ledger):
    """Jobs, updates and the ledger."""

    def __init__(
        self, *, chain_id: int, address: bytes, scheduled_gas: int, now: int, governor: bytes | None = None
    ) -> None:
        """A board without jobs.

        Args:
            scheduled_gas: the least that a job may schedule (M-1); now: the first timestamp.
            governor: 20 bytes, who may change the least; None: nobody.
        """
        super().__init__()
        self.chain_id = chain_id
        self.address = address
        self.scheduled_gas = scheduled_gas
        self.governor = governor
        self.time = now
        self.jobs: dict[bytes, JobRecord] = {}
        self.updates: dict[bytes, UpdateRecord] = {}

    @staticmethod
    def gas_refund(terms: Job) -> int:
        """Tokens for the scheduled gas of one side (M-1)."""
        return terms.money.gas_price * terms.money.scheduled_gas

    def set_scheduled_gas(self, sender: bytes, units: int) -> None:
        """Change the least gas that later jobs may schedule (M-1)."""
        require(self.governor is not None and sender == self.governor, "board: not the governor")
        require(0 < units < MAX_GAS, "board: scheduled gas")
        self.scheduled_gas = units

    def set_governor(self, sender: bytes, governor: bytes | None) -> None:
        """Name another governor, or nobody for ever (M-1)."""
        require(self.governor is not None and sender == self.governor, "board: not the governor")
        self.governor = governor

    # ---------------------------------------------------------------- jobs

    def record(self, job: bytes) -> JobRecord:
        """Return the record of a job. Raises RefusedError if there is none."""
        require(job in self.jobs, "board: unknown job")
        return self.jobs[job]

    def open_job(self, sender: bytes, terms: Job) -> bytes:
        """Open and fund a job (U-1, M-2)."""
        require(
            terms.chain_id == self.chain_id and terms.board == self.address,
            "board: terms are for another board",
        )
        require(terms.requester == sender, "board: not the requester")
        check_geometry(terms.geometry)
        self._check_money(terms)
        job = terms.job_id
        require(job not in self.jobs, "board: job exists")
        self.take(sender, terms.money.reward * terms.geometry.segments)
        self.jobs[job] = JobRecord(terms=terms, ends_at=terms.expiry)
        return job

    def _check_money(self, terms: Job) -> None:
        clocks, money = terms.clocks, terms.money
        positive = (clocks.window, clocks.response, clocks.opening, clocks.lease)
        require(min(positive) > 0, "board: a clock is zero")
        require(terms.expiry > self.time, "board: expired")
        amounts = (money.update_bond, money.challenge_bond, money.defence_bond, money.lease_deposit)
        bounded = (*amounts, money.reward, money.gas_price, money.bounty, money.tip, terms.audit.demand_fee)
        require(max(bounded) < MAX_AMOUNT, "board: amount too large")
        # INVARIANT: I-10, what the governor sets binds jobs opened later, and is a term of each of them.
        require(self.scheduled_gas <= money.scheduled_gas < MAX_GAS, "board: scheduled gas")
        require(1000 <= money.burn_bps <= 9000, "board: burned share")
        refund = self.gas_refund(terms)
        # INVARIANT: I-1, a lost bond covers what M-3 to M-6 pay out of it (M-2).
        needs = (
            (money.update_bond, refund + money.bounty + money.tip, "board: update bond too small"),
            (money.challenge_bond, refund + money.bounty + money.tip, "board: challenge bond too small"),
            (money.defence_bond, refund + money.tip, "board: defence bond too small"),
            (money.lease_deposit, money.tip, "board: lease deposit too small"),
        )
        for bond, owed, reason in needs:
            require(bond * (BPS - money.burn_bps) >= owed * BPS, reason)
        require(money.reward > 0, "board: no reward")
        if terms.audit.auditor != NOBODY:
            require(0 < terms.audit.answer_time < MAX_ANSWER_TIME, "board: answer time")
            fee, answer = terms.audit.demand_fee, money.gas_price * ANSWER_GAS
            # INVARIANT: I-6, who answers is paid for its gas.
            require(fee * (BPS - money.burn_bps) >= answer * BPS, "board: demand fee too small")

    def cancel(self, sender: bytes, job: bytes) -> None:
        """Give notice (U-9)."""
        record = self.jobs.get(job)
        if record is None or record.terms.requester != sender:
            raise RefusedError("board: not the requester")
        record.ends_at = min(record.ends_at, self.time + record.terms.clocks.notice)

    def refund(self, job: bytes) -> int:
        """Credit the requester with what was not earned (U-9)."""
        record = self.record(job)
        require(self.time > record.ends_at, "board: job has not ended")
        require(self.final_length(job) == len(record.chain), "board: updates are pending")
        require(not record.refunded, "board: refunded")
        record.refunded = True
        left = record.terms.geometry.segments - self.next_segment(job)
        amount = record.terms.money.reward * left
        self.credit(record.terms.requester, amount)
        return amount

    # ---------------------------------------------------------------- leases

    def lease(self, sender: bytes, job: bytes) -> None:
        """Take the lease, evicting a late holder (U-3)."""
        record = self.record(job)
        late = record.leaseholder is not None and self.time > record.lease_due
        require(record.leaseholder is None or late, "board: leased")
        require(self.time <= record.ends_at, "board: job has ended")
        require(self.next_segment(job) < record.terms.geometry.segments, "board: nothing left to post")
        self.require_tokens(sender, record.terms.money.lease_deposit)
        if late:
            self.evict(sender, job)
        self.take(sender, record.terms.money.lease_deposit)
        record.leaseholder = sender
        record.lease_due = self.time + record.terms.clocks.lease
        record.posted = False

    def release(self, sender: bytes, job: bytes) -> None:
        """Give the lease back in time; an unused one of a job that goes on loses the deposit (U-3, M-6)."""
        record = self.jobs.get(job)
        if record is None or record.leaseholder != sender:
            raise RefusedError("board: not the leaseholder")
        require(self.time <= record.lease_due, "board: lease is late")
        if record.posted or self.time > record.ends_at:
            self._end_lease(record)
        else:
            self._forfeit(record, tip=0)

    def evict(self, sender: bytes, job: bytes) -> None:
        """End a late lease; the deposit is lost (M-6)."""
        record = self.jobs.get(job)
        if record is None or record.leaseholder is None:
            raise RefusedError("board: not leased")
        require(self.time > record.lease_due, "board: lease is not late")
        tip = record.terms.money.tip
        self.credit(sender, tip)
        self._forfeit(record, tip=tip)

    def _forfeit(self, record: JobRecord, *, tip: int) -> None:
        deposit = record.terms.money.lease_deposit
        record.leaseholder = None
        self.credit(record.terms.requester, deposit - self._burn(record.terms, deposit) - tip)

    def _end_lease(self, record: JobRecord) -> None:
        if record.leaseholder is not None:
            self.credit(record.leaseholder, record.terms.money.lease_deposit)
            record.leaseholder = None

    # ---------------------------------------------------------------- updates

    def next_segment(self, job: bytes) -> int:
        """Return the first segment after the tip (U-2)."""
        chain = self.jobs[job].chain
        return self.updates[chain[-1]].first_segment + len(self.updates[chain[-1]].states) if chain else 0

    def parent(self, job: bytes) -> bytes:
        """Return what the next update names as its parent: the tip, or the job (U-4)."""
        chain = self.jobs[job].chain
        return chain[-1] if chain else job

    def post(self, sender: bytes, job: bytes, parent: bytes, states: tuple[bytes, ...]) -> bytes:
        """Post further segments on the tip (U-4, U-5)."""
        record = self.record(job)
        terms, geometry = record.terms, record.terms.geometry
        require(record.leaseholder == sender, "board: not the leaseholder")
        require(self.time <= record.lease_due, "board: lease is late")
        require(self.time <= record.ends_at, "board: job has ended")
        first_segment = self.next_segment(job)
        require(1 <= len(states) <= geometry.max_segments, "board: number of segments")
        require(first_segment + len(states) <= geometry.segments, "board: beyond the last segment")
        # INVARIANT: I-2, the update starts at the state that the tip ends with.
        require(parent == self.parent(job), "board: not the tip")  # INVARIANT: I-9
        first_state, deadline = terms.genesis, self.time + terms.clocks.window
        if record.chain:
            tip = self.updates[parent]
            first_state, deadline = tip.states[-1], max(deadline, tip.deadline)
        history_root = Tree([first_state, *states], geometry.history_height).root
        update = update_id(
            job=job,
            parent=parent,
            first_segment=first_segment,
            segments=len(states),
            history_root=history_root,
            last_state=states[-1],
            trainer=sender,
            falls=record.falls,
        )
        require(update not in self.updates, "board: update exists")
        self.take(sender, terms.money.update_bond)
        self.updates[update] = UpdateRecord(
            job=job,
            parent=parent,
            trainer=sender,
            index=len(record.chain),
            first_segment=first_segment,
            first_state=first_state,
            states=states,
            history_root=history_root,
            deadline=deadline + len(states) * terms.clocks.replay,
        )
        record.chain.append(update)
        record.lease_due = self.time + terms.clocks.lease
        record.posted = True
        if first_segment + len(states) == geometry.segments:
            self._end_lease(record)
        return update

    def is_live(self, update: bytes) -> bool:
        """Whether the chain holds the update (U-2)."""
        record = self.updates.get(update)
        if record is None:
            return False
        chain = self.jobs[record.job].chain
        return record.index < len(chain) and chain[record.index] == update

    def final_length(self, job: bytes) -> int:
        """Return the number of final updates (U-6), by time, recorded or not."""
        record = self.jobs[job]
        for length, update in enumerate(record.chain):
            posted = self.updates[update]
            # INVARIANT: I-3, reservations end at the deadline and opening V later (D-2).
            if posted.held or self.time <= posted.deadline + record.terms.clocks.opening:
                return length
        return len(record.chain)

    def finalise(self, job: bytes) -> None:
        """Record what is final (U-6): nothing to do where it follows from the time, but for unknown jobs."""
        self.record(job)

    def is_final(self, update: bytes) -> bool:
        """Whether an update is live and final (U-6)."""
        record = self.updates[update]
        return self.is_live(update) and record.index < self.final_length(record.job)

    def claim(self, update: bytes) -> int:
        """Credit a final update's trainer with rewards and bond (U-7)."""
        require(update in self.updates, "board: unknown update")
        record = self.updates[update]
        require(self.is_final(update), "board: not final")
        require(not record.settled, "board: claimed")
        record.settled = True
        money = self.jobs[record.job].terms.money
        amount = money.reward * len(record.states) + money.update_bond
        self.credit(record.trainer, amount)
        return amount

    def reclaim(self, update: bytes) -> int:
        """Credit a void update's trainer with its bond (U-8)."""
        require(update in self.updates, "board: unknown update")
        record = self.updates[update]
        require(not self.is_live(update), "board: update is live")
        require(not record.settled, "board: bond is gone")
        record.settled = True
        amount = self.jobs[record.job].terms.money.update_bond
        self.credit(record.trainer, amount)
        return amount

    def info(self, update: bytes) -> UpdateInfo:
        """An update as the view shows it (U-11). Raises UsageError if it was never posted."""
        if update not in self.updates:
            raise UsageError(f"update {update.hex()} was never posted; look it up in the chain of its job")
        record = self.updates[update]
        if self.is_live(update):
            status = UpdateStatus.FINAL if self.is_final(update) else UpdateStatus.PENDING
        else:
            status = UpdateStatus.FALLEN if record.fallen else UpdateStatus.VOID
        return UpdateInfo(
            update=update,
            job=record.job,
            parent=record.parent,
            trainer=record.trainer,
            index=record.index,
            first_segment=record.first_segment,
            segments=len(record.states),
            first_state=record.first_state,
            states=record.states,
            deadline=record.deadline,
            status=status,
        )

    # ---------------------------------------------------------------- for the court

    def lose_challenge_bond(self, job: bytes, resolver: bytes | None, winner: bytes) -> None:
        """Split a lost challenge bond (M-4); no resolver, no tip."""
        terms = self.jobs[job].terms
        prize = self.gas_refund(terms) + terms.money.bounty
        self._lose(terms, terms.money.challenge_bond, resolver, terms.money.tip, winner, prize)

    def lose_defence_bond(self, job: bytes, winner: bytes, feller: bytes) -> None:
        """Split a lost defence bond (M-5)."""
        terms = self.jobs[job].terms
        prize, other = self.gas_refund(terms), None if feller == winner else feller
        self._lose(terms, terms.money.defence_bond, other, prize, winner, prize)

    def _lose(
        self, terms: Job, amount: int, other: bytes | None, share: int, winner: bytes, prize: int
    ) -> None:
        rest = amount - self._burn(terms, amount) - prize
        if other is not None:
            paid = min(share, rest)
            self.credit(other, paid)
            rest -= paid
        self.credit(winner, prize)
        self.credit(terms.requester, rest)

    def fell(self, update: bytes, resolver: bytes, winner: bytes) -> None:
        """Fell an update (U-8), split its bond (M-3); the credited dispute is no longer open."""
        record = self.updates[update]
        job = self.jobs[record.job]
        terms = job.terms
        job.chain = job.chain[: record.index]
        job.falls += 1
        record.fallen = record.settled = True
        self._end_lease(job)
        refund, tip = self.gas_refund(terms), terms.money.tip
        prize = refund + terms.money.bounty
        rest = terms.money.update_bond - self._burn(terms, terms.money.update_bond) - tip - prize
        if record.open_disputes:
            record.moot_share = min(refund, rest // record.open_disputes)
            rest -= record.moot_share * record.open_disputes
        self.credit(resolver, tip)
        self.credit(winner, prize)
        self.credit(terms.requester, rest)

    def demand_closed(self, update: bytes, payee: bytes, fee: int, *, answered: bool) -> None:
        """Count a demand as over; credit its fee, less the burned share if it was answered (Y-4 to Y-6)."""
        record = self.updates[update]
        record.open_demands -= 1
        burned = self._burn(self.jobs[record.job].terms, fee) if answered else 0
        self.credit(payee, fee - burned)

    def locked(self) -> int:
        """Return what the board must hold for jobs, leases and updates (I-1).

        Without the court's bonds and the fees of demands.
        """
        total = 0
        for job, record in self.jobs.items():
            money = record.terms.money
            total += money.lease_deposit if record.leaseholder is not None else 0
            paid = sum(len(u.states) for k, u in self.updates.items() if k in record.chain and u.settled)
            segments = self.next_segment(job) if record.refunded else record.terms.geometry.segments
            total += money.reward * (segments - paid)
            mine = [u for u in self.updates.values() if u.job == job]
            total += money.update_bond * sum(not u.settled for u in mine)
            total += sum(u.moot_share * u.open_disputes for u in mine if u.fallen)
        return total
