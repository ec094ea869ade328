# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title JobBoard: jobs, leases, the chain of updates, and all money
@license Apache-2.0
@notice A requester opens and funds a job; a leaseholder posts updates on its tip; what survives the challenge window
        is final and paid. The court and the demands for pages, and nothing else, can fell an update.
@dev Rules U-1 to U-11 (specs/updates.md), M-1 to M-10 (specs/money.md). Times are seconds of block timestamps, amounts
     the token's smallest unit.
"""
from contracts_vyper.board import jobs
from contracts_vyper.board import ledger
from contracts_vyper.board import updates
from contracts_vyper.interfaces import IJobBoard

implements: IJobBoard
initializes: ledger
initializes: jobs[ledger := ledger]
initializes: updates[ledger := ledger, jobs := jobs]

exports: (
    ledger.token,
    ledger.credit,
    ledger.withdraw,
    ledger.withdraw_burned,
    jobs.scheduled_gas,
    jobs.governor,
    jobs.set_scheduled_gas,
    jobs.set_governor,
    jobs.cancel,
    jobs.lease,
    jobs.release,
    jobs.evict,
    jobs.terms,
    jobs.job_state,
    updates.chain_at,
    updates.fallen,
    updates.post,
    updates.finalise,
    updates.claim,
    updates.reclaim,
    updates.refund,
    updates.update_info,
    updates.update_status,
    updates.tip,
)

event BondLost:
    job: indexed(bytes32)
    winner: indexed(address)
    amount: uint256
    burned: uint256
    to_winner: uint256

deployer: immutable(address)
court: public(address)
availability: public(address)


@deploy
def __init__(token_: address, scheduled_gas_: uint256):
    """
    @notice Deploy a board for one bond token.
    @param token_ ERC-20 that moves exactly what it says (M-10).
    @param scheduled_gas_ Least gas that a job may schedule for one side of a worst-case dispute (M-1).
    """
    ledger.__init__(token_)
    jobs.__init__(scheduled_gas_)
    deployer = msg.sender


@external
def bind(court_: address, availability_: address, governor_: address):
    """
    @notice Name court, availability and governor, once. Until then no job can be opened.
    @param court_ Court built for this board.
    @param availability_ Availability built for this board.
    @param governor_ Who may change the least scheduled gas (M-1); zero: nobody, for ever.
    """
    assert msg.sender == deployer, "board: not the deployer"
    assert self.court == empty(address), "board: is bound"
    assert court_ != empty(address) and availability_ != empty(address), "board: is bound"
    self.court = court_
    self.availability = availability_
    jobs.put_governor(governor_)


@external
def open_job(terms: jobs.Terms) -> bytes32:
    """
    @notice Open and fund a job: takes reward times segments from the sender (U-1).
    @param terms The words of U-1. Nobody can change them afterwards.
    @return job Job id, the sha256 of the words.
    """
    assert self.court != empty(address), "board: no court"
    return jobs.take_job(terms)


@internal
@view
def _only_court():
    assert msg.sender == self.court, "board: not the court"


@internal
@view
def _only_availability():
    assert msg.sender == self.availability, "board: not availability"


@internal
@view
def _bond(job: bytes32, defence: bool) -> uint256:
    return jobs.jobs[job].defence_bond if defence else jobs.jobs[job].challenge_bond


@internal
def _lose(job: bytes32, amount: uint256, other: address, share: uint256, winner: address, prize: uint256):
    burned: uint256 = ledger.burn_share(amount, jobs.jobs[job].burn_bps)
    rest: uint256 = amount - burned - prize
    if other != empty(address):
        paid: uint256 = min(share, rest)
        ledger.give(other, paid)
        rest -= paid
    ledger.give(winner, prize)
    ledger.give(jobs.jobs[job].requester, rest)
    log BondLost(job=job, winner=winner, amount=amount, burned=burned, to_winner=prize)


@external
def lock_bond(job: bytes32, defence: bool, payer: address):
    """
    @notice Take a challenge or defence bond from the payer. Court only.
    @param job Job id.
    @param defence True for the defence bond.
    @param payer Who has approved the board.
    """
    self._only_court()
    assert jobs.known(job), "board: unknown job"
    ledger.take(payer, self._bond(job, defence))


@external
def return_bond(job: bytes32, defence: bool, payee: address):
    """
    @notice Credit a bond back. Court only.
    @param job Job id.
    @param defence True for the defence bond.
    @param payee Who locked it.
    """
    self._only_court()
    ledger.give(payee, self._bond(job, defence))


@external
def lose_challenge_bond(job: bytes32, resolver: address, winner: address):
    """
    @notice Split a lost challenge bond (M-4). Court only.
    @param job Job id.
    @param resolver Who is tipped; empty for nobody.
    @param winner Whom D-15 names.
    """
    self._only_court()
    prize: uint256 = jobs.gas_refund(job) + jobs.jobs[job].bounty
    self._lose(job, jobs.jobs[job].challenge_bond, resolver, jobs.jobs[job].tip, winner, prize)


@external
def lose_defence_bond(job: bytes32, winner: address, feller: address):
    """
    @notice Split a lost defence bond (M-5). Court only.
    @param job Job id.
    @param winner Challenger who is credited with the fall.
    @param feller Challenger who has proved or shown it.
    """
    self._only_court()
    prize: uint256 = jobs.gas_refund(job)
    other: address = feller if feller != winner else empty(address)
    self._lose(job, jobs.jobs[job].defence_bond, other, prize, winner, prize)


@external
def dispute_opened(update: bytes32):
    """
    @notice Count a dispute as open, which holds finality back (U-6). Court only.
    @param update Update id.
    """
    self._only_court()
    updates.updates[update].open_disputes += 1


@external
def dispute_closed(update: bytes32):
    """
    @notice Count a dispute as over. Court only.
    @param update Update id.
    """
    self._only_court()
    updates.updates[update].open_disputes -= 1


@external
def fell(update: bytes32, resolver: address, winner: address):
    """
    @notice Fell an update: cut the chain, end the lease, split the bond (U-8, M-3). Court only.
    @param update Update id.
    @param resolver Who settles and is tipped.
    @param winner Challenger who is credited; its dispute is closed by this.
    """
    self._only_court()
    updates.fell(update, resolver, winner, 1)


@external
def pay_moot(update: bytes32, challenger: address):
    """
    @notice Pay an open dispute of an update that is not live what M-3 reserved for it. Court only.
    @param update Update id.
    @param challenger Whose dispute closes.
    """
    self._only_court()
    updates.pay_moot(update, challenger)


@external
def demand_opened(update: bytes32, asker: address, fee: uint256):
    """
    @notice Take the fee of a demand and count it as open, which holds finality back (U-6). Availability only.
    @param update Update id.
    @param asker Who pays.
    @param fee Tokens (Y-3).
    """
    self._only_availability()
    updates.updates[update].open_demands += 1
    ledger.take(asker, fee)


@external
def demand_closed(update: bytes32, payee: address, fee: uint256, answered: bool):
    """
    @notice Count a demand as over and credit its fee: less the burned share to who answered it, or whole to the asker
            (Y-4 to Y-6). Availability only.
    @param update Update id.
    @param payee Who gets it.
    @param fee Tokens that were taken.
    @param answered Whether the share is burned.
    """
    self._only_availability()
    updates.updates[update].open_demands -= 1
    left: uint256 = fee
    if answered:
        left -= ledger.burn_share(fee, jobs.jobs[updates.updates[update].job].burn_bps)
    ledger.give(payee, left)


@external
def fell_unanswered(update: bytes32, resolver: address, asker: address):
    """
    @notice Fell an update whose page nobody showed (Y-5): as `fell`, but no dispute is credited. Availability only.
    @param update Update id.
    @param resolver Who expires the demand and is tipped.
    @param asker Who asked, and wins.
    """
    self._only_availability()
    updates.fell(update, resolver, asker, 0)


@external
@view
def demand_context(update: bytes32) -> IJobBoard.DemandContext:
    """
    @notice What a demand needs to know about an update and its job.
    @param update Update id; unknown ids give job zero and live false.
    @return context Update, packed geometry, terms of availability.
    """
    u: updates.Update = updates.updates[update]
    return IJobBoard.DemandContext(
        job=u.job,
        last_state=u.last_state,
        deadline=u.deadline,
        open_demands=u.open_demands,
        live=updates.is_live(update),
        geometry=jobs.jobs[u.job].geometry,
        auditor=jobs.jobs[u.job].auditor,
        demand_until=jobs.jobs[u.job].demand_until,
        answer_time=jobs.jobs[u.job].answer_time,
        demand_fee=jobs.jobs[u.job].demand_fee,
        open_disputes=u.open_disputes,
    )


@external
@view
def dispute_context(update: bytes32) -> IJobBoard.DisputeContext:
    """
    @notice What a dispute needs to know about an update.
    @param update Update id; unknown ids give job zero and live false.
    @return context Update, packed geometry and clocks.
    """
    u: updates.Update = updates.updates[update]
    return IJobBoard.DisputeContext(
        job=u.job,
        trainer=u.trainer,
        index=u.index,
        first_segment=u.first_segment,
        segments=u.segments,
        history_root=u.history_root,
        deadline=u.deadline,
        live=updates.is_live(update),
        final=updates.is_final(update),
        geometry=jobs.jobs[u.job].geometry,
        clocks=jobs.jobs[u.job].clocks,
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
        program_root=jobs.jobs[job].program_root,
        inputs_root=jobs.jobs[job].inputs_root,
        seed=jobs.jobs[job].seed,
        geometry=jobs.jobs[job].geometry,
    )


@external
@view
def is_live(update: bytes32) -> bool:
    """
    @notice Whether an update is part of its job's chain (U-2).
    @param update Update id.
    @return live Whether it is.
    """
    return updates.is_live(update)
