# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Branches: how far each dispute has come under each candidate
@license Apache-2.0
@dev Rules D-7, D-12, D-13. A branch that has not moved is not stored: it follows from demand and candidate.
"""
from contracts_vyper import job_words
from contracts_vyper.dispute import clock
from contracts_vyper.dispute import guard
from contracts_vyper.dispute import packing
from contracts_vyper.dispute import records
from contracts_vyper.dispute import reveals
from contracts_vyper.interfaces import ICourt

uses: records
uses: reveals

MASK_8: constant(uint256) = 2**8 - 1
MASK_40: constant(uint256) = 2**40 - 1

# index and moved_at have 40 bits, node and the reserves 32, kind, height and waiting 8. The index of a waiting branch is
# that of the leaf which it waits for: the step, or the word.
struct Branch:
    kind: uint256
    height: uint256
    waiting: bool
    index: uint256
    node: uint256
    moved_at: uint256
    challenger_reserve: uint256
    defence_reserve: uint256
    hash: bytes32

struct BranchRecord:
    word: uint256
    hash: bytes32

# What a position is to one dispute: whether it has demanded it, when, and with which challenger's reserve.
struct Claim:
    demanded: bool
    demanded_at: uint256
    challenger_reserve: uint256

# A branch, what the classifier says of it, and the update and the geometry of its job.
struct Judgement:
    branch: Branch
    verdict: clock.Verdict
    update: bytes32
    geometry: uint256

branches: HashMap[bytes32, HashMap[bytes32, BranchRecord]]


@internal
@pure
def _decode(word: uint256, hash: bytes32) -> Branch:
    return Branch(
        kind=word & MASK_8,
        height=(word >> 8) & MASK_8,
        waiting=(word >> 16) & MASK_8 != 0,
        index=(word >> 24) & MASK_40,
        node=(word >> 64) & packing.MASK_32,
        moved_at=(word >> 96) & MASK_40,
        challenger_reserve=(word >> 136) & packing.MASK_32,
        defence_reserve=(word >> 168) & packing.MASK_32,
        hash=hash,
    )


@internal
def _store(dispute: bytes32, candidate: bytes32, b: Branch):
    self.branches[dispute][candidate].word = (
        b.kind
        | (b.height << 8)
        | (convert(b.waiting, uint256) << 16)
        | (b.index << 24)
        | (b.node << 64)
        | (b.moved_at << 96)
        | (b.challenger_reserve << 136)
        | (b.defence_reserve << 168)
    )
    # a branch that waits will not open its cursor again: where that is the root, it is not written down
    if not b.waiting and self.branches[dispute][candidate].hash != b.hash:
        self.branches[dispute][candidate].hash = b.hash


@internal
@view
def _claim(dispute: bytes32, position: bytes32) -> Claim:
    # A dispute demands one STEPS position, and at most one position under each candidate: its branch there waits for it.
    parent: bytes32 = records.positions[position].parent
    word: uint256 = records.positions[position].word
    kind: uint256 = packing.kind(word)
    if kind == records.STEPS:
        d: uint256 = records.disputes[dispute].word
        return Claim(
            demanded=records.disputes[dispute].update == parent and packing.segment(d) == packing.a(word),
            demanded_at=packing.since(d),
            challenger_reserve=packing.defence_reserve(word),  # both sides begin with G (D-13)
        )
    b: Branch = self._decode(self.branches[dispute][parent].word, empty(bytes32))
    demanded: bool = b.waiting
    if kind == records.NODES:
        demanded = demanded and b.index == packing.a(word)
    else:
        demanded = demanded and b.node == packing.a(word) and b.index == packing.b(word)
    return Claim(demanded=demanded, demanded_at=b.moved_at, challenger_reserve=b.challenger_reserve)


@internal
@view
def _judge(dispute: bytes32, candidate: bytes32) -> Judgement:
    # D-12, the one classifier
    j: Judgement = empty(Judgement)
    position: bytes32 = records.candidates[candidate].position
    if position == empty(bytes32):
        return j
    claim: Claim = self._claim(dispute, position)
    if not claim.demanded:
        return j

    # the update that the dispute is over is the one that its positions hang under
    j.update = records.disputes[dispute].update
    j.geometry = records.cases[j.update].geometry
    case_word: uint256 = records.cases[j.update].word
    position_word: uint256 = records.positions[position].word
    kind: uint256 = packing.kind(position_word)
    candidate_word: uint256 = records.candidates[candidate].word
    posted_at: uint256 = packing.since(candidate_word)

    word: uint256 = self.branches[dispute][candidate].word
    if word != 0:
        j.branch = self._decode(word, self.branches[dispute][candidate].hash)
    else:
        # D-13: the defence has its reserve less what the posting overran, which is the time left to the end
        j.branch = Branch(
            kind=kind,
            height=records._tree_height(j.geometry, kind, records.positions[position].last),
            waiting=False,
            index=0,
            node=packing.a(position_word) if kind == records.FOLD else 0,
            moved_at=0,
            challenger_reserve=claim.challenger_reserve,
            defence_reserve=min(
                packing.defence_reserve(position_word), packing.ends_at(position_word) - posted_at
            ),
            hash=records._root(candidate),
        )

    # INVARIANT: I-6, nothing moves once the dispute is over, the candidate or what it hangs under has fallen.
    if (
        packing.status(candidate_word) == records.FALLEN
        or not records._is_open(dispute)
        or records._fallen_above(position, kind)
        or not records._is_live(j.update)
    ):
        j.verdict.status = clock.CLOSED
    elif j.branch.waiting:
        j.verdict.status = clock.WAITING
    else:
        j.verdict = clock.judge(
            clock.Times(
                now=block.timestamp,
                posted_at=posted_at,
                first_demand=packing.demanded_at(position_word),
                demanded_at=claim.demanded_at,
                allowance=packing.traces(position_word) * records._allowance(case_word),
                response=records._response(case_word),
                moved_at=j.branch.moved_at,
                revealed_at=self._revealed_at(j.branch, posted_at, j.geometry),
                challenger_reserve=j.branch.challenger_reserve,
                defence_reserve=j.branch.defence_reserve,
            )
        )
    return j


@internal
@view
def _revealed_at(b: Branch, posted_at: uint256, geometry: uint256) -> uint256:
    if b.moved_at == 0:
        return posted_at  # with the commitment
    if b.height == 0:
        return b.moved_at  # a tree of height 0 is its leaf
    if b.kind == records.PAGE:
        return reveals.times[b.hash][reveals.PAGE_LEVELS]
    return reveals.times[b.hash][job_words.levels(geometry, b.height)]


@internal
@view
def _challengers_turn(dispute: bytes32, candidate: bytes32, sender: address) -> Judgement:
    # INVARIANT: I-5, only the challenger moves in its dispute.
    guard.that(sender == records._challenger(dispute), "court: not the challenger")
    j: Judgement = self._judge(dispute, candidate)
    guard.that(j.verdict.status != clock.ABSENT, "court: no such branch")
    guard.that(j.verdict.status != clock.CLOSED, "court: branch is closed")
    # INVARIANT: I-7, a late challenger holds nothing up.
    guard.that(j.verdict.status != clock.CHALLENGER_LATE, "court: challenger is late")
    guard.that(j.verdict.status == clock.CHALLENGER, "court: not the challenger's turn")
    # D-13: overruns of both sides
    j.branch.challenger_reserve -= clock.over(block.timestamp, j.verdict.due)
    j.branch.defence_reserve -= j.verdict.overrun
    j.branch.moved_at = block.timestamp
    return j


@external
@view
def branch(dispute: bytes32, candidate: bytes32) -> ICourt.Branch:
    """
    @notice A branch (D-7), also one that has come to be without a transaction.
    @param dispute Dispute id.
    @param candidate Candidate id.
    @return branch Kind 0 where the dispute has not demanded the candidate's position. Reserves are those before the
            move under way.
    """
    j: Judgement = self._judge(dispute, candidate)
    b: Branch = j.branch
    index: uint256 = b.index
    demanded: bytes32 = empty(bytes32)
    word_index: uint256 = 0
    if b.kind == records.FOLD:
        word_index = packing.b(records.positions[records.candidates[candidate].position].word)
    if b.waiting:
        index = b.index >> b.height
        if b.hash == empty(bytes32):
            b.hash = records._root(candidate)
        if b.kind == records.STEPS:
            demanded = records._position_id(candidate, records.NODES, b.index, 0)
        else:
            demanded = records._position_id(candidate, records.FOLD, b.node, b.index)
    return ICourt.Branch(
        kind=b.kind,
        hash=b.hash,
        height=b.height,
        index=index,
        node=b.node,
        word_index=word_index,
        moved_at=b.moved_at,
        waiting=b.waiting,
        demanded=demanded,
        challenger_reserve=b.challenger_reserve,
        defence_reserve=b.defence_reserve,
    )


@external
@view
def classify(dispute: bytes32, candidate: bytes32) -> (uint256, uint256, uint256):
    """
    @notice Whose move it is in a branch at the time of this block (D-12).
    @param dispute Dispute id.
    @param candidate Candidate id.
    @return status 0 no such branch, 1 DEFENDER, 2 CHALLENGER, 3 WAITING, 4 DEFENDER_LATE, 5 CHALLENGER_LATE,
            6 CLOSED; due time and reserve (seconds) of the side that is to move or is late, otherwise zero.
    """
    v: clock.Verdict = self._judge(dispute, candidate).verdict
    return v.status, v.due, v.reserve
