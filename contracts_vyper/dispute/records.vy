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

# What the board says of an update, read once, when the first dispute against it is opened. word: the number of STEPS and
# NODES positions demanded (D-4), R, A, 32 bits each, and the trainer. disputes: how many have been opened.
struct Case:
    geometry: uint256
    word: uint256
    disputes: uint256

struct PositionRecord:
    word: uint256
    parent: bytes32
    first: bytes32
    last: bytes32

# the root stands with the position, at the candidate's place
struct CandidateRecord:
    word: uint256
    position: bytes32

board: public(immutable(IJobBoard))
verifier: public(immutable(address))

reservations: HashMap[address, HashMap[bytes32, ReservationRecord]]
disputes: HashMap[bytes32, DisputeRecord]
cases: HashMap[bytes32, Case]
positions: HashMap[bytes32, PositionRecord]
candidates: HashMap[bytes32, CandidateRecord]
roots: HashMap[bytes32, HashMap[uint256, bytes32]]
# of an update by number: nobody uses up another update's numbers
dispute_ids: HashMap[bytes32, HashMap[uint256, bytes32]]
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
def _case_word(clocks: uint256, trainer: address) -> uint256:
    return (
        (job_words.clock(clocks, job_words.RESPONSE) << 32)
        | (job_words.clock(clocks, job_words.ALLOWANCE) << 64)
        | (convert(trainer, uint256) << 96)
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
def _trainer(case_word: uint256) -> address:
    return convert(case_word >> 96, address)


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
def _fallen_above(position: bytes32, kind: uint256) -> bool:
    # whether a candidate that a position of this kind hangs under has fallen (D-16)
    if kind == STEPS:
        return False
    candidate: bytes32 = self.positions[position].parent
    fallen: bool = packing.status(self.candidates[candidate].word) == FALLEN
    if kind == FOLD:
        candidate = self.positions[self.candidates[candidate].position].parent
        fallen = fallen or packing.status(self.candidates[candidate].word) == FALLEN
    return fallen


@internal
@view
def _steps_above(position: bytes32) -> (bytes32, bytes32):
    # the STEPS position that a position hangs under, or is, and the candidate between (zero for the position itself)
    place: bytes32 = position
    candidate: bytes32 = empty(bytes32)
    for _: uint256 in range(2):
        if packing.kind(self.positions[place].word) == STEPS:
            break
        candidate = self.positions[place].parent
        place = self.candidates[candidate].position
    return place, candidate


@internal
@view
def _update_of(position: bytes32) -> bytes32:
    # the update that a position is demanded against
    return self.positions[self._steps_above(position)[0]].parent


@internal
@view
def _undecided(position: bytes32) -> bytes32:
    # a position at which something can still be decided; returns its update
    kind: uint256 = packing.kind(self.positions[position].word)
    guard.that(kind != 0, "court: no such position")
    # INVARIANT: I-6, nothing is decided below what has fallen.
    guard.that(not self._fallen_above(position, kind), "court: fallen above")
    update: bytes32 = self._update_of(position)
    guard.that(self._is_live(update), "court: update is not live")
    return update


@internal
@view
def _root(candidate: bytes32) -> bytes32:
    return self.roots[self.candidates[candidate].position][packing.place(self.candidates[candidate].word)]


@internal
@pure
def _candidate_id(position: bytes32, root: bytes32) -> bytes32:
    # D-5
    return sha256(concat(position, root))


@internal
@view
def _is_open(dispute: bytes32) -> bool:
    return packing.status(self.disputes[dispute].word) == OPEN


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


@internal
@view
def _named(update: bytes32, position: bytes32, at: uint256) -> bytes32:
    # the dispute that a position names: its claimant, or who is credited with its last fall (zero: nothing has fallen)
    return self.dispute_ids[update][packing.number_at(self.positions[position].word, at)]


@internal
@view
def _naming(word: uint256, at: uint256, dispute: bytes32) -> uint256:
    # a position's word, with another dispute named
    return packing.with_number(word, at, self.disputes[dispute].word)


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
        traces: uint256 = 0
        if kind != FOLD:
            case_word = unsafe_add(case_word, 1)
            self.cases[update].word = case_word
            traces = min(self._traces(case_word), 4)
        allowance: uint256 = self._allowance(case_word) * traces
        ends_at: uint256 = block.timestamp + allowance + self._response(case_word) + defence_reserve
        self.positions[position].word = self._naming(
            packing.position(kind, traces, block.timestamp, ends_at, defence_reserve, a, b),
            packing.CLAIMANT_AT,
            dispute,
        )
        self.positions[position].parent = parent
        if kind != FOLD:
            self.positions[position].first = first
        self.positions[position].last = last
    elif self._reserved_at(dispute) < self._reserved_at(self._named(update, position, packing.CLAIMANT_AT)):
        self.positions[position].word = self._naming(
            self.positions[position].word, packing.CLAIMANT_AT, dispute
        )
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
        job=self._job(id),
        segment=packing.segment(word),
        challenger=packing.poster(word),
        reserved_at=self._reserved_at(id),
        opened_at=packing.since(word),
        status=packing.status(word),
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
    update: bytes32 = self._update_of(id)
    return ICourt.Position(
        kind=packing.kind(p.word),
        parent=p.parent,
        a=packing.a(p.word),
        b=packing.b(p.word),
        first=p.first,
        last=p.last,
        demanded_at=packing.demanded_at(p.word),
        ends_at=packing.ends_at(p.word),
        allowance=packing.traces(p.word) * self._allowance(self.cases[update].word),
        defence_reserve=packing.defence_reserve(p.word),
        standing=packing.standing(p.word),
        candidates=packing.candidates(p.word),
        covered=p.word & packing.COVERED != 0,
        claimant=self._named(update, id, packing.CLAIMANT_AT),
        credit=self._named(update, id, packing.CREDIT_AT),
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
        root=self._root(id),
        poster=packing.poster(c.word),
        posted_at=packing.since(c.word),
        status=packing.status(c.word),
        bonded=c.word & packing.BONDED != 0,
    )


@external
@view
def candidates_of(position: bytes32, place: uint256) -> bytes32:
    """
    @notice A candidate of a position, fallen ones included, oldest first (D-5).
    @param position Position id.
    @param place From 0.
    @return candidate Candidate id; zero past the last.
    """
    if place >= packing.candidates(self.positions[position].word):
        return empty(bytes32)
    return self._candidate_id(position, self.roots[position][place])


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
