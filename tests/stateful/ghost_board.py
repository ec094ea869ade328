"""What the ghost knows of jobs, leases and updates (updates.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from tests.stateful.ghost_base import NOBODY, Conditions, Logged, Refused, digest, height, root_of
from tests.stateful.ghost_ledger import Ledger
from tests.stateful.ghost_terms import GhostTerms
from tests.stateful.ghost_token import GhostToken

LOOK_AHEAD: Final = 64


@dataclass(slots=True)
class Job:
    """A job. `recorded` counts the updates recorded as final; `ends_at` is the last moment for a post."""

    terms: GhostTerms
    ends_at: int
    chain: list[bytes] = field(default_factory=list)
    recorded: int = 0
    falls: int = 0
    leaseholder: str = NOBODY
    lease_due: int = 0
    posted: bool = False
    refunded: bool = False


@dataclass(slots=True)
class Update:
    """An update. `settled`: its bond is credited or lost."""

    job: bytes
    parent: bytes
    trainer: str
    index: int
    first_segment: int
    states: list[bytes]
    start: bytes
    deadline: int
    history_root: bytes
    open_disputes: int = 0
    open_demands: int = 0
    settled: bool = False
    moot_share: int = 0
    fallen: bool = False


class GhostBoard(Ledger):
    """The job board. `now` is the time of the block, in seconds, and `chain_id` that of the chain."""

    def __init__(
        self,
        token: GhostToken,
        address: str,
        log: list[Logged],
        *,
        chain_id: int,
        least_gas: int,
        governor: str,
    ) -> None:
        """A board that is bound to its court."""
        super().__init__(token, address, log)
        self.chain_id, self.least_gas, self.governor = chain_id, least_gas, governor
        self.now = 0
        self.jobs: dict[bytes, Job] = {}
        self.updates: dict[bytes, Update] = {}

    # ---------------------------------------------------------------- what is so now

    def next_segment(self, job: Job) -> int:
        """The first segment that no live update has."""
        if not job.chain:
            return 0
        tip = self.updates[job.chain[-1]]
        return tip.first_segment + len(tip.states)

    def last_state(self, job: Job) -> bytes:
        """The state that the next segment starts from."""
        return self.updates[job.chain[-1]].states[-1] if job.chain else job.terms.genesis

    def terms_of(self, update: bytes) -> GhostTerms:
        """The terms of an update's job."""
        return self.jobs[self.updates[update].job].terms

    def is_live(self, update: bytes) -> bool:
        """U-2."""
        known = self.updates.get(update)
        return known is not None and update in self.jobs[known.job].chain

    def final_length(self, job: Job) -> int:
        """How many updates are final now (U-6), as far as the contract looks."""
        count = job.recorded
        for update in job.chain[count : count + LOOK_AHEAD]:
            known = self.updates[update]
            late = self.now > known.deadline + job.terms.opening
            if not late or known.open_disputes or known.open_demands:
                break
            count += 1
        return count

    def is_final(self, update: bytes) -> bool:
        """U-6."""
        if not self.is_live(update):
            return False
        known = self.updates[update]
        return known.index < self.final_length(self.jobs[known.job])

    def status(self, update: bytes) -> str:
        """U-11; empty for what there is not."""
        known = self.updates.get(update)
        if known is None:
            return ""
        if self.is_live(update):
            return "final" if self.is_final(update) else "pending"
        return "fallen" if known.fallen else "void"

    def history_path(self, known: Update, leaf: int) -> list[bytes]:
        """C-9: the siblings of a leaf of an update's history."""
        levels = height(self.jobs[known.job].terms.max_segments + 1)
        row, path = [known.start, *known.states], []
        for level in range(levels):
            span = (leaf >> level ^ 1) << level
            path.append(root_of(row[span : span + (1 << level)], level))
        return path

    # ---------------------------------------------------------------- jobs

    def set_scheduled_gas(self, sender: str, gas: int) -> None:
        """M-1: the lower bound for jobs opened from now on."""
        if_ = Conditions()
        if_(sender != self.governor, "board: not the governor")
        if_(not 1 <= gas < 1 << 32, "board: scheduled gas")
        if_.refuse()
        self.say("ScheduledGasSet", before=self.least_gas, scheduled_gas=gas)
        self.least_gas = gas

    def set_governor(self, sender: str, governor: str) -> None:
        """M-1: another one from now on, or nobody."""
        if_ = Conditions()
        if_(sender != self.governor, "board: not the governor")
        if_.refuse()
        self.governor = governor
        self.say("GovernorSet", before=sender, governor=governor)

    def open_job(self, sender: str, words: tuple[Any, ...]) -> bytes:
        """U-1."""
        terms, if_ = GhostTerms(words), Conditions()
        if_(terms.requester != sender, "board: not the requester")
        if_(terms.job in self.jobs, "board: job exists")
        terms.forbidden(
            if_, now=self.now, chain_id=self.chain_id, board=self.address, least_gas=self.least_gas
        )
        cost = terms.reward * terms.segments if terms.stride else 0
        self.short(if_, sender, cost)
        if_.refuse()
        self.take(sender, cost)
        self.jobs[terms.job] = Job(terms=terms, ends_at=terms.expiry)
        self.say("JobOpened", job=terms.job, requester=sender, terms=tuple(words))
        return terms.job

    def cancel(self, sender: str, job: bytes) -> None:
        """U-9."""
        known = self.jobs.get(job)
        if known is None or known.terms.requester != sender:
            raise Refused("board: not the requester")
        ends_at = self.now + known.terms.notice
        if ends_at < known.ends_at:
            known.ends_at = ends_at
            self.say("Cancelled", job=job, ends_at=ends_at)

    def _job(self, job: bytes, *also: str) -> Job:
        """A job; what else can be said of none comes with the reason."""
        known = self.jobs.get(job)
        if known is None:
            raise Refused("board: unknown job", *also)
        return known

    # ---------------------------------------------------------------- leases (U-3)

    def lease(self, sender: str, job: bytes) -> None:
        """Take the lease."""
        known, if_ = self._job(job), Conditions()
        held = known.leaseholder != NOBODY
        if_(held and self.now <= known.lease_due, "board: leased")
        if_(self.now > known.ends_at, "board: job has ended")
        if_(self.next_segment(known) == known.terms.segments, "board: nothing left to post")
        self.short(if_, sender, known.terms.lease_deposit)
        if_.refuse()
        if held:
            self._end_lease(known, forfeited=True, resolver=sender)
        self.take(sender, known.terms.lease_deposit)
        known.leaseholder, known.lease_due, known.posted = sender, self.now + known.terms.lease, False
        self.say("Leased", job=job, trainer=sender, due=known.lease_due)

    def _end_lease(self, job: Job, *, forfeited: bool, resolver: str | None = None) -> None:
        self.say("LeaseEnded", job=job.terms.job, trainer=job.leaseholder, forfeited=forfeited)
        if forfeited:
            self.lose_lease(job.terms, resolver)
        else:
            self.owe(job.leaseholder, job.terms.lease_deposit)
        job.leaseholder = NOBODY

    def release(self, sender: str, job: bytes) -> None:
        """Give the lease back in time."""
        if_ = Conditions()
        known = self._held(job, sender, if_)
        if_(known.leaseholder != NOBODY and self.now > known.lease_due, "board: lease is late")
        if_.refuse()
        self._end_lease(known, forfeited=not known.posted and self.now <= known.ends_at)

    def _held(self, job: bytes, sender: str, if_: Conditions) -> Job:
        known = self._job(job, "board: not leased", "board: not the leaseholder")
        if_(known.leaseholder == NOBODY, "board: not leased")
        if_(known.leaseholder != sender, "board: not the leaseholder")
        return known

    def evict(self, sender: str, job: bytes) -> None:
        """End a late lease."""
        known, if_ = self._job(job, "board: not leased"), Conditions()
        if_(known.leaseholder == NOBODY, "board: not leased")
        if_(known.leaseholder != NOBODY and self.now <= known.lease_due, "board: lease is not late")
        if_.refuse()
        self._end_lease(known, forfeited=True, resolver=sender)

    # ---------------------------------------------------------------- updates

    def post(self, sender: str, job: bytes, parent: bytes, states: list[bytes]) -> bytes:
        """U-4."""
        if_ = Conditions()
        known = self._held(job, sender, if_)
        terms, first, count = known.terms, self.next_segment(known), len(states)
        if_(known.leaseholder != NOBODY and self.now > known.lease_due, "board: lease is late")
        if_(self.now > known.ends_at, "board: job has ended")
        if_(not 1 <= count <= terms.max_segments, "board: number of segments")
        if_(first + count > terms.segments, "board: beyond the last segment")
        tip = known.chain[-1] if known.chain else job
        if_(parent != tip, "board: not the tip")
        self.short(if_, sender, terms.update_bond)
        if_.refuse()

        self.take(sender, terms.update_bond)
        start = self.last_state(known)
        history = root_of([start, *states], height(terms.max_segments + 1))
        update = digest(job, tip, first, count, history, states[-1], sender, known.falls)
        before = self.updates[tip].deadline if known.chain else 0
        made = Update(
            job=job,
            parent=tip,
            trainer=sender,
            index=len(known.chain),
            first_segment=first,
            states=list(states),
            start=start,
            deadline=max(self.now + terms.window, before) + count * terms.replay,
            history_root=history,
        )
        self.updates[update] = made
        known.chain.append(update)
        known.posted, known.lease_due = True, self.now + terms.lease
        self.say(
            "Posted",
            job=job,
            update=update,
            trainer=sender,
            parent=tip,
            index=made.index,
            first_segment=first,
            states=tuple(states),
            deadline=made.deadline,
        )
        if first + count == terms.segments:
            self._end_lease(known, forfeited=False)
        return update

    def _update(self, update: bytes) -> Update:
        known = self.updates.get(update)
        if known is None:
            raise Refused("board: unknown update")
        return known

    def _record(self, job: bytes) -> None:
        known = self.jobs[job]
        length = self.final_length(known)
        for update in known.chain[known.recorded : length]:
            self.say("Finalised", job=job, update=update)
        known.recorded = length

    def finalise(self, _sender: str, job: bytes) -> None:
        """U-6."""
        self._job(job)
        self._record(job)

    def claim(self, _sender: str, update: bytes) -> int:
        """U-7."""
        known, if_ = self._update(update), Conditions()
        if_(not self.is_final(update), "board: not final")
        if_(known.settled and self.is_live(update), "board: claimed")
        if_.refuse()
        self._record(known.job)
        terms = self.jobs[known.job].terms
        amount = terms.reward * len(known.states) + terms.update_bond
        known.settled = True
        self.owe(known.trainer, amount)
        self.say("Claimed", update=update, trainer=known.trainer, amount=amount)
        return amount

    def reclaim(self, _sender: str, update: bytes) -> int:
        """U-8."""
        known, if_ = self._update(update), Conditions()
        if_(self.is_live(update), "board: update is live")
        if_(known.settled, "board: bond is gone")
        if_.refuse()
        amount, known.settled = self.jobs[known.job].terms.update_bond, True
        self.owe(known.trainer, amount)
        self.say("Reclaimed", update=update, trainer=known.trainer, amount=amount)
        return amount

    def refund(self, _sender: str, job: bytes) -> int:
        """U-9."""
        known, if_ = self._job(job), Conditions()
        if_(self.now <= known.ends_at, "board: job has not ended")
        if_(self.final_length(known) < len(known.chain), "board: updates are pending")
        if_(known.refunded, "board: refunded")
        if_.refuse()
        self._record(job)
        amount = known.terms.reward * (known.terms.segments - self.next_segment(known))
        known.refunded = True
        self.owe(known.terms.requester, amount)
        self.say("Refunded", job=job, amount=amount)
        return amount

    # ---------------------------------------------------------------- falls (U-8, M-3)

    def fell(self, update: bytes, *, resolver: str, winner: str, others: int) -> None:
        """An update falls; `others`: the open disputes on it besides the credited one."""
        known = self.updates[update]
        job = self.jobs[known.job]
        terms = job.terms
        del job.chain[known.index :]
        job.falls += 1
        known.fallen = known.settled = True
        if job.leaseholder != NOBODY:
            self._end_lease(job, forfeited=False)
        prize = terms.gas_refund + terms.bounty
        burned, paid, left = self.split(
            terms, terms.update_bond, resolver=resolver, tip=terms.tip, winner=winner, prize=prize
        )
        if others:
            known.moot_share = min(terms.gas_refund, left // others)
            left -= known.moot_share * others
        self.owe(terms.requester, left)
        self.say(
            "Fallen",
            job=known.job,
            update=update,
            winner=winner,
            burned=burned,
            to_winner=paid,
            to_resolver=terms.tip,
            to_requester=left,
        )
