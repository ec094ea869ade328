# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Committing candidates
@license Apache-2.0
@dev Rule D-5. Who may post, what a candidate must show, and how its defence bond comes back (D-16).
"""
from contracts_vyper import job_words
from contracts_vyper.commitments import merkle
from contracts_vyper.dispute import guard
from contracts_vyper.dispute import packing
from contracts_vyper.dispute import records
from contracts_vyper.dispute import reveals
from contracts_vyper.interfaces import ICourt
from contracts_vyper.interfaces import IJobBoard

uses: records
uses: reveals

MAX_CANDIDATES: constant(uint256) = 1023
MAX_CHILDREN: constant(uint256) = 1024
MAX_PATH: constant(uint256) = 32
ACCUMULATOR_BYTES: constant(uint256) = 97
# sha256 of 97 zero bytes (N-12)
EMPTY_ACCUMULATOR: constant(bytes32) = 0x136dd1a7d0a62859f2077a62b7673c5c712fb750604a15f5f6140ab2c5112327

interface Verifier:
    def finish(fold: uint256, total: Bytes[ACCUMULATOR_BYTES]) -> uint256: view


@external
def delegate(who: address, allowed: bool):
    """
    @notice Let another account post candidates for the sender's updates, or no longer (D-5).
    @param who Delegate.
    @param allowed Whether it may.
    """
    records.is_delegate[msg.sender][who] = allowed
    log ICourt.Delegated(trainer=msg.sender, delegate=who, allowed=allowed)


@external
def commit(
    position: bytes32,
    children: DynArray[bytes32, MAX_CHILDREN],
    first_path: DynArray[bytes32, MAX_PATH],
    last_path: DynArray[bytes32, MAX_PATH],
    accumulator: Bytes[ACCUMULATOR_BYTES],
) -> bytes32:
    """
    @notice Post a candidate at a demanded position, with its first child list and its end points (D-5). Anyone; for a
            defence bond, but for the first candidate of the trainer's side.
    @param position Position id.
    @param children The nodes levels(h) below the root, h the height of the tree (D-6).
    @param first_path From leaf 0 up to the child above it; empty for NODES.
    @param last_path From the last leaf up to the child above it.
    @param accumulator FOLD: the whole fold's, 97 bytes; otherwise empty.
    @return candidate Candidate id.
    """
    update: bytes32 = records._undecided(position)
    word: uint256 = records.positions[position].word
    # INVARIANT: I-7, the posting period ends.
    guard.that(block.timestamp <= packing.ends_at(word), "court: posting period is over")
    geometry: uint256 = records.cases[update].geometry
    self._check_ends(position, packing.kind(word), geometry, children, first_path, last_path, accumulator)
    root: bytes32 = merkle.root_of_children(children)
    candidate: bytes32 = records._candidate_id(position, root)
    trainer: address = records._trainer(records.cases[update].word)
    own: bool = msg.sender == trainer or records.is_delegate[trainer][msg.sender]
    covered: bool = own and word & packing.COVERED == 0
    places: uint256 = packing.candidates(word)
    known: uint256 = records.candidates[candidate].word
    bonded: bool = not covered
    payee: address = msg.sender
    if known == 0:
        # INVARIANT: I-6, one place is kept for the candidate that the update's bond covers.
        used: uint256 = places
        if word & packing.COVERED == 0 and not covered:
            used += 1
        guard.that(used < MAX_CANDIDATES, "court: no place left")
        records.candidates[candidate] = records.CandidateRecord(
            word=packing.candidate(msg.sender, block.timestamp, places, bonded, records.STANDING),
            position=position,
        )
        records.roots[position][places] = root
        word = word + packing.STANDING_ONE + packing.CANDIDATES_ONE
        reveals._record(root, job_words.height(len(children)), children)
    else:
        # INVARIANT: I-6, a duplicate is refused, also of what has fallen; but nobody keeps the trainer's side from the
        # cover, and from what a challenger loses, by posting its root before it.
        guard.that(covered and known & packing.BONDED != 0, "court: candidate exists")
        payee = packing.poster(known)
        bonded = True
        records.candidates[candidate].word = packing.covered(known, msg.sender)
    if covered:
        word = word | packing.COVERED | packing.COVERED_STANDS
    records.positions[position].word = word
    log ICourt.Committed(
        position=position, candidate=candidate, poster=msg.sender, root=root, bonded=not covered
    )
    if bonded:
        job: bytes32 = records._context(update).job
        if covered:
            records._return_bond(job, True, payee)
        else:
            extcall records.board.lock_bond(job, True, payee, skip_contract_check=True)
    return candidate


@internal
@view
def _check_ends(
    position: bytes32,
    kind: uint256,
    geometry: uint256,
    children: DynArray[bytes32, MAX_CHILDREN],
    first_path: DynArray[bytes32, MAX_PATH],
    last_path: DynArray[bytes32, MAX_PATH],
    accumulator: Bytes[ACCUMULATOR_BYTES],
):
    # C-10, C-11, C-12: the number of the last leaf, and the end points that the position asks for
    first: bytes32 = records.positions[position].first
    last: bytes32 = records.positions[position].last
    height: uint256 = records._tree_height(geometry, kind, last)
    levels: uint256 = job_words.levels(geometry, height)
    guard.that(len(children) == 1 << levels, "court: wrong number of children")
    n: uint256 = 0
    if kind == records.STEPS:
        n = records._steps_in_segment(geometry, packing.a(records.positions[position].word))
    elif kind == records.NODES:
        n = job_words.geometry(geometry, job_words.N_NODES)
    else:
        n = packing.fold_ranges(last)
        guard.that(len(accumulator) == ACCUMULATOR_BYTES, "court: accumulator of 97 bytes")
        # INVARIANT: I-5, the fold committed to ends in the word committed to.
        word: uint256 = staticcall Verifier(records.verifier).finish(
            packing.fold_kind(last), accumulator, skip_contract_check=True
        )
        guard.that(word == packing.fold_word(last), "court: accumulator not the word's")
        first = EMPTY_ACCUMULATOR
        last = sha256(accumulator)
    if kind != records.FOLD:
        guard.that(len(accumulator) == 0, "court: accumulator not asked for")

    # INVARIANT: I-5, the ends are what was committed before, so the first difference lies between them.
    below: uint256 = height - levels
    if kind == records.NODES:
        guard.that(len(first_path) == 0, "court: first path not asked for")
    else:
        guard.that(
            len(first_path) == below and merkle.root_from_path(first, 0, first_path) == children[0],
            "court: wrong first end point",
        )
    guard.that(
        len(last_path) == below
        and merkle.root_from_path(last, n & ((1 << below) - 1), last_path) == children[n >> below],
        "court: wrong last end point",
    )


@external
def free(candidate: bytes32):
    """
    @notice Give a standing candidate's defence bond back to its poster, once (D-16): when the update is final or not
            live, or something above the candidate has fallen. Anyone.
    @param candidate Candidate id.
    """
    word: uint256 = records.candidates[candidate].word
    # INVARIANT: I-8, a bond is returned once, and only one that is held; a fallen candidate's is lost.
    guard.that(word & packing.BONDED != 0, "court: no defence bond held")
    position: bytes32 = records.candidates[candidate].position
    fallen: bool = records._fallen_above(position, packing.kind(records.positions[position].word))
    u: IJobBoard.DisputeContext = records._context(records._update_of(position))
    guard.that(fallen or u.final or not u.live, "court: candidate is still needed")
    records.candidates[candidate].word = word & ~packing.BONDED
    log ICourt.Freed(candidate=candidate)
    records._return_bond(u.job, True, packing.poster(word))
