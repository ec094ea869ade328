# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title How candidates fall and disputes end
@license Apache-2.0
@dev Rules D-14 to D-16. Records are written before the board is called.
"""
from contracts_vyper.dispute import branches
from contracts_vyper.dispute import clock
from contracts_vyper.dispute import guard
from contracts_vyper.dispute import moves
from contracts_vyper.dispute import packing
from contracts_vyper.dispute import records
from contracts_vyper.interfaces import ICourt
from contracts_vyper.interfaces import IJobBoard

uses: records
uses: branches


@internal
def _set_status(dispute: bytes32, status: uint256):
    records.disputes[dispute].word = packing.with_status(records.disputes[dispute].word, status)


@internal
def _lose(dispute: bytes32, candidate: bytes32, resolver: address):
    # D-15
    update: bytes32 = records.disputes[dispute].update
    job: bytes32 = records._job(dispute)
    self._set_status(dispute, records.LOST)
    log ICourt.DisputeLost(dispute=dispute, candidate=candidate)
    extcall records.board.dispute_closed(update, skip_contract_check=True)
    # INVARIANT: I-8, a challenger that posts below its own dispute, and loses there, does not pay itself out of the bond.
    position: bytes32 = empty(bytes32)
    above: bytes32 = empty(bytes32)
    position, above = records._steps_above(records.candidates[candidate].position)
    winner: address = records._trainer(records.cases[update].word)
    if records.positions[position].word & packing.COVERED_STANDS == 0:
        winner = packing.poster(records.candidates[candidate if above == empty(bytes32) else above].word)
    extcall records.board.lose_challenge_bond(job, resolver, winner, skip_contract_check=True)


@internal
def _fall(candidate: bytes32, credit: bytes32, feller: bytes32, job: bytes32):
    # D-14: a standing candidate falls; its position remembers who is credited
    word: uint256 = records.candidates[candidate].word
    position: bytes32 = records.candidates[candidate].position
    records.candidates[candidate].word = packing.with_status(word, records.FALLEN) & ~packing.BONDED
    left: uint256 = records.positions[position].word - packing.STANDING_ONE
    if word & packing.BONDED == 0:
        left = left & ~packing.COVERED_STANDS  # nothing else stands without a bond where a fall is possible
    records.positions[position].word = records._naming(left, packing.CREDIT_AT, credit)
    log ICourt.CandidateFell(candidate=candidate, position=position, credit=credit)
    if word & packing.BONDED != 0:
        extcall records.board.lose_defence_bond(
            job, records._challenger(credit), records._challenger(feller), skip_contract_check=True
        )


@internal
def _fall_by(dispute: bytes32, candidate: bytes32):
    # decided by a proof or by silence
    update: bytes32 = records.disputes[dispute].update
    credit: bytes32 = records._named(update, records.candidates[candidate].position, packing.CLAIMANT_AT)
    if not records._is_open(credit):
        credit = dispute
    self._fall(candidate, credit, dispute, records._job(dispute))


@external
def verdict(dispute: bytes32, candidate: bytes32, prover: address, fault: bool):
    """
    @notice The outcome of a proof (D-11). The verifier only.
    @param dispute Dispute id.
    @param candidate Candidate id.
    @param prover Who brought the proof; must be the dispute's challenger.
    @param fault True: the candidate falls. False: the dispute is lost.
    """
    # INVARIANT: I-4, only the verifier's word fells by proof.
    guard.that(msg.sender == records.verifier, "court: not the verifier")
    j: branches.Judgement = branches._challengers_turn(dispute, candidate, prover)
    moves._provable(j)
    if fault:
        self._fall_by(dispute, candidate)
    else:
        self._lose(dispute, candidate, empty(address))


@external
def silence(dispute: bytes32, candidate: bytes32):
    """
    @notice Fell a candidate whose defence is late in a branch (D-14). Anyone.
    @param dispute Dispute id.
    @param candidate Candidate id.
    """
    j: branches.Judgement = branches._judge(dispute, candidate)
    # INVARIANT: I-4, a defence in time never falls silent.
    guard.that(j.verdict.status == clock.DEFENDER_LATE, "court: defence is not late")
    self._fall_by(dispute, candidate)


@external
def timeout(dispute: bytes32, candidate: bytes32):
    """
    @notice End a dispute whose challenger is late in a branch, for a tip (D-15). Anyone.
    @param dispute Dispute id.
    @param candidate Candidate id.
    """
    j: branches.Judgement = branches._judge(dispute, candidate)
    # INVARIANT: I-5, a challenger in time is never timed out.
    guard.that(j.verdict.status == clock.CHALLENGER_LATE, "court: challenger is not late")
    self._lose(dispute, candidate, msg.sender)


@external
def settle(position: bytes32):
    """
    @notice Fell the candidate above a position that has ended empty, and so on upward, at last the update (D-14).
            Anyone; who fells the update is tipped.
    @param position Position id.
    """
    update: bytes32 = records._undecided(position)
    u: IJobBoard.DisputeContext = records._context(update)
    # INVARIANT: I-3, what is final stays.
    guard.that(not u.final, "court: update is final")
    # INVARIANT: I-6, only silence to the end of the posting period, or proof against all that was posted, fells.
    guard.that(records._is_ended_and_empty(position), "court: not ended and empty")

    credit: bytes32 = records._named(update, position, packing.CLAIMANT_AT)
    last: bytes32 = records._named(update, position, packing.CREDIT_AT)
    if not records._is_open(credit) and last != empty(bytes32):
        credit = last
    place: bytes32 = position
    for _: uint256 in range(3):
        if packing.kind(records.positions[place].word) == records.STEPS:
            self._fell(update, u.job, credit)
            break
        above: bytes32 = records.positions[place].parent
        self._fall(above, credit, credit, u.job)
        place = records.candidates[above].position
        if not records._is_ended_and_empty(place):
            break


@internal
def _close(dispute: bytes32, job: bytes32):
    self._set_status(dispute, records.CLOSED)
    log ICourt.DisputeClosed(dispute=dispute)
    records._return_bond(job, False, records._challenger(dispute))


@internal
def _fell(update: bytes32, job: bytes32, credit: bytes32):
    winner: address = records._challenger(credit)
    log ICourt.UpdateFell(update=update, credit=credit)
    if records._is_open(credit):
        # INVARIANT: I-8, its bond comes back once, here; the board closes it among the open ones.
        self._close(credit, job)
    else:
        # a credited dispute that has lost is none of the open ones that the board counts down
        extcall records.board.dispute_opened(update, skip_contract_check=True)
    extcall records.board.fell(update, msg.sender, winner, skip_contract_check=True)


@external
def close(dispute: bytes32):
    """
    @notice Close an open dispute of an update that is not live: its bond comes back, with what M-3 reserves
            (D-16). Anyone.
    @param dispute Dispute id.
    """
    # INVARIANT: I-8, once.
    guard.that(records._is_open(dispute), "court: dispute is not open")
    update: bytes32 = records.disputes[dispute].update
    guard.that(not records._is_live(update), "court: update is live")
    self._close(dispute, records._job(dispute))
    extcall records.board.pay_moot(update, records._challenger(dispute), skip_contract_check=True)
