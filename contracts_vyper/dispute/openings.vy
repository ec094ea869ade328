# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Reserving and opening disputes
@license Apache-2.0
@dev Rules D-1 and D-2.
"""
from contracts_vyper import job_words
from contracts_vyper.commitments import merkle
from contracts_vyper.dispute import guard
from contracts_vyper.dispute import packing
from contracts_vyper.dispute import records
from contracts_vyper.interfaces import ICourt
from contracts_vyper.interfaces import IJobBoard

uses: records

# height(64), the most that a history tree can have (C-9)
MAX_HISTORY_PATH: constant(uint256) = 6


@external
def reserve(job: bytes32, digest: bytes32):
    """
    @notice Lock the job's challenge bond for a dispute still secret (D-1).
    @param job Job id.
    @param digest sha256 of update, segment, the sender's address and a salt, 32 bytes each.
    """
    # INVARIANT: I-5, bound to the sender: whoever copies a digest can neither open it nor take its place.
    guard.that(records.reservations[msg.sender][digest].reserved_at == 0, "court: reserved before")
    self._reserve(job, digest)


@internal
def _reserve(job: bytes32, digest: bytes32):
    records.reservations[msg.sender][digest] = records.ReservationRecord(job=job, reserved_at=block.timestamp)
    log ICourt.Reserved(challenger=msg.sender, digest=digest, job=job)
    extcall records.board.lock_bond(job, False, msg.sender, skip_contract_check=True)


@external
def cancel_reservation(digest: bytes32):
    """
    @notice Take back a reservation of the sender that was not opened, bond and all (D-2).
    @param digest What was reserved.
    """
    r: records.ReservationRecord = records.reservations[msg.sender][digest]
    guard.that(r.reserved_at != 0, "court: nothing reserved")
    # INVARIANT: I-8, a bond is returned once: an opened dispute's by its end. Whoever reserved a copied digest cannot open
    # it, so a dispute of that id may be another's.
    guard.that(records._challenger(digest) != msg.sender, "court: reservation was opened")
    records.reservations[msg.sender][digest] = empty(records.ReservationRecord)
    log ICourt.ReservationCancelled(challenger=msg.sender, digest=digest)
    records._return_bond(r.job, False, msg.sender)


@external
def open(
    update: bytes32,
    segment: uint256,
    salt: bytes32,
    first: bytes32,
    first_path: DynArray[bytes32, MAX_HISTORY_PATH],
    last: bytes32,
    last_path: DynArray[bytes32, MAX_HISTORY_PATH],
) -> bytes32:
    """
    @notice Open a dispute over one segment of an update and demand its STEPS (D-2). What the sender has not reserved is
            reserved by this call: its bond is locked now.
    @param update Update id.
    @param segment Absolute number of the segment.
    @param salt What the digest is made with.
    @param first State root before the segment.
    @param first_path Its path in the update's history tree.
    @param last State root after the segment.
    @param last_path Its path.
    @return dispute The digest, which names the dispute.
    """
    # INVARIANT: I-9, the id says what is disputed, and by whom.
    dispute: bytes32 = sha256(abi_encode(update, segment, msg.sender, salt))
    guard.that(records.disputes[dispute].word == 0, "court: opened before")
    u: IJobBoard.DisputeContext = records._context(update)
    guard.that(u.live, "court: update is not live")
    guard.that(not u.final, "court: update is final")
    if records.reservations[msg.sender][dispute].reserved_at == 0:
        self._reserve(u.job, dispute)
    r: records.ReservationRecord = records.reservations[msg.sender][dispute]
    guard.that(u.job == r.job, "court: reserved for another job")
    # INVARIANT: I-3, nothing surfaces later than V after the deadline.
    guard.that(r.reserved_at <= u.deadline, "court: reserved too late")
    guard.that(
        block.timestamp <= r.reserved_at + job_words.clock(u.clocks, job_words.OPENING),
        "court: opening is over",
    )
    guard.that(
        segment >= u.first_segment and segment < u.first_segment + u.segments,
        "court: not a segment of it",
    )

    place: uint256 = segment - u.first_segment
    height: uint256 = job_words.height(job_words.geometry(u.geometry, job_words.MAX_SEGMENTS) + 1)
    guard.that(
        len(first_path) == height and merkle.root_from_path(first, place, first_path) == u.history_root,
        "court: first state not in history",
    )
    guard.that(
        len(last_path) == height and merkle.root_from_path(last, place + 1, last_path) == u.history_root,
        "court: last state not in history",
    )

    if records.cases[update].word == 0:
        records.cases[update] = records.Case(
            geometry=u.geometry, word=records._case_word(u.clocks, u.trainer), disputes=0
        )
    number: uint256 = records.cases[update].disputes + 1
    guard.that(number <= packing.MAX_NUMBER, "court: too many disputes")  # 67 million against one update
    records.cases[update].disputes = number
    records.disputes[dispute] = records.DisputeRecord(
        update=update, word=packing.dispute(msg.sender, block.timestamp, segment, number, records.OPEN)
    )
    records.dispute_ids[update][number] = dispute
    log ICourt.Opened(dispute=dispute, update=update, challenger=msg.sender, segment=segment)
    both_reserves: uint256 = job_words.clock(u.clocks, job_words.RESERVE)
    records._demand(dispute, update, records.STEPS, update, segment, 0, first, last, both_reserves)
    # INVARIANT: I-3, an open dispute holds finality back.
    extcall records.board.dispute_opened(update, skip_contract_check=True)
    return dispute
