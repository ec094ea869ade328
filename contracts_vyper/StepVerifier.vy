# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title The judge of one step of arithmetic
@license Apache-2.0
@notice Recomputes the leaf that a dispute has come to from operands opened under the trainer's own commitments,
        and tells the court whether the commitment is wrong (specs/program.md, P-13 to P-16).
@dev No storage, no owner, no funds. A proof is one byte stream, read front to back where it lies in the calldata
     and used up exactly. `protocol/program/leaf.py` is the same in Python, with the same reasons.
@custom:security Anyone may call, naming any court: a court listens to the one verifier fixed in it, asks nothing
                 of the caller, and a contract that only pretends to be a court can write a false context to
                 itself alone. The context is read and the verdict given in one transaction.
"""

from contracts_vyper.commitments import merkle
from contracts_vyper.interfaces import ICourtContext
from contracts_vyper.numerics import accumulator
from contracts_vyper.numerics import expression
from contracts_vyper.numerics import functions
from contracts_vyper.program import descriptor
from contracts_vyper.program import evaluation
from contracts_vyper.program import schedule
from contracts_vyper.program import stream

initializes: functions
initializes: expression[functions := functions]
initializes: evaluation[expression := expression]
exports: functions.scalar_functions

TENSOR: constant(uint256) = 3
PAGE: constant(uint256) = 4
STATE: constant(uint256) = 5
FOLD: constant(uint256) = 6

PAGE_WORDS: constant(uint256) = 64
PAGE_BYTES: constant(uint256) = 256
DESCRIPTOR_BYTES: constant(uint256) = 1024
ACCUMULATOR_BYTES: constant(uint256) = 97
MAX_WITNESS: constant(uint256) = 98304
MAX_OPENING: constant(uint256) = 2048


@deploy
def __init__(at: address):
    """
    @param at The contract `ScalarFunctions`.
    """
    functions.__init__(at)


@external
def prove(
    court: address, dispute: bytes32, candidate: bytes32, index: uint256, witness: Bytes[MAX_WITNESS]
):
    """
    @notice Judge a leaf and tell the court.
    @dev Returns nothing: a return value would be written behind the room for the largest witness, at 27,000 gas.
    @param court Whose dispute it is (ICourtContext).
    @param dispute Id of the dispute.
    @param candidate Id of the candidate commitment under attack.
    @param index Of the leaf below the branch's cursor.
    @param witness The stream of P-15.
    """
    self._prove(court, dispute, candidate, index)


@external
@view
def fold_shape(
    program_root: bytes32,
    n_nodes: uint256,
    node: uint256,
    range_log2: uint256,
    tensor_height: uint256,
    word_index: uint256,
    opening: Bytes[MAX_OPENING],
) -> (uint256, uint256):
    """
    @notice What the court needs to know of a fold that is to be bisected (P-16).
    @param program_root Of the job (C-8).
    @param n_nodes Number of nodes of the job, below 2**64.
    @param node Number of the node.
    @param range_log2 Of the job (P-12).
    @param tensor_height H of the job (C-5).
    @param word_index Of the node's output; refused past the extent.
    @param opening The descriptor, 1024 bytes, and its path; refused if the fold is one range.
    @return The fold (1 sum, 2 max, 3 argmax), and the number of ranges, at least 2.
    """
    assert n_nodes < 2**64, "verifier: number too large"
    begin: uint256 = 0
    end: uint256 = 0
    begin, end = self._bounds(196)
    after: uint256 = self._open_descriptor(program_root, n_nodes, node, begin, end)
    assert after == end, "verifier: trailing bytes"
    h: descriptor.Header = descriptor.header(begin, range_log2, tensor_height)
    assert word_index < h.extent, "verifier: word past the extent"
    assert h.terms > h.length, "verifier: fold is whole"
    return h.fold, self._ranges(h)


@external
@pure
def finish(fold: uint256, total: Bytes[ACCUMULATOR_BYTES]) -> uint256:
    """
    @notice The word that an accumulator finishes to (N-13).
    @param fold 1 sum, 2 max, 3 argmax.
    @param total The accumulator, 97 bytes (N-12).
    @return The word, below 2**32.
    """
    assert len(total) == ACCUMULATOR_BYTES, "verifier: accumulator length"
    return accumulator.finish(fold, accumulator.from_bytes(total))


@external
@pure
def schedule_row(
    seed: bytes32, n_rows: uint256, batch: uint256, step: uint256, position: uint256
) -> uint256:
    """
    @notice Which dataset row stands at a batch position (P-7).
    @param seed Of the job.
    @param n_rows Rows of the dataset.
    @param batch Rows per step, below 2**64.
    @param step From the start of the job, below 2**128.
    @param position In the batch, from 0, below 2**128.
    @return The row.
    """
    assert batch < 2**64 and step < 2**128 and position < 2**128, "verifier: number too large"
    return schedule.row(seed, n_rows, batch, step, position)


@internal
def _prove(court: address, dispute: bytes32, candidate: bytes32, index: uint256):
    """
    @notice Ask the court, judge, tell the court.
    """
    assert court.is_contract, "verifier: no court"
    c: ICourtContext.ProofContext = staticcall ICourtContext(court).proof_context(dispute, candidate)
    begin: uint256 = 0
    end: uint256 = 0
    begin, end = self._bounds(132)
    extcall ICourtContext(court).verdict(dispute, candidate, msg.sender, self._judge(c, index, begin, end))


@internal
@view
def _bounds(argument: uint256) -> (uint256, uint256):
    """
    @notice Where a byte string lies in the calldata.
    @dev The string is the last argument, so its length stands right behind the head that ends with its offset.
    @param argument Position of its offset.
    @return Position of the first byte, and of the end.
    """
    # INVARIANT: the bytes that are judged are the argument itself.
    assert stream.word(argument) == argument + 28, "verifier: encoding"
    begin: uint256 = argument + 64
    end: uint256 = begin + stream.word(argument + 32)
    assert end <= len(msg.data), "verifier: encoding"
    return begin, end


@internal
@view
def _judge(c: ICourtContext.ProofContext, index: uint256, begin: uint256, end: uint256) -> bool:
    """
    @notice The verdict on a leaf (P-14).
    @param c What the court says.
    @param index Of the leaf below the cursor.
    @param begin Position of the stream.
    @param end Of the stream.
    @return True if the commitment is wrong.
    """
    assert c.kind >= TENSOR and c.kind <= FOLD, "verifier: cursor kind"
    below: uint256 = c.cursor_height
    if c.kind == PAGE:
        below = 6
    assert index >> below == 0, "verifier: index"
    place: uint256 = (c.cursor_index << below) + index
    fault: bool = False
    after: uint256 = begin

    if c.kind == STATE:
        fault, after = self._slot(c, place, index, begin, end)
    else:
        after = self._open_descriptor(c.program_root, c.n_nodes, c.node, begin, end)
        h: descriptor.Header = descriptor.header(begin, c.range_log2, c.tensor_height)
        if c.kind == PAGE:
            fault, after = self._word(c, h, begin, place, index, after, end)
        else:
            leaf: bytes32 = empty(bytes32)
            leaf, after = self._open_leaf(c, index, after, end)
            if c.kind == FOLD:
                fault, after = self._range(c, h, begin, place, leaf, after, end)
            elif place * PAGE_WORDS >= h.extent:
                fault = leaf != empty(bytes32)
            else:
                # A page of the tensor has 256 bytes, which hash to something; absent it cannot be revealed.
                assert leaf == empty(bytes32), "verifier: page within the extent"
                fault = True

    assert after == end, "verifier: trailing bytes"
    return fault


@internal
@view
def _word(
    c: ICourtContext.ProofContext,
    h: descriptor.Header,
    node: uint256,
    word_index: uint256,
    index: uint256,
    begin: uint256,
    end: uint256,
) -> (bool, uint256):
    """
    @notice Leaf *word*: one element recomputed whole.
    """
    after: uint256 = stream.need(begin, PAGE_BYTES, end)
    assert sha256(slice(msg.data, begin, PAGE_BYTES)) == c.cursor, "verifier: page"
    committed: uint256 = stream.word32(begin + 4 * index)
    if word_index >= h.extent:
        return committed != 0, after
    assert h.terms <= h.length, "verifier: fold is bisected"
    outcome: evaluation.Outcome = evaluation.run(
        c, h, node, word_index, 0, h.terms, empty(accumulator.Accumulator), after, end
    )
    if h.fold != 0:
        outcome.word = accumulator.finish(h.fold, outcome.total)
    return committed != outcome.word, outcome.after


@internal
@view
def _range(
    c: ICourtContext.ProofContext,
    h: descriptor.Header,
    node: uint256,
    number: uint256,
    leaf: bytes32,
    begin: uint256,
    end: uint256,
) -> (bool, uint256):
    """
    @notice Leaf *range*: a prefix and a few terms give the next prefix.
    """
    ranges: uint256 = self._ranges(h)
    assert number != 0 and number <= ranges, "verifier: range"
    assert c.word_index < h.extent, "verifier: word past the extent"
    path: uint256 = stream.need(begin, ACCUMULATOR_BYTES, end)
    height: uint256 = stream.height(ranges + 1)
    after: uint256 = stream.need(path, 32 * height, end)
    before: Bytes[ACCUMULATOR_BYTES] = slice(msg.data, begin, ACCUMULATOR_BYTES)
    assert (
        merkle.root_from_calldata(sha256(before), number - 1, height, path) == c.fold_root
    ), "verifier: accumulator"
    first: uint256 = (number - 1) * h.length
    outcome: evaluation.Outcome = evaluation.run(
        c,
        h,
        node,
        c.word_index,
        first,
        min(h.length, h.terms - first),
        accumulator.from_bytes(before),
        after,
        end,
    )
    return leaf != accumulator.digest(outcome.total), outcome.after


@internal
@view
def _slot(
    c: ICourtContext.ProofContext, slot: uint256, index: uint256, begin: uint256, end: uint256
) -> (bool, uint256):
    """
    @notice Leaf *link*: a slot of the next state is the output of the node that the link table names.
    """
    leaf: bytes32 = empty(bytes32)
    after: uint256 = begin
    leaf, after = self._open_leaf(c, index, begin, end)
    if slot >= c.n_slots:
        return leaf != empty(bytes32), after

    path: uint256 = stream.need(after, 32, end)
    table: bytes32 = convert(stream.word(after), bytes32)
    height: uint256 = stream.height(c.n_inputs)
    after = stream.need(path, 32 * height, end)
    assert merkle.root_from_calldata(table, 0, height, path) == c.inputs_root, "verifier: link table"
    page: stream.Page = stream.open_page(slot // PAGE_WORDS, c.input_height, after, end)
    assert page.root == table, "verifier: link page"
    link: uint256 = 0
    if page.content != 0:
        link = stream.word32(page.content + 4 * (slot % PAGE_WORDS))

    # P-9: the output of node `link`, or the slot as it was.
    path = stream.need(page.after, 32, end)
    root: bytes32 = convert(stream.word(page.after), bytes32)
    tree: bytes32 = c.pre_state
    height = c.n_slots
    if link < c.n_nodes:
        tree = c.nodes_root
        height = c.n_nodes + 1
    else:
        link = slot
    height = stream.height(height)
    after = stream.need(path, 32 * height, end)
    assert merkle.root_from_calldata(root, link, height, path) == tree, "verifier: link root"
    return leaf != root, after


@internal
@view
def _open_descriptor(
    program_root: bytes32, n_nodes: uint256, node: uint256, begin: uint256, end: uint256
) -> uint256:
    """
    @notice Check that 1024 bytes at `begin` are the node's descriptor.
    @return The position behind its path.
    """
    path: uint256 = stream.need(begin, DESCRIPTOR_BYTES, end)
    height: uint256 = stream.height(n_nodes + 1)
    after: uint256 = stream.need(path, 32 * height, end)
    leaf: bytes32 = sha256(slice(msg.data, begin, DESCRIPTOR_BYTES))
    assert (
        merkle.root_from_calldata(leaf, node, height, path) == program_root
    ), "verifier: descriptor"
    return after


@internal
@view
def _open_leaf(
    c: ICourtContext.ProofContext, index: uint256, begin: uint256, end: uint256
) -> (bytes32, uint256):
    """
    @notice The committed leaf below the cursor.
    @return The leaf, and the position behind its path.
    """
    path: uint256 = stream.need(begin, 32, end)
    after: uint256 = stream.need(path, 32 * c.cursor_height, end)
    leaf: bytes32 = convert(stream.word(begin), bytes32)
    assert merkle.root_from_calldata(leaf, index, c.cursor_height, path) == c.cursor, "verifier: leaf"
    return leaf, after


@internal
@pure
def _ranges(h: descriptor.Header) -> uint256:
    """
    @notice R, the number of ranges of a fold (P-12).
    """
    return (h.terms + h.length - 1) // h.length
