# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Jobs: terms, notice, leases
@license Apache-2.0
@notice A requester opens and funds a job; one leaseholder at a time may post on its tip.
@dev Rules U-1, U-3, U-9, M-2, M-6.
"""
from contracts_vyper import job_words
from contracts_vyper.board import ledger

uses: ledger

MAX_SEGMENTS: constant(uint256) = 63
MAX_AMOUNT: constant(uint256) = 2**128
MAX_GAS: constant(uint256) = 2**32
MAX_ANSWER_TIME: constant(uint256) = 2**32
ANSWER_GAS: constant(uint256) = 300_000  # of one answer at worst (Y-8)

# U-1, in the order that the job id hashes.
struct Terms:
    chain_id: uint256
    board: address
    requester: address
    salt: bytes32
    manifest: bytes32
    program_root: bytes32
    inputs_root: bytes32
    genesis: bytes32
    seed: bytes32
    geometry: uint256
    clocks: uint256
    expiry: uint256
    update_bond: uint256
    challenge_bond: uint256
    defence_bond: uint256
    lease_deposit: uint256
    reward: uint256
    gas_price: uint256
    scheduled_gas: uint256
    bounty: uint256
    tip: uint256
    burn_bps: uint256
    auditor: address
    demand_until: uint256
    answer_time: uint256
    demand_fee: uint256

struct JobState:
    next_segment: uint256
    chain_length: uint256
    final_length: uint256
    falls: uint256
    leaseholder: address
    lease_due: uint256
    ends_at: uint256
    refunded: bool
    posted: bool

event JobOpened:
    job: indexed(bytes32)
    requester: indexed(address)
    terms: Terms

event Leased:
    job: indexed(bytes32)
    trainer: indexed(address)
    due: uint256

event LeaseEnded:
    job: indexed(bytes32)
    trainer: indexed(address)
    forfeited: bool

event Cancelled:
    job: indexed(bytes32)
    ends_at: uint256

event ScheduledGasSet:
    before: uint256
    scheduled_gas: uint256

event GovernorSet:
    before: indexed(address)
    governor: indexed(address)

scheduled_gas: public(uint256)
governor: public(address)
jobs: HashMap[bytes32, Terms]
states: HashMap[bytes32, JobState]


@deploy
def __init__(scheduled_gas_: uint256):
    """
    @param scheduled_gas_ Least gas that a job may schedule for one side of a worst-case dispute (M-1).
    """
    self._set_scheduled_gas(scheduled_gas_)


@internal
def _set_scheduled_gas(units: uint256):
    assert units > 0 and units < MAX_GAS, "board: scheduled gas"
    log ScheduledGasSet(before=self.scheduled_gas, scheduled_gas=units)
    self.scheduled_gas = units


@internal
def put_governor(governor_: address):
    log GovernorSet(before=self.governor, governor=governor_)
    self.governor = governor_


@external
def set_scheduled_gas(units: uint256):
    """
    @notice Change the least gas that jobs opened from now on may schedule (M-1). The governor only; no open job changes.
    @param units Of gas, 1 to 2^32 - 1.
    """
    assert msg.sender == self.governor, "board: not the governor"
    self._set_scheduled_gas(units)


@external
def set_governor(governor_: address):
    """
    @notice Name another governor (M-1). The governor only.
    @param governor_ Who may change the least scheduled gas from now on; zero: nobody, for ever.
    """
    assert msg.sender == self.governor, "board: not the governor"
    self.put_governor(governor_)


@internal
@view
def known(job: bytes32) -> bool:
    return self.jobs[job].board != empty(address)


@internal
@view
def gas_refund(job: bytes32) -> uint256:
    return self.jobs[job].gas_price * self.jobs[job].scheduled_gas


@internal
@view
def _check(terms: Terms):
    assert terms.chain_id == chain.id and terms.board == self, "board: terms are for another board"
    assert terms.requester == msg.sender, "board: not the requester"
    g: uint256 = terms.geometry
    for field: uint256 in range(job_words.TENSOR_HEIGHT):
        assert job_words.geometry(g, field) > 0, "board: geometry is zero"
    steps: uint256 = job_words.geometry(g, job_words.STEPS)
    assert steps <= 2**31 and job_words.geometry(g, job_words.STRIDE) <= steps, "board: steps or stride"
    assert job_words.geometry(g, job_words.MAX_SEGMENTS) <= MAX_SEGMENTS, "board: max_segments"
    assert job_words.geometry(g, job_words.TENSOR_HEIGHT) <= 26, "board: tensor height"
    assert job_words.geometry(g, job_words.INPUT_HEIGHT) <= 26, "board: input height"
    fanout: uint256 = job_words.geometry(g, job_words.FANOUT_LOG2)
    assert fanout >= 1 and fanout <= 10, "board: fan-out or range"
    assert job_words.geometry(g, job_words.RANGE_LOG2) <= 6, "board: fan-out or range"
    assert job_words.clock(terms.clocks, job_words.WINDOW) > 0, "board: a clock is zero"
    assert job_words.clock(terms.clocks, job_words.RESPONSE) > 0, "board: a clock is zero"
    assert job_words.clock(terms.clocks, job_words.OPENING) > 0, "board: a clock is zero"
    assert job_words.clock(terms.clocks, job_words.LEASE) > 0, "board: a clock is zero"
    assert terms.expiry > block.timestamp, "board: expired"
    # M-2; the bound on amounts keeps every product below 2^256.
    assert terms.update_bond < MAX_AMOUNT and terms.challenge_bond < MAX_AMOUNT, "board: amount too large"
    assert terms.defence_bond < MAX_AMOUNT and terms.lease_deposit < MAX_AMOUNT, "board: amount too large"
    assert terms.reward < MAX_AMOUNT and terms.gas_price < MAX_AMOUNT, "board: amount too large"
    assert terms.bounty < MAX_AMOUNT and terms.tip < MAX_AMOUNT, "board: amount too large"
    assert terms.demand_fee < MAX_AMOUNT, "board: amount too large"
    # INVARIANT: I-10, what the governor sets binds jobs opened later, and is a term of each of them.
    scheduled: uint256 = terms.scheduled_gas
    assert scheduled >= self.scheduled_gas and scheduled < MAX_GAS, "board: scheduled gas"
    assert terms.burn_bps >= 1000 and terms.burn_bps <= 9000, "board: burned share"
    keep: uint256 = ledger.BPS - terms.burn_bps
    refund: uint256 = terms.gas_price * scheduled
    owed: uint256 = (refund + terms.bounty + terms.tip) * ledger.BPS
    assert terms.update_bond * keep >= owed, "board: update bond too small"
    assert terms.challenge_bond * keep >= owed, "board: challenge bond too small"
    assert terms.defence_bond * keep >= (refund + terms.tip) * ledger.BPS, "board: defence bond too small"
    assert terms.lease_deposit * keep >= terms.tip * ledger.BPS, "board: lease deposit too small"
    assert terms.reward > 0, "board: no reward"
    if terms.auditor != empty(address):
        assert terms.answer_time > 0 and terms.answer_time < MAX_ANSWER_TIME, "board: answer time"
        # INVARIANT: I-6, who answers is paid for its gas.
        fee: uint256 = terms.demand_fee
        assert fee * keep >= terms.gas_price * ANSWER_GAS * ledger.BPS, "board: demand fee too small"


@internal
def take_job(terms: Terms) -> bytes32:
    self._check(terms)
    job: bytes32 = sha256(abi_encode(terms))
    assert not self.known(job), "board: job exists"
    self.jobs[job] = terms
    self.states[job].ends_at = terms.expiry
    log JobOpened(job=job, requester=msg.sender, terms=terms)
    ledger.take(msg.sender, terms.reward * job_words.segments(terms.geometry))
    return job


@external
def cancel(job: bytes32):
    """
    @notice Give notice: nothing can be posted after now + notice (U-9). Requester only.
    @param job Job id.
    """
    assert self.jobs[job].requester == msg.sender, "board: not the requester"
    ends_at: uint256 = block.timestamp + job_words.clock(self.jobs[job].clocks, job_words.NOTICE)
    # A second cancel finds an earlier end and changes nothing.
    if ends_at < self.states[job].ends_at:
        self.states[job].ends_at = ends_at
        log Cancelled(job=job, ends_at=ends_at)


@internal
def end_lease(job: bytes32):
    holder: address = self.states[job].leaseholder
    if holder != empty(address):
        self.states[job].leaseholder = empty(address)
        ledger.give(holder, self.jobs[job].lease_deposit)
        log LeaseEnded(job=job, trainer=holder, forfeited=False)


@internal
def _forfeit(job: bytes32, tip: uint256):
    # End a lease whose deposit is lost (M-6); the tip, if any, is the caller's to give.
    holder: address = self.states[job].leaseholder
    self.states[job].leaseholder = empty(address)
    amount: uint256 = self.jobs[job].lease_deposit
    burned: uint256 = ledger.burn_share(amount, self.jobs[job].burn_bps)
    ledger.give(self.jobs[job].requester, amount - burned - tip)
    log LeaseEnded(job=job, trainer=holder, forfeited=True)


@internal
def _evict(job: bytes32, resolver: address):
    assert self.states[job].leaseholder != empty(address), "board: not leased"
    assert block.timestamp > self.states[job].lease_due, "board: lease is not late"
    tip: uint256 = self.jobs[job].tip
    ledger.give(resolver, tip)
    self._forfeit(job, tip)


@external
def lease(job: bytes32):
    """
    @notice Take the lease of a job: from here to its due time only the sender can post. Takes the lease deposit.
    @param job Job id.
    """
    assert self.known(job), "board: unknown job"
    if self.states[job].leaseholder != empty(address):
        assert block.timestamp > self.states[job].lease_due, "board: leased"
        self._evict(job, msg.sender)
    assert block.timestamp <= self.states[job].ends_at, "board: job has ended"
    assert self.states[job].next_segment < job_words.segments(self.jobs[job].geometry), "board: nothing left to post"
    due: uint256 = block.timestamp + job_words.clock(self.jobs[job].clocks, job_words.LEASE)
    self.states[job].leaseholder = msg.sender
    self.states[job].lease_due = due
    self.states[job].posted = False
    log Leased(job=job, trainer=msg.sender, due=due)
    ledger.take(msg.sender, self.jobs[job].lease_deposit)


@external
def release(job: bytes32):
    """
    @notice Give the lease back in time. The deposit is credited if something was posted under the lease or
            the job has ended, and lost otherwise: a job cannot be blocked for gas alone (U-3, M-6).
    @param job Job id.
    """
    assert self.states[job].leaseholder == msg.sender, "board: not the leaseholder"
    assert block.timestamp <= self.states[job].lease_due, "board: lease is late"
    # once the job has ended nobody could post, and a requester could have ended it for the deposit
    if self.states[job].posted or block.timestamp > self.states[job].ends_at:
        self.end_lease(job)
    else:
        self._forfeit(job, 0)


@external
def evict(job: bytes32):
    """
    @notice End a late lease; its deposit is lost (M-6). Anyone; tipped.
    @param job Job id.
    """
    self._evict(job, msg.sender)


@external
@view
def terms(job: bytes32) -> Terms:
    """
    @notice The terms of a job.
    @param job Job id.
    @return terms All zero for an unknown job.
    """
    return self.jobs[job]


@external
@view
def job_state(job: bytes32) -> JobState:
    """
    @notice What changes in a job.
    @param job Job id.
    @return state Lengths of the chain and of its final part, falls, lease, end; whether something was posted under
            the lease that was taken last.
    """
    return self.states[job]
