# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Moves of the challenger
@license Apache-2.0
@dev Rules D-8 to D-11. The challenger commits to nothing: each move opens a child of what the defence has revealed.
"""
from contracts_vyper import job_words
from contracts_vyper.commitments import merkle
from contracts_vyper.dispute import branches
from contracts_vyper.dispute import guard
from contracts_vyper.dispute import packing
from contracts_vyper.dispute import records
from contracts_vyper.interfaces import ICourt
from contracts_vyper.interfaces import ICourtContext
from contracts_vyper.interfaces import IJobBoard

uses: records
uses: branches

MAX_LEVELS: constant(uint256) = 10
MAX_PATH: constant(uint256) = 32
PAGE_BYTES: constant(uint256) = 256
PAGE_HEIGHT: constant(uint256) = 6
# a descriptor and its path (P-16)
MAX_OPENING: constant(uint256) = 1024 + 32 * MAX_PATH

interface Verifier:
    def fold_shape(
        program_root: bytes32,
        n_nodes: uint256,
        node: uint256,
        range_log2: uint256,
        tensor_height: uint256,
        word_index: uint256,
        opening: Bytes[MAX_OPENING],
    ) -> (uint256, uint256): view


@internal
@view
def _terms(dispute: bytes32) -> IJobBoard.ProofTerms:
    return staticcall records.board.proof_terms(records._job(dispute), skip_contract_check=True)


@internal
@view
def _descend(
    j: branches.Judgement, index: uint256, leaf: bytes32, path: DynArray[bytes32, MAX_LEVELS]
) -> branches.Branch:
    # D-8: the cursor, moved to a node of the revealed list
    b: branches.Branch = j.branch
    levels: uint256 = job_words.levels(j.geometry, b.height)
    guard.that(index >> levels == 0, "court: index outside the list")
    # INVARIANT: I-4, only what the defence has committed to can be selected.
    guard.that(
        len(path) == levels and merkle.root_from_path(leaf, index, path) == b.hash,
        "court: not under the cursor",
    )
    b.height -= levels
    b.index = (b.index << levels) | index
    b.hash = leaf
    return b


@external
def select(
    dispute: bytes32, candidate: bytes32, index: uint256, leaf: bytes32, path: DynArray[bytes32, MAX_LEVELS]
):
    """
    @notice Go down into a revealed child (D-8). The dispute's challenger, in its turn.
    @param dispute Dispute id.
    @param candidate Candidate id.
    @param index Of the child in the revealed list.
    @param leaf The child.
    @param path Siblings up to the cursor, as many as the list has levels.
    """
    j: branches.Judgement = branches._challengers_turn(dispute, candidate, msg.sender)
    guard.that(j.branch.kind != records.PAGE, "court: word has its own move")
    guard.that(j.branch.height != 0, "court: nothing below the cursor")
    b: branches.Branch = self._descend(j, index, leaf, path)
    if b.height == 0:
        if b.kind == records.NODES:
            n_nodes: uint256 = job_words.geometry(j.geometry, job_words.N_NODES)
            guard.that(b.index <= n_nodes, "court: no such node")
            if b.index < n_nodes:
                b.kind = records.TENSOR
                b.height = job_words.geometry(j.geometry, job_words.TENSOR_HEIGHT)
                b.node = b.index
            else:
                b.kind = records.STATE
                b.height = job_words.height(job_words.geometry(j.geometry, job_words.N_SLOTS))
            b.index = 0
        else:
            guard.that(b.kind == records.TENSOR, "court: leaf has its own move")
    # INVARIANT: I-4, nobody can be asked to reveal what 32 zero bytes are the hash of.
    if b.kind == records.TENSOR and b.height == 0 and b.hash != empty(bytes32):
        b.kind = records.PAGE
        b.height = PAGE_HEIGHT
    branches._store(dispute, candidate, b)
    log ICourt.Selected(
        dispute=dispute,
        candidate=candidate,
        kind=b.kind,
        hash=b.hash,
        height=b.height,
        index=b.index,
        node=b.node,
    )


@external
def select_step(
    dispute: bytes32,
    candidate: bytes32,
    index: uint256,
    leaf: bytes32,
    path: DynArray[bytes32, MAX_LEVELS],
    before: bytes32,
    before_path: DynArray[bytes32, MAX_PATH],
) -> bytes32:
    """
    @notice Select the first wrong step, open the state before it, and demand its NODES (D-9).
    @param dispute Dispute id.
    @param candidate STEPS candidate id.
    @param index Of the leaf in the revealed list.
    @param leaf State root after the step.
    @param path Siblings up to the cursor.
    @param before State root before the step.
    @param before_path Its whole path to the candidate's root.
    @return position The demanded position.
    """
    j: branches.Judgement = branches._challengers_turn(dispute, candidate, msg.sender)
    guard.that(j.branch.kind == records.STEPS, "court: not among steps")
    b: branches.Branch = self._descend(j, index, leaf, path)
    guard.that(b.height == 0, "court: not a step yet")
    segment: uint256 = packing.a(records.positions[records.candidates[candidate].position].word)
    # INVARIANT: I-4, leaf 0 is agreed, leaves past the segment mean nothing.
    guard.that(
        b.index >= 1 and b.index <= records._steps_in_segment(j.geometry, segment),
        "court: no such step",
    )
    # INVARIANT: I-5, the state before stands under the same commitment.
    guard.that(
        len(before_path) == records._tree_height(j.geometry, records.STEPS, empty(bytes32))
        and merkle.root_from_path(before, b.index - 1, before_path) == records._root(candidate),
        "court: state before not committed",
    )
    # the cursor stays; its index is that of the leaf
    j.branch.waiting = True
    j.branch.index = b.index
    branches._store(dispute, candidate, j.branch)
    return records._demand(
        dispute, j.update, records.NODES, candidate, b.index, 0, before, leaf, b.defence_reserve
    )


@external
def select_word(
    dispute: bytes32, candidate: bytes32, index: uint256, page: Bytes[PAGE_BYTES], opening: Bytes[MAX_OPENING]
) -> bytes32:
    """
    @notice Select the first wrong word of a page whose fold is too long for one proof, and demand its FOLD (D-10).
    @param dispute Dispute id.
    @param candidate NODES candidate id.
    @param index Of the word in the page, below 64.
    @param page 256 bytes that hash to the cursor.
    @param opening Descriptor of the node and its path (P-16).
    @return position The demanded position.
    """
    j: branches.Judgement = branches._challengers_turn(dispute, candidate, msg.sender)
    b: branches.Branch = j.branch
    guard.that(b.kind == records.PAGE, "court: not at a page")
    guard.that(index < 64, "court: a page has 64 words")
    # INVARIANT: I-5, the word is the one committed to.
    guard.that(len(page) == PAGE_BYTES and sha256(page) == b.hash, "court: page is not at the cursor")
    word: uint256 = convert(slice(page, 4 * index, 4), uint256)
    b.index = b.index * 64 + index
    terms: IJobBoard.ProofTerms = self._terms(dispute)
    fold: uint256 = 0
    ranges: uint256 = 0
    fold, ranges = staticcall Verifier(records.verifier).fold_shape(
        terms.program_root,
        job_words.geometry(j.geometry, job_words.N_NODES),
        b.node,
        job_words.geometry(j.geometry, job_words.RANGE_LOG2),
        job_words.geometry(j.geometry, job_words.TENSOR_HEIGHT),
        b.index,
        opening,
        skip_contract_check=True,
    )
    b.waiting = True
    branches._store(dispute, candidate, b)
    end: bytes32 = packing.fold_end(word, fold, ranges)
    return records._demand(
        dispute, j.update, records.FOLD, candidate, b.node, b.index, empty(bytes32), end, b.defence_reserve
    )


# ------------------------------------------------------------------ proofs


@internal
@view
def _provable(j: branches.Judgement):
    # D-11: a last level
    kind: uint256 = j.branch.kind
    low: bool = j.branch.height <= job_words.geometry(j.geometry, job_words.FANOUT_LOG2)
    guard.that(kind == records.PAGE or (kind >= records.TENSOR and low), "court: not at a last level")


@external
@view
def proof_context(dispute: bytes32, candidate: bytes32) -> ICourtContext.ProofContext:
    """
    @notice What a proof at the present cursor of a branch must show (P-15).
    @dev Refused unless it is the challenger's turn, at a last level.
    @param dispute Dispute id.
    @param candidate Candidate id.
    @return context Of the proof.
    """
    j: branches.Judgement = branches._challengers_turn(dispute, candidate, records._challenger(dispute))
    self._provable(j)
    nodes: bytes32 = candidate
    fold_root: bytes32 = empty(bytes32)
    word_index: uint256 = 0
    if j.branch.kind == records.FOLD:
        fold_root = records._root(candidate)
        fold_position: bytes32 = records.candidates[candidate].position
        word_index = packing.b(records.positions[fold_position].word)
        nodes = records.positions[fold_position].parent
    position: bytes32 = records.candidates[nodes].position
    steps: bytes32 = records.candidates[records.positions[position].parent].position
    segment: uint256 = packing.a(records.positions[steps].word)
    terms: IJobBoard.ProofTerms = self._terms(dispute)
    g: uint256 = terms.geometry
    return ICourtContext.ProofContext(
        program_root=terms.program_root,
        inputs_root=terms.inputs_root,
        seed=terms.seed,
        nodes_root=records._root(nodes),
        pre_state=records.positions[position].first,
        fold_root=fold_root,
        cursor=j.branch.hash,
        kind=j.branch.kind,
        cursor_height=j.branch.height,
        cursor_index=j.branch.index,
        node=j.branch.node,
        word_index=word_index,
        # leaf j of STEPS is the state after step j - 1 of the segment
        step=segment * job_words.geometry(g, job_words.STRIDE) + packing.a(records.positions[position].word) - 1,
        n_nodes=job_words.geometry(g, job_words.N_NODES),
        n_slots=job_words.geometry(g, job_words.N_SLOTS),
        n_inputs=job_words.geometry(g, job_words.N_INPUTS),
        n_rows=job_words.geometry(g, job_words.N_ROWS),
        batch=job_words.geometry(g, job_words.BATCH),
        tensor_height=job_words.geometry(g, job_words.TENSOR_HEIGHT),
        input_height=job_words.geometry(g, job_words.INPUT_HEIGHT),
        range_log2=job_words.geometry(g, job_words.RANGE_LOG2),
    )
