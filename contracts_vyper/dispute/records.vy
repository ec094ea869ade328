# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Records of the court
@license Apache-2.0
@dev Rules D-1 to D-7. Storage, what follows from it by reading alone, and views of it. Packed words: packing.vy.
"""
from contracts_vyper import job_words
from contracts_vyper.dispute import guard
from contracts_vyper.dispute import packing
from contracts_vyper.interfaces import ICourt
from contracts_vyper.interfaces import IJobBoard

STEPS: constant(uint256) = 1
NODES: constant(uint256) = 2
TENSOR: constant(uint256) = 3
PAGE: constant(uint256) = 4
STATE: constant(uint256) = 5
FOLD: constant(uint256) = 6

OPEN: constant(uint256) = 1
LOST: constant(uint256) = 2
CLOSED: constant(uint256) = 3

STANDING: constant(uint256) = 1
FALLEN: constant(uint256) = 2

struct ReservationRecord:
    job: bytes32
    reserved_at: uint256

struct DisputeRecord:
    update: bytes32
    word: uint256

# What the update's job says, read once, when the first dispute against the update is opened. word: the number of STEPS
# and NODES positions demanded (D-4), above it R, A and G, 32 bits each.
struct Case:
    geometry: uint256
    word: uint256

struct PositionRecord:
    word: uint256
    parent: bytes32
    first: bytes32
    last: bytes32
    claimant: bytes32
    credit: bytes32

struct CandidateRecord:
    word: uint256
    position: bytes32
    root: bytes32

board: public(immutable(IJobBoard))
verifier: public(immutable(address))

reservations: HashMap[address, HashMap[bytes32, ReservationRecord]]
disputes: HashMap[bytes32, DisputeRecord]
cases: HashMap[bytes32, Case]
positions: HashMap[bytes32, PositionRecord]
candidates: HashMap[bytes32, CandidateRecord]
candidates_of: public(HashMap[bytes32, HashMap[uint256, bytes32]])
is_delegate: public(HashMap[address, HashMap[address, bool]])


@deploy
def __init__(board_: address, verifier_: address):
    # both have code, and for ever, so no later call looks for it
    guard.that(board_.is_contract and verifier_.is_contract, "court: no board or no verifier")
    board = IJobBoard(board_)
    verifier = verifier_


# ------------------------------------------------------------------ the board, where more than one move asks it


@internal
@view
def _context(update: bytes32) -> IJobBoard.DisputeContext:
    return staticcall board.dispute_context(update, skip_contract_check=True)


@internal
@view
def _is_live(update: bytes32) -> bool:
    return staticcall board.is_live(update, skip_contract_check=True)


@internal
def _return_bond(job: bytes32, defence: bool, payee: address):
    extcall board.return_bond(job, defence, payee, skip_contract_check=True)


# ------------------------------------------------------------------ cases


@internal
@pure
def _case_word(clocks: uint256) -> uint256:
    return (
        (job_words.clock(clocks, job_words.RESPONSE) << 32)
        | (job_words.clock(clocks, job_words.ALLOWANCE) << 64)
        | (job_words.clock(clocks, job_words.RESERVE) << 96)
    )


@internal
@pure
def _traces(case_word: uint256) -> uint256:
    return case_word & packing.MASK_32


@internal
@pure
def _response(case_word: uint256) -> uint256:
    return (case_word >> 32) & packing.MASK_32


@internal
@pure
def _allowance(case_word: uint256) -> uint256:
    return (case_word >> 64) & packing.MASK_32


@internal
@pure
def _reserve(case_word: uint256) -> uint256:
    return case_word >> 96


# ------------------------------------------------------------------ what follows


@internal
@pure
def _position_id(parent: bytes32, kind: uint256, a: uint256, b: uint256) -> bytes32:
    # D-3
    return sha256(abi_encode(parent, kind, a, b))


@internal
@pure
def _steps_in_segment(geometry: uint256, segment: uint256) -> uint256:
    # U-4: min(C, T - kC)
    stride: uint256 = job_words.geometry(geometry, job_words.STRIDE)
    return min(stride, job_words.geometry(geometry, job_words.STEPS) - segment * stride)


@internal
@view
def _tree_height(geometry: uint256, kind: uint256, last: bytes32) -> uint256:
    # of a commitment at a position (C-10, C-11, C-12)
    if kind == STEPS:
        return job_words.height(job_words.geometry(geometry, job_words.STRIDE) + 1)
    if kind == NODES:
        return job_words.height(job_words.geometry(geometry, job_words.N_NODES) + 1)
    return job_words.height(packing.fold_ranges(last) + 1)


@internal
@view
def _above(position: bytes32) -> (bytes32, bool):
    # the update that a position is demanded against, and whether a candidate above it has fallen (D-16)
    place: bytes32 = position
    fallen: bool = False
    for _: uint256 in range(2):
        if packing.kind(self.positions[place].word) == STEPS:
            break
        candidate: bytes32 = self.positions[place].parent
        if packing.candidate_status(self.candidates[candidate].word) == FALLEN:
            fallen = True
        place = self.candidates[candidate].position
    return self.positions[place].parent, fallen


@internal
@view
def _is_open(dispute: bytes32) -> bool:
    return packing.dispute_status(self.disputes[dispute].word) == OPEN


@internal
@view
def _challenger(dispute: bytes32) -> address:
    return packing.poster(self.disputes[dispute].word)


@internal
@view
def _job(dispute: bytes32) -> bytes32:
    return self.reservations[self._challenger(dispute)][dispute].job


@internal
@view
def _reserved_at(dispute: bytes32) -> uint256:
    return self.reservations[self._challenger(dispute)][dispute].reserved_at


@internal
@view
def _is_ended_and_empty(position: bytes32) -> bool:
    word: uint256 = self.positions[position].word
    return packing.standing(word) == 0 and block.timestamp > packing.ends_at(word)


# ------------------------------------------------------------------ demands


@internal
def _demand(
    dispute: bytes32,
    update: bytes32,
    kind: uint256,
    parent: bytes32,
    a: uint256,
    b: uint256,
    first: bytes32,
    last: bytes32,
    defence_reserve: uint256,
) -> bytes32:
    # D-4
    position: bytes32 = self._position_id(parent, kind, a, b)
    if self.positions[position].word == 0:
        case_word: uint256 = self.cases[update].word
        allowance: uint256 = 0
        if kind != FOLD:
            case_word = unsafe_add(case_word, 1)
            self.cases[update].word = case_word
            allowance = self._allowance(case_word) * min(self._traces(case_word), 4)
        ends_at: uint256 = block.timestamp + allowance + self._response(case_word) + defence_reserve
        self.positions[position].word = packing.position(
            kind, block.timestamp, ends_at, allowance, defence_reserve, a, b
        )
        self.positions[position].parent = parent
        if kind != FOLD:
            self.positions[position].first = first
        self.positions[position].last = last
        self.positions[position].claimant = dispute
    elif self._reserved_at(dispute) < self._reserved_at(self.positions[position].claimant):
        self.positions[position].claimant = dispute
    log ICourt.Demanded(
        position=position, dispute=dispute, update=update, ends_at=packing.ends_at(self.positions[position].word)
    )
    return position


# ------------------------------------------------------------------ views


@external
@view
def reservation(challenger: address, digest: bytes32) -> ICourt.Reservation:
    """
    @notice A reservation (D-1).
    @param challenger Who reserved.
    @param digest What was reserved.
    @return reservation All zero where nothing is reserved.
    """
    r: ReservationRecord = self.reservations[challenger][digest]
    return ICourt.Reservation(
        job=r.job,
        reserved_at=r.reserved_at,
        opened=self.disputes[digest].word != 0 and self._challenger(digest) == challenger,
    )


@external
@view
def dispute(id: bytes32) -> ICourt.Dispute:
    """
    @notice A dispute (D-2).
    @param id Dispute id.
    @return dispute All zero for an unknown id.
    """
    word: uint256 = self.disputes[id].word
    return ICourt.Dispute(
        update=self.disputes[id].update,
        job=self._job(id) if word != 0 else empty(bytes32),
        segment=packing.segment(word),
        challenger=packing.poster(word),
        reserved_at=self._reserved_at(id) if word != 0 else 0,
        opened_at=packing.since(word),
        status=packing.dispute_status(word),
    )


@external
@view
def position(id: bytes32) -> ICourt.Position:
    """
    @notice A demanded position (D-3, D-4).
    @param id Position id.
    @return position All zero for a position that nobody has demanded.
    """
    p: PositionRecord = self.positions[id]
    return ICourt.Position(
        kind=packing.kind(p.word),
        parent=p.parent,
        a=packing.a(p.word),
        b=packing.b(p.word),
        first=p.first,
        last=p.last,
        demanded_at=packing.demanded_at(p.word),
        ends_at=packing.ends_at(p.word),
        allowance=packing.allowance(p.word),
        defence_reserve=packing.defence_reserve(p.word),
        standing=packing.standing(p.word),
        candidates=packing.candidates(p.word),
        covered=p.word & packing.COVERED != 0,
        claimant=p.claimant,
        credit=p.credit,
    )


@external
@view
def candidate(id: bytes32) -> ICourt.Candidate:
    """
    @notice A candidate (D-5).
    @param id Candidate id.
    @return candidate All zero for an unknown id.
    """
    c: CandidateRecord = self.candidates[id]
    return ICourt.Candidate(
        position=c.position,
        root=c.root,
        poster=packing.poster(c.word),
        posted_at=packing.since(c.word),
        status=packing.candidate_status(c.word),
        bonded=c.word & packing.BONDED != 0,
    )


@external
@pure
def position_id(parent: bytes32, kind: uint256, a: uint256, b: uint256) -> bytes32:
    """
    @notice The id of a position (D-3).
    @param parent Update for STEPS, candidate otherwise.
    @param kind 1 STEPS, 2 NODES, 6 FOLD.
    @param a Segment, step within the segment, or node.
    @param b Word index for FOLD, otherwise 0.
    @return id Position id.
    """
    return self._position_id(parent, kind, a, b)


@external
@view
def traces(update: bytes32) -> uint256:
    """
    @notice Number of STEPS and NODES positions demanded against an update so far (D-4).
    @param update Update id.
    @return count Zero where no dispute was opened.
    """
    return self._traces(self.cases[update].word)
