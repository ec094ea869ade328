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


@deploy
def __init__(token_: address, scheduled_gas_: uint256):
    """
    @notice Deploy a board for one bond token.
    @param token_ ERC-20 that moves exactly what it says (M-10).
    @param scheduled_gas_ Gas that one side of a worst-case dispute may need (M-1).
    """
    ledger.__init__(token_)
    jobs.__init__(scheduled_gas_)
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
def _bond(job: bytes32, defence: bool) -> uint256:
    return jobs.jobs[job].defence_bond if defence else jobs.jobs[job].challenge_bond


@internal
def _lose(job: bytes32, amount: uint256, resolver: address, winner: address, prize: uint256):
    burned: uint256 = ledger.burn_share(amount, jobs.jobs[job].burn_bps)
    rest: uint256 = amount - burned - prize
    if resolver != empty(address):
        ledger.give(resolver, jobs.jobs[job].tip)
        rest -= jobs.jobs[job].tip
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
    @param winner Poster of the candidate that survived.
    """
    self._only_court()
    self._lose(job, jobs.jobs[job].challenge_bond, resolver, winner, jobs.gas_refund(job) + jobs.jobs[job].bounty)


@external
def lose_defence_bond(job: bytes32, winner: address):
    """
    @notice Split a lost defence bond (M-5). Court only.
    @param job Job id.
    @param winner Challenger who is credited with the fall.
    """
    self._only_court()
    self._lose(job, jobs.jobs[job].defence_bond, empty(address), winner, jobs.gas_refund(job))


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
    updates.fell(update, resolver, winner)


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
