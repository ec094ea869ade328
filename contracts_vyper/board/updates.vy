# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Updates: the chain of posted segments, deadlines, finality
@license Apache-2.0
@notice A leaseholder posts; what survives the challenge window is final and paid.
@dev Rules U-2, U-4 to U-9, M-3.
"""
from contracts_vyper import job_words
from contracts_vyper.board import jobs
from contracts_vyper.board import ledger

uses: ledger
uses: jobs

MAX_SEGMENTS: constant(uint256) = 63
HISTORY_LEAVES: constant(uint256) = 64

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
    open_demands: uint256

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

event Refunded:
    job: indexed(bytes32)
    amount: uint256

chain_at: public(HashMap[bytes32, HashMap[uint256, bytes32]])
fallen: public(HashMap[bytes32, bool])
updates: HashMap[bytes32, Update]


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
def post(job: bytes32, parent: bytes32, states: DynArray[bytes32, MAX_SEGMENTS]) -> bytes32:
    """
    @notice Post further segments on the tip: the state root after each. Takes the update bond (U-4).
    @param job Job id.
    @param parent What the sender builds on: the id of the tip, or the job id while nothing stands.
    @param states State roots after each segment, in order; at least one.
    @return update Update id.
    """
    assert jobs.known(job), "board: unknown job"
    assert jobs.states[job].leaseholder == msg.sender, "board: not the leaseholder"
    assert block.timestamp <= jobs.states[job].lease_due, "board: lease is late"
    assert block.timestamp <= jobs.states[job].ends_at, "board: job has ended"
    g: uint256 = jobs.jobs[job].geometry
    clocks: uint256 = jobs.jobs[job].clocks
    n: uint256 = len(states)
    first_segment: uint256 = jobs.states[job].next_segment
    assert n > 0 and n <= job_words.geometry(g, job_words.MAX_SEGMENTS), "board: number of segments"
    assert first_segment + n <= job_words.segments(g), "board: beyond the last segment"

    # INVARIANT: I-2, the update starts at the state that the tip ends with.
    index: uint256 = jobs.states[job].chain_length
    tip: bytes32 = job
    first_state: bytes32 = jobs.jobs[job].genesis
    deadline: uint256 = block.timestamp + job_words.clock(clocks, job_words.WINDOW)
    if index > 0:
        tip = self.chain_at[job][index - 1]
        first_state = self.updates[tip].last_state
        deadline = max(deadline, self.updates[tip].deadline)
    # INVARIANT: I-9, what was trained from one tip is not posted on another.
    assert parent == tip, "board: not the tip"
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
            convert(jobs.states[job].falls, bytes32),
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
        open_demands=0,
    )
    self.chain_at[job][index] = update
    jobs.states[job].chain_length = index + 1
    jobs.states[job].next_segment = first_segment + n
    jobs.states[job].lease_due = block.timestamp + job_words.clock(clocks, job_words.LEASE)
    jobs.states[job].posted = True
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
        jobs.end_lease(job)
    ledger.take(msg.sender, jobs.jobs[job].update_bond)
    return update


@internal
@view
def is_live(update: bytes32) -> bool:
    job: bytes32 = self.updates[update].job
    index: uint256 = self.updates[update].index
    if job == empty(bytes32) or index >= jobs.states[job].chain_length:
        return False
    return self.chain_at[job][index] == update


@internal
@view
def _is_held(update: bytes32) -> bool:
    # U-6: a dispute or a demand is open
    return self.updates[update].open_disputes > 0 or self.updates[update].open_demands > 0


@internal
@view
def is_final(update: bytes32) -> bool:
    # U-6 at the time of this block, recorded or not; looks over at most 64 unrecorded updates, as `finalise` does.
    if not self.is_live(update):
        return False
    job: bytes32 = self.updates[update].job
    index: uint256 = self.updates[update].index
    recorded: uint256 = jobs.states[job].final_length
    if index < recorded:
        return True
    # deadlines grow along the chain: those before it have passed when its own has
    opening: uint256 = job_words.clock(jobs.jobs[job].clocks, job_words.OPENING)
    if index >= recorded + 64 or block.timestamp <= self.updates[update].deadline + opening:
        return False
    for i: uint256 in range(recorded, index + 1, bound=64):
        if self._is_held(self.chain_at[job][i]):
            return False
    return True


@internal
def _finalise(job: bytes32):
    # U-6. Deadlines grow along the chain, so the first update that is not final stops the walk.
    length: uint256 = jobs.states[job].final_length
    opening: uint256 = job_words.clock(jobs.jobs[job].clocks, job_words.OPENING)
    for i: uint256 in range(64):
        if length == jobs.states[job].chain_length:
            break
        update: bytes32 = self.chain_at[job][length]
        # INVARIANT: I-3, reservations end at the deadline and opening V later (D-2).
        if self._is_held(update) or block.timestamp <= self.updates[update].deadline + opening:
            break
        length += 1
        log Finalised(job=job, update=update)
    jobs.states[job].final_length = length


@external
def finalise(job: bytes32):
    """
    @notice Record up to 64 further updates of the job as final (U-6). Anyone.
    @param job Job id.
    """
    assert jobs.known(job), "board: unknown job"
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
    final: bool = self.is_live(update) and self.updates[update].index < jobs.states[job].final_length
    assert final, "board: not final"
    assert not self.updates[update].settled, "board: claimed"
    self.updates[update].settled = True
    amount: uint256 = jobs.jobs[job].reward * self.updates[update].segments + jobs.jobs[job].update_bond
    ledger.give(self.updates[update].trainer, amount)
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
    assert not self.is_live(update), "board: update is live"
    assert not self.updates[update].settled, "board: bond is gone"
    self.updates[update].settled = True
    amount: uint256 = jobs.jobs[job].update_bond
    ledger.give(self.updates[update].trainer, amount)
    log Reclaimed(update=update, trainer=self.updates[update].trainer, amount=amount)
    return amount


@external
def refund(job: bytes32) -> uint256:
    """
    @notice Credit the requester with the reward of segments that have no final update (U-9). Anyone, once, after the end.
    @param job Job id.
    @return amount Tokens credited.
    """
    assert jobs.known(job), "board: unknown job"
    assert block.timestamp > jobs.states[job].ends_at, "board: job has not ended"
    self._finalise(job)
    length: uint256 = jobs.states[job].final_length
    assert length == jobs.states[job].chain_length, "board: updates are pending"
    assert not jobs.states[job].refunded, "board: refunded"
    jobs.states[job].refunded = True
    left: uint256 = job_words.segments(jobs.jobs[job].geometry) - jobs.states[job].next_segment
    amount: uint256 = jobs.jobs[job].reward * left
    ledger.give(jobs.jobs[job].requester, amount)
    log Refunded(job=job, amount=amount)
    return amount


@internal
def fell(update: bytes32, resolver: address, winner: address, disputes: uint256):
    # Fell an update: cut the chain, end the lease, split the bond (U-8, M-3). `disputes` of those
    # counted as open decided it, one or none: M-3 reserves nothing for that one.
    assert self.is_live(update), "board: update is not live"
    job: bytes32 = self.updates[update].job
    index: uint256 = self.updates[update].index
    # INVARIANT: I-3, what is final stays; its open disputes cannot be judged here, for the credited one is among them.
    assert index >= jobs.states[job].final_length, "board: final"
    jobs.states[job].chain_length = index
    jobs.states[job].next_segment = self.updates[update].first_segment
    jobs.states[job].falls += 1
    self.fallen[update] = True
    jobs.end_lease(job)

    self.updates[update].settled = True
    self.updates[update].open_disputes -= disputes
    amount: uint256 = jobs.jobs[job].update_bond
    refund: uint256 = jobs.gas_refund(job)
    burned: uint256 = ledger.burn_share(amount, jobs.jobs[job].burn_bps)
    tip: uint256 = jobs.jobs[job].tip
    prize: uint256 = refund + jobs.jobs[job].bounty
    rest: uint256 = amount - burned - tip - prize
    others: uint256 = self.updates[update].open_disputes
    if others > 0:
        share: uint256 = min(refund, rest // others)
        self.updates[update].moot_share = share
        rest -= share * others
    ledger.give(resolver, tip)
    ledger.give(winner, prize)
    ledger.give(jobs.jobs[job].requester, rest)
    log Fallen(
        job=job,
        update=update,
        winner=winner,
        burned=burned,
        to_winner=prize,
        to_resolver=tip,
        to_requester=rest,
    )


@internal
def pay_moot(update: bytes32, challenger: address):
    # Pay an open dispute of an update that is not live what M-3 reserved for it.
    assert not self.is_live(update), "board: update is live"
    self.updates[update].open_disputes -= 1
    ledger.give(challenger, self.updates[update].moot_share)


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
    length: uint256 = jobs.states[job].chain_length
    if length == 0:
        return empty(bytes32), 0, jobs.jobs[job].genesis
    last: bytes32 = self.chain_at[job][length - 1]
    return last, jobs.states[job].next_segment, self.updates[last].last_state


@external
@view
def update_status(update: bytes32) -> String[8]:
    """
    @notice pending, final, fallen or void (U-11); unknown for ids that were never posted. Final by the time of this block,
            whether recorded or not.
    @param update Update id.
    @return status One of the words.
    """
    job: bytes32 = self.updates[update].job
    if job == empty(bytes32):
        return "unknown"
    if self.is_live(update):
        return "final" if self.is_final(update) else "pending"
    if self.fallen[update]:
        return "fallen"
    return "void"
