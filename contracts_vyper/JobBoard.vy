# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title JobBoard: jobs, leases, the chain of updates, and all money
@license Apache-2.0
@notice A requester opens and funds a job; a leaseholder posts updates on its tip; what survives the challenge window
        is final and paid. The court, and nothing else, can fell an update.
@dev Rules U-1 to U-11 (specs/updates.md), M-1 to M-10 (specs/money.md). Times are seconds of block timestamps, amounts
     the token's smallest unit.
"""
from ethereum.ercs import IERC20
from contracts_vyper import job_words
from contracts_vyper.interfaces import IJobBoard

implements: IJobBoard

MAX_SEGMENTS: constant(uint256) = 63
HISTORY_LEAVES: constant(uint256) = 64
BPS: constant(uint256) = 10_000
MAX_AMOUNT: constant(uint256) = 2**128
BURN: constant(address) = 0x000000000000000000000000000000000000dEaD

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
    bounty: uint256
    tip: uint256
    burn_bps: uint256

struct JobState:
    chain_length: uint256
    final_length: uint256
    falls: uint256
    leaseholder: address
    lease_due: uint256
    ends_at: uint256
    refunded: bool

struct Update:
    job: bytes32
    parent: bytes32
    trainer: address
    index: uint256
    first_segment: uint256
    segments: uint256
    history_root: bytes32
    last_state: bytes32
    deadline: uint256
    open_disputes: uint256
    settled: bool
    moot_share: uint256

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

event Posted:
    job: indexed(bytes32)
    update: indexed(bytes32)
    trainer: indexed(address)
    parent: bytes32
    index: uint256
    first_segment: uint256
    states: DynArray[bytes32, MAX_SEGMENTS]
    deadline: uint256

event Finalised:
    job: indexed(bytes32)
    update: indexed(bytes32)

event Claimed:
    update: indexed(bytes32)
    trainer: indexed(address)
    amount: uint256

event Reclaimed:
    update: indexed(bytes32)
    trainer: indexed(address)
    amount: uint256

event Fallen:
    job: indexed(bytes32)
    update: indexed(bytes32)
    winner: indexed(address)
    burned: uint256
    to_winner: uint256
    to_resolver: uint256
    to_requester: uint256

event BondLost:
    job: indexed(bytes32)
    winner: indexed(address)
    amount: uint256
    burned: uint256
    to_winner: uint256

event Cancelled:
    job: indexed(bytes32)
    ends_at: uint256

event Refunded:
    job: indexed(bytes32)
    amount: uint256

event Withdrawn:
    payee: indexed(address)
    amount: uint256

token: public(immutable(IERC20))
scheduled_gas: public(immutable(uint256))
deployer: immutable(address)

court: public(address)
credit: public(HashMap[address, uint256])
chain_at: public(HashMap[bytes32, HashMap[uint256, bytes32]])
fallen: public(HashMap[bytes32, bool])
jobs: HashMap[bytes32, Terms]
states: HashMap[bytes32, JobState]
updates: HashMap[bytes32, Update]


@deploy
def __init__(token_: address, scheduled_gas_: uint256):
    """
    @notice Deploy a board for one bond token.
    @param token_ ERC-20 that moves exactly what it says (M-10).
    @param scheduled_gas_ Gas that one side of a worst-case dispute may need (M-1).
    """
    assert token_ != empty(address), "board: no token"
    token = IERC20(token_)
    scheduled_gas = scheduled_gas_
    deployer = msg.sender


@external
def bind(court_: address):
    """
    @notice Name the court, once. Until then no job can be opened.
    @param court_ Court built for this board.
    """
    assert msg.sender == deployer, "board: not the deployer"
    assert self.court == empty(address) and court_ != empty(address), "board: court is bound"
    self.court = court_


@internal
@view
def _gas_refund(job: bytes32) -> uint256:
    return self.jobs[job].gas_price * scheduled_gas


# ------------------------------------------------------------------ money

@internal
def _take(payer: address, amount: uint256):
    # INVARIANT: I-1, a token that moves another amount than it says is refused (M-10).
    before: uint256 = staticcall token.balanceOf(self)
    assert extcall token.transferFrom(payer, self, amount, default_return_value=True), "board: token transfer failed"
    assert staticcall token.balanceOf(self) == before + amount, "board: token moved another amount"


@internal
def _burn_share(job: bytes32, amount: uint256) -> uint256:
    burned: uint256 = amount * self.jobs[job].burn_bps // BPS
    self.credit[BURN] += burned
    return burned


@internal
def _send(payee: address):
    amount: uint256 = self.credit[payee]
    assert amount > 0, "board: nothing to withdraw"
    self.credit[payee] = 0
    log Withdrawn(payee=payee, amount=amount)
    assert extcall token.transfer(payee, amount, default_return_value=True), "board: token transfer failed"


@external
def withdraw():
    """
    @notice Pay the sender's credit (U-10).
    """
    self._send(msg.sender)


@external
def withdraw_burned():
    """
    @notice Move what was burned out of the ledger (M-7). Anyone.
    """
    self._send(BURN)


# ------------------------------------------------------------------ jobs

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
    fanout: uint256 = job_words.geometry(g, job_words.FANOUT_LOG2)
    assert fanout >= 1 and fanout <= 8, "board: fan-out or range"
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
    assert terms.burn_bps >= 1000 and terms.burn_bps <= 9000, "board: burned share"
    keep: uint256 = BPS - terms.burn_bps
    refund: uint256 = terms.gas_price * scheduled_gas
    owed: uint256 = (refund + terms.bounty + terms.tip) * BPS
    assert terms.update_bond * keep >= owed, "board: update bond too small"
    assert terms.challenge_bond * keep >= owed, "board: challenge bond too small"
    assert terms.defence_bond * keep >= (refund + terms.tip) * BPS, "board: defence bond too small"
    assert terms.lease_deposit * keep >= terms.tip * BPS, "board: lease deposit too small"
    assert terms.reward > 0, "board: no reward"


@external
def open_job(terms: Terms) -> bytes32:
    """
    @notice Open and fund a job: takes reward times segments from the sender (U-1).
    @param terms The words of U-1. Nobody can change them afterwards.
    @return job Job id, the sha256 of the words.
    """
    assert self.court != empty(address), "board: no court"
    self._check(terms)
    job: bytes32 = sha256(abi_encode(terms))
    assert self.jobs[job].board == empty(address), "board: job exists"
    self.jobs[job] = terms
    self.states[job].ends_at = terms.expiry
    log JobOpened(job=job, requester=msg.sender, terms=terms)
    self._take(msg.sender, terms.reward * job_words.segments(terms.geometry))
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


@external
def refund(job: bytes32) -> uint256:
    """
    @notice Credit the requester with the reward of segments that have no final update (U-9). Anyone, once, after the end.
    @param job Job id.
    @return amount Tokens credited.
    """
    assert self.jobs[job].board == self, "board: unknown job"
    assert block.timestamp > self.states[job].ends_at, "board: job has not ended"
    self._finalise(job)
    length: uint256 = self.states[job].final_length
    assert length == self.states[job].chain_length, "board: updates are pending"
    assert not self.states[job].refunded, "board: refunded"
    self.states[job].refunded = True
    left: uint256 = job_words.segments(self.jobs[job].geometry) - self._next_segment(job)
    amount: uint256 = self.jobs[job].reward * left
    self.credit[self.jobs[job].requester] += amount
    log Refunded(job=job, amount=amount)
    return amount


# ------------------------------------------------------------------ leases (U-3)

@internal
def _end_lease(job: bytes32):
    holder: address = self.states[job].leaseholder
    if holder != empty(address):
        self.states[job].leaseholder = empty(address)
        self.credit[holder] += self.jobs[job].lease_deposit
        log LeaseEnded(job=job, trainer=holder, forfeited=False)


@internal
def _evict(job: bytes32, resolver: address):
    holder: address = self.states[job].leaseholder
    assert holder != empty(address), "board: not leased"
    assert block.timestamp > self.states[job].lease_due, "board: lease is not late"
    self.states[job].leaseholder = empty(address)
    amount: uint256 = self.jobs[job].lease_deposit
    burned: uint256 = self._burn_share(job, amount)
    tip: uint256 = self.jobs[job].tip
    self.credit[resolver] += tip
    self.credit[self.jobs[job].requester] += amount - burned - tip
    log LeaseEnded(job=job, trainer=holder, forfeited=True)


@external
def lease(job: bytes32):
    """
    @notice Take the lease of a job: from here to its due time only the sender can post. Takes the lease deposit.
    @param job Job id.
    """
    assert self.jobs[job].board == self, "board: unknown job"
    if self.states[job].leaseholder != empty(address):
        assert block.timestamp > self.states[job].lease_due, "board: leased"
        self._evict(job, msg.sender)
    assert block.timestamp <= self.states[job].ends_at, "board: job has ended"
    assert self._next_segment(job) < job_words.segments(self.jobs[job].geometry), "board: nothing left to post"
    due: uint256 = block.timestamp + job_words.clock(self.jobs[job].clocks, job_words.LEASE)
    self.states[job].leaseholder = msg.sender
    self.states[job].lease_due = due
    log Leased(job=job, trainer=msg.sender, due=due)
    self._take(msg.sender, self.jobs[job].lease_deposit)


@external
def release(job: bytes32):
    """
    @notice Give the lease back in time and get the deposit credited.
    @param job Job id.
    """
    assert self.states[job].leaseholder == msg.sender, "board: not the leaseholder"
    assert block.timestamp <= self.states[job].lease_due, "board: lease is late"
    self._end_lease(job)


@external
def evict(job: bytes32):
    """
    @notice End a late lease; its deposit is lost (M-6). Anyone; tipped.
    @param job Job id.
    """
    self._evict(job, msg.sender)


# ------------------------------------------------------------------ updates

@internal
@view
def _tip(job: bytes32) -> bytes32:
    length: uint256 = self.states[job].chain_length
    if length == 0:
        return empty(bytes32)
    return self.chain_at[job][length - 1]


@internal
@view
def _next_segment(job: bytes32) -> uint256:
    if self.states[job].chain_length == 0:
        return 0
    tip: bytes32 = self._tip(job)
    return self.updates[tip].first_segment + self.updates[tip].segments


@internal
@pure
def _history_root(first: bytes32, states: DynArray[bytes32, MAX_SEGMENTS], leaves: uint256) -> bytes32:
    # C-9: the tree over the parent's last state and the posted ones, absent leaves zero.
    layer: bytes32[HISTORY_LEAVES] = empty(bytes32[HISTORY_LEAVES])
    layer[0] = first
    for i: uint256 in range(len(states), bound=MAX_SEGMENTS):
        layer[i + 1] = states[i]
    width: uint256 = 1
    for level: uint256 in range(6):
        if width >= leaves:
            break
        width *= 2
    for level: uint256 in range(6):
        if width == 1:
            break
        width = width // 2
        for i: uint256 in range(width, bound=HISTORY_LEAVES // 2):
            layer[i] = sha256(concat(layer[2 * i], layer[2 * i + 1]))
    return layer[0]


@external
def post(job: bytes32, states: DynArray[bytes32, MAX_SEGMENTS]) -> bytes32:
    """
    @notice Post further segments on the tip: the state root after each. Takes the update bond (U-4).
    @param job Job id.
    @param states State roots after each segment, in order; at least one.
    @return update Update id.
    """
    assert self.jobs[job].board == self, "board: unknown job"
    assert self.states[job].leaseholder == msg.sender, "board: not the leaseholder"
    assert block.timestamp <= self.states[job].lease_due, "board: lease is late"
    assert block.timestamp <= self.states[job].ends_at, "board: job has ended"
    g: uint256 = self.jobs[job].geometry
    clocks: uint256 = self.jobs[job].clocks
    n: uint256 = len(states)
    first_segment: uint256 = self._next_segment(job)
    assert n > 0 and n <= job_words.geometry(g, job_words.MAX_SEGMENTS), "board: number of segments"
    assert first_segment + n <= job_words.segments(g), "board: beyond the last segment"

    # INVARIANT: I-2, the update starts at the state that the tip ends with.
    index: uint256 = self.states[job].chain_length
    parent: bytes32 = job
    first_state: bytes32 = self.jobs[job].genesis
    deadline: uint256 = block.timestamp + job_words.clock(clocks, job_words.WINDOW)
    if index > 0:
        parent = self.chain_at[job][index - 1]
        first_state = self.updates[parent].last_state
        deadline = max(deadline, self.updates[parent].deadline)
    deadline += n * job_words.clock(clocks, job_words.REPLAY)

    history_root: bytes32 = self._history_root(first_state, states, job_words.geometry(g, job_words.MAX_SEGMENTS) + 1)
    update: bytes32 = sha256(
        concat(
            job,
            parent,
            convert(first_segment, bytes32),
            convert(n, bytes32),
            history_root,
            states[n - 1],
            convert(msg.sender, bytes32),
            convert(self.states[job].falls, bytes32),
        )
    )
    assert self.updates[update].job == empty(bytes32), "board: update exists"
    self.updates[update] = Update(
        job=job,
        parent=parent,
        trainer=msg.sender,
        index=index,
        first_segment=first_segment,
        segments=n,
        history_root=history_root,
        last_state=states[n - 1],
        deadline=deadline,
        open_disputes=0,
        settled=False,
        moot_share=0,
    )
    self.chain_at[job][index] = update
    self.states[job].chain_length = index + 1
    self.states[job].lease_due = block.timestamp + job_words.clock(clocks, job_words.LEASE)
    log Posted(
        job=job,
        update=update,
        trainer=msg.sender,
        parent=parent,
        index=index,
        first_segment=first_segment,
        states=states,
        deadline=deadline,
    )
    if first_segment + n == job_words.segments(g):
        self._end_lease(job)
    self._take(msg.sender, self.jobs[job].update_bond)
    return update


@internal
@view
def _is_live(update: bytes32) -> bool:
    job: bytes32 = self.updates[update].job
    index: uint256 = self.updates[update].index
    if job == empty(bytes32) or index >= self.states[job].chain_length:
        return False
    return self.chain_at[job][index] == update


@internal
def _finalise(job: bytes32):
    # U-6. Deadlines grow along the chain, so the first update that is not final stops the walk.
    length: uint256 = self.states[job].final_length
    opening: uint256 = job_words.clock(self.jobs[job].clocks, job_words.OPENING)
    for i: uint256 in range(64):
        if length == self.states[job].chain_length:
            break
        update: bytes32 = self.chain_at[job][length]
        # INVARIANT: I-3, reservations end at the deadline and opening V later (D-2).
        if self.updates[update].open_disputes > 0 or block.timestamp <= self.updates[update].deadline + opening:
            break
        length += 1
        log Finalised(job=job, update=update)
    self.states[job].final_length = length


@external
def finalise(job: bytes32):
    """
    @notice Record up to 64 further updates of the job as final (U-6). Anyone.
    @param job Job id.
    """
    self._finalise(job)


@external
def claim(update: bytes32) -> uint256:
    """
    @notice Credit a final update's trainer with its rewards and bond, once (U-7). Anyone.
    @param update Update id.
    @return amount Tokens credited.
    """
    job: bytes32 = self.updates[update].job
    assert job != empty(bytes32), "board: unknown update"
    self._finalise(job)
    assert self._is_live(update) and self.updates[update].index < self.states[job].final_length, "board: not final"
    assert not self.updates[update].settled, "board: claimed"
    self.updates[update].settled = True
    amount: uint256 = self.jobs[job].reward * self.updates[update].segments + self.jobs[job].update_bond
    self.credit[self.updates[update].trainer] += amount
    log Claimed(update=update, trainer=self.updates[update].trainer, amount=amount)
    return amount


@external
def reclaim(update: bytes32) -> uint256:
    """
    @notice Credit the trainer of a void update with its bond, once (U-8). Anyone.
    @param update Update id.
    @return amount Tokens credited.
    """
    job: bytes32 = self.updates[update].job
    assert job != empty(bytes32), "board: unknown update"
    assert not self._is_live(update), "board: update is live"
    assert not self.updates[update].settled, "board: bond is gone"
    self.updates[update].settled = True
    amount: uint256 = self.jobs[job].update_bond
    self.credit[self.updates[update].trainer] += amount
    log Reclaimed(update=update, trainer=self.updates[update].trainer, amount=amount)
    return amount


# ------------------------------------------------------------------ for the court

@internal
@view
def _only_court():
    assert msg.sender == self.court, "board: not the court"


@external
def lock_bond(job: bytes32, defence: bool, payer: address):
    """
    @notice Take a challenge or defence bond from the payer. Court only.
    @param job Job id.
    @param defence True for the defence bond.
    @param payer Who has approved the board.
    """
    self._only_court()
    assert self.jobs[job].board == self, "board: unknown job"
    self._take(payer, self._bond(job, defence))


@internal
@view
def _bond(job: bytes32, defence: bool) -> uint256:
    return self.jobs[job].defence_bond if defence else self.jobs[job].challenge_bond


@external
def return_bond(job: bytes32, defence: bool, payee: address):
    """
    @notice Credit a bond back. Court only.
    @param job Job id.
    @param defence True for the defence bond.
    @param payee Who locked it.
    """
    self._only_court()
    self.credit[payee] += self._bond(job, defence)


@external
def lose_challenge_bond(job: bytes32, resolver: address, winner: address):
    """
    @notice Split a lost challenge bond (M-4). Court only.
    @param job Job id.
    @param resolver Who is tipped; empty for nobody.
    @param winner Poster of the candidate that survived.
    """
    self._only_court()
    self._lose(job, self.jobs[job].challenge_bond, resolver, winner, self._gas_refund(job) + self.jobs[job].bounty)


@external
def lose_defence_bond(job: bytes32, winner: address):
    """
    @notice Split a lost defence bond (M-5). Court only.
    @param job Job id.
    @param winner Challenger who is credited with the fall.
    """
    self._only_court()
    self._lose(job, self.jobs[job].defence_bond, empty(address), winner, self._gas_refund(job))


@internal
def _lose(job: bytes32, amount: uint256, resolver: address, winner: address, prize: uint256):
    burned: uint256 = self._burn_share(job, amount)
    rest: uint256 = amount - burned - prize
    if resolver != empty(address):
        self.credit[resolver] += self.jobs[job].tip
        rest -= self.jobs[job].tip
    self.credit[winner] += prize
    self.credit[self.jobs[job].requester] += rest
    log BondLost(job=job, winner=winner, amount=amount, burned=burned, to_winner=prize)


@external
def dispute_opened(update: bytes32):
    """
    @notice Count a dispute as open, which holds finality back (U-6). Court only.
    @param update Update id.
    """
    self._only_court()
    self.updates[update].open_disputes += 1


@external
def dispute_closed(update: bytes32):
    """
    @notice Count a dispute as over. Court only.
    @param update Update id.
    """
    self._only_court()
    self.updates[update].open_disputes -= 1


@external
def fell(update: bytes32, resolver: address, winner: address):
    """
    @notice Fell an update: cut the chain, end the lease, split the bond (U-8, M-3). Court only.
    @param update Update id.
    @param resolver Who settles and is tipped.
    @param winner Challenger who is credited; its dispute is closed by this.
    """
    self._only_court()
    assert self._is_live(update), "board: update is not live"
    job: bytes32 = self.updates[update].job
    index: uint256 = self.updates[update].index
    # INVARIANT: I-3, a final update has no open dispute and cannot come here.
    assert index >= self.states[job].final_length, "board: final"
    self.states[job].chain_length = index
    self.states[job].falls += 1
    self.fallen[update] = True
    self._end_lease(job)

    self.updates[update].settled = True
    self.updates[update].open_disputes -= 1
    amount: uint256 = self.jobs[job].update_bond
    refund: uint256 = self._gas_refund(job)
    burned: uint256 = self._burn_share(job, amount)
    tip: uint256 = self.jobs[job].tip
    prize: uint256 = refund + self.jobs[job].bounty
    rest: uint256 = amount - burned - tip - prize
    others: uint256 = self.updates[update].open_disputes
    if others > 0:
        share: uint256 = min(refund, rest // others)
        self.updates[update].moot_share = share
        rest -= share * others
    self.credit[resolver] += tip
    self.credit[winner] += prize
    self.credit[self.jobs[job].requester] += rest
    log Fallen(
        job=job,
        update=update,
        winner=winner,
        burned=burned,
        to_winner=prize,
        to_resolver=tip,
        to_requester=rest,
    )


@external
def pay_moot(update: bytes32, challenger: address):
    """
    @notice Pay an open dispute of an update that is not live what M-3 reserved for it. Court only.
    @param update Update id.
    @param challenger Whose dispute closes.
    """
    self._only_court()
    assert not self._is_live(update), "board: update is live"
    self.updates[update].open_disputes -= 1
    self.credit[challenger] += self.updates[update].moot_share


# ------------------------------------------------------------------ views

@external
@view
def dispute_context(update: bytes32) -> IJobBoard.DisputeContext:
    """
    @notice What a dispute needs to know about an update.
    @param update Update id; unknown ids give job zero and live false.
    @return context Update, packed geometry and clocks.
    """
    u: Update = self.updates[update]
    live: bool = self._is_live(update)
    return IJobBoard.DisputeContext(
        job=u.job,
        trainer=u.trainer,
        index=u.index,
        first_segment=u.first_segment,
        segments=u.segments,
        history_root=u.history_root,
        deadline=u.deadline,
        live=live,
        final=live and u.index < self.states[u.job].final_length,
        geometry=self.jobs[u.job].geometry,
        clocks=self.jobs[u.job].clocks,
    )


@external
@view
def proof_terms(job: bytes32) -> IJobBoard.ProofTerms:
    """
    @notice What a proof needs to know about a job.
    @param job Job id.
    @return terms Roots, seed, packed geometry.
    """
    return IJobBoard.ProofTerms(
        program_root=self.jobs[job].program_root,
        inputs_root=self.jobs[job].inputs_root,
        seed=self.jobs[job].seed,
        geometry=self.jobs[job].geometry,
    )


@external
@view
def is_live(update: bytes32) -> bool:
    """
    @notice Whether an update is part of its job's chain (U-2).
    @param update Update id.
    @return live Whether it is.
    """
    return self._is_live(update)


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
    @return state Lengths of the chain and of its final part, falls, lease, end.
    """
    return self.states[job]


@external
@view
def update_info(update: bytes32) -> Update:
    """
    @notice An update as posted.
    @param update Update id.
    @return info All zero for an unknown update.
    """
    return self.updates[update]


@external
@view
def tip(job: bytes32) -> (bytes32, uint256, bytes32):
    """
    @notice Where the next update goes.
    @param job Job id.
    @return update Tip, zero when there is none; next segment; state root that it starts from.
    """
    tip_: bytes32 = self._tip(job)
    if tip_ == empty(bytes32):
        return tip_, 0, self.jobs[job].genesis
    return tip_, self._next_segment(job), self.updates[tip_].last_state


@external
@view
def update_status(update: bytes32) -> String[8]:
    """
    @notice pending, final, fallen or void (U-11); unknown for ids that were never posted.
    @param update Update id.
    @return status One of the words.
    """
    job: bytes32 = self.updates[update].job
    if job == empty(bytes32):
        return "unknown"
    if self._is_live(update):
        if self.updates[update].index < self.states[job].final_length:
            return "final"
        return "pending"
    if self.fallen[update]:
        return "fallen"
    return "void"
