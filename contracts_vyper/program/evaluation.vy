# pragma version 0.4.3
# pragma evm-version prague
"""
@title Evaluation of one element of a node
@license Apache-2.0
@notice Terms of a fold, or one mapped word, from operands opened in the calldata (specs/program.md, P-1 to P-7,
        P-13).
@dev Coordinates run like an odometer: moving from one term to the next adds to each coordinate a number that
     depends only on the fold loop that moves. All of it is plain 256-bit arithmetic far from its limits: a
     coordinate is at most 2**63 + 8 * 2**31 * 2**32 + 2**31 in size, a flat address below 2**128. Negative
     numbers are two's complement in a uint256, so one comparison with the size refuses them too. A *plain* leaf,
     which gathers nothing, divides nothing and stays in bounds over the whole fold, has its flat address run
     like an odometer instead; so has an integer leaf its integer.
"""

from contracts_vyper.commitments import merkle
from contracts_vyper.interfaces import ICourtContext
from contracts_vyper.numerics import accumulator
from contracts_vyper.numerics import expression
from contracts_vyper.program import descriptor
from contracts_vyper.program import schedule
from contracts_vyper.program import stream

uses: expression

MAX_LOOPS: constant(uint256) = 8
MAX_LEAVES: constant(uint256) = 4
MAX_RANK: constant(uint256) = 4
MAX_RANGE: constant(uint256) = 64
LEAVES: constant(uint256) = 128
LEAF_BYTES: constant(uint256) = 224
OPERAND: constant(uint256) = 0
ROW: constant(uint256) = 2
STEP: constant(uint256) = 3
WORD_MASK: constant(uint256) = 2**32 - 1

struct Outcome:
    total: accumulator.Accumulator  # of a fold: what it was before, and the terms
    word: uint256  # with fold none: the mapped word
    after: uint256  # position behind the operands


@internal
@view
def run(
    c: ICourtContext.ProofContext,
    h: descriptor.Header,
    node: uint256,
    index: uint256,
    first: uint256,
    count: uint256,
    before: accumulator.Accumulator,
    position: uint256,
    end: uint256,
) -> Outcome:
    """
    @notice Evaluate terms of output word `index`.
    @param c The context: roots, counts and the step.
    @param h Header of the descriptor, which is not malformed.
    @param node Position of the descriptor's 1024 bytes.
    @param index Output word, below the extent.
    @param first First term; with fold none 0.
    @param count Number of terms, at most 64; with fold none 1.
    @param before Accumulator to start from.
    @param position Of the operands in the calldata.
    @param end Of the stream.
    @return The accumulator or the word, and where the operands end.
    """
    code: bytes32 = convert(stream.word(node + 64), bytes32)
    result: Outcome = Outcome(total=before, word=0, after=position)
    if count == 0:
        return result

    # Loop indices of the first term, and the sizes, output loops first.
    sizes: uint256[MAX_LOOPS] = empty(uint256[MAX_LOOPS])
    loops: uint256[MAX_LOOPS] = empty(uint256[MAX_LOOPS])
    packed: uint256 = stream.word(node + 32)
    rest: uint256 = first
    for k: uint256 in range(h.n_loops, bound=MAX_LOOPS):
        j: uint256 = unsafe_sub(unsafe_sub(h.n_loops, 1), k)
        if unsafe_add(j, 1) == h.n_out:
            rest = index
        size: uint256 = (packed >> unsafe_sub(224, unsafe_mul(32, j))) & WORD_MASK
        sizes[j] = size
        # No size is 0: the word lies within the extent and the term within the fold.
        loops[j] = rest % size
        rest = unsafe_div(rest, size)

    # What each leaf is, by leaf, by leaf and dimension (4 * leaf + d), and by fold loop as well (8 * that + j).
    heads: uint256[MAX_LEAVES] = empty(uint256[MAX_LEAVES])
    zero: bool[MAX_LEAVES] = empty(bool[MAX_LEAVES])
    limits: uint256[16] = empty(uint256[16])
    divisors: uint256[16] = empty(uint256[16])
    coordinates: uint256[16] = empty(uint256[16])
    moves: uint256[128] = empty(uint256[128])
    plain: bool[MAX_LEAVES] = empty(bool[MAX_LEAVES])
    flats: uint256[MAX_LEAVES] = empty(uint256[MAX_LEAVES])
    flat_moves: uint256[32] = empty(uint256[32])
    at: uint256 = node + LEAVES
    for i: uint256 in range(h.n_leaves, bound=MAX_LEAVES):
        head: uint256 = stream.word(at)
        heads[i] = head
        offsets: uint256 = stream.word(at + 32)
        shapes: uint256 = stream.word(at + 64)
        is_plain: bool = True
        flat: uint256 = 0
        for d: uint256 in range((head >> 232) & 255, bound=MAX_RANK):
            x: uint256 = unsafe_add(unsafe_mul(4, i), d)
            limit: uint256 = (shapes >> unsafe_sub(224, unsafe_mul(32, d))) & WORD_MASK
            limits[x] = limit
            divisor: uint256 = max((shapes >> unsafe_sub(96, unsafe_mul(32, d))) & WORD_MASK, 1)
            divisors[x] = divisor
            strides: uint256 = stream.word(unsafe_add(at, unsafe_add(96, unsafe_mul(32, d))))
            coordinate: uint256 = self._signed(offsets >> unsafe_sub(192, unsafe_mul(64, d)), 63)
            low: uint256 = coordinate
            high: uint256 = coordinate
            rewind: uint256 = 0
            for k: uint256 in range(h.n_loops, bound=MAX_LOOPS):
                j: uint256 = unsafe_sub(unsafe_sub(h.n_loops, 1), k)
                stride: uint256 = self._signed(strides >> unsafe_sub(224, unsafe_mul(32, j)), 31)
                term: uint256 = 0
                if stride != 0:
                    term = unsafe_mul(stride, loops[j])
                    coordinate = unsafe_add(coordinate, term)
                if j < h.n_out:
                    low = unsafe_add(low, term)
                    high = unsafe_add(high, term)
                else:
                    move: uint256 = unsafe_sub(stride, rewind)
                    moves[unsafe_add(unsafe_mul(8, x), j)] = move
                    y: uint256 = unsafe_add(unsafe_mul(8, i), j)
                    flat_moves[y] = unsafe_add(unsafe_mul(flat_moves[y], limit), move)
                    reach: uint256 = unsafe_mul(stride, unsafe_sub(sizes[j], 1))
                    rewind = unsafe_add(rewind, reach)
                    if stride >> 255 == 0:
                        high = unsafe_add(high, reach)
                    else:
                        low = unsafe_add(low, reach)
            coordinates[x] = coordinate
            flat = unsafe_add(unsafe_mul(flat, limit), coordinate)
            # Negative numbers are above every limit.
            is_plain = is_plain and divisor == 1 and low < limit and high < limit
            if (head >> 248) != OPERAND:
                # P-3: an integer leaf is its first dimension.
                is_plain = True
                break
        flats[i] = flat
        plain[i] = is_plain and (head >> 248 != OPERAND or (head >> 224) & 255 == 255)
        if (head >> 248) == OPERAND:
            # P-6: an operand that does not exist, is not earlier, or gathers with what is not earlier.
            exists: uint256 = c.node
            if ((head >> 240) & 255) == 1:
                exists = c.n_slots
            elif ((head >> 240) & 255) == 2:
                exists = c.n_inputs
            gather: uint256 = (head >> 224) & 255
            zero[i] = ((head >> 160) & WORD_MASK) >= exists or (
                gather != 255 and ((head >> 216) & 255) >= i
            )
        at = unsafe_add(at, LEAF_BYTES)

    words: uint256[MAX_LEAVES] = empty(uint256[MAX_LEAVES])
    roots: bytes32[MAX_LEAVES] = empty(bytes32[MAX_LEAVES])
    # Per leaf the page that it opened last: its number plus 1 (0: none yet), and where it lies (0: absent).
    pages: uint256[MAX_LEAVES] = empty(uint256[MAX_LEAVES])
    contents: uint256[MAX_LEAVES] = empty(uint256[MAX_LEAVES])
    for term: uint256 in range(count, bound=MAX_RANGE):
        if term != 0:
            moved: uint256 = unsafe_sub(h.n_loops, 1)
            for k: uint256 in range(MAX_LOOPS):
                if unsafe_add(loops[moved], 1) < sizes[moved]:
                    break
                loops[moved] = 0
                moved = unsafe_sub(moved, 1)
            loops[moved] = unsafe_add(loops[moved], 1)
            for i: uint256 in range(h.n_leaves, bound=MAX_LEAVES):
                if plain[i]:
                    flats[i] = unsafe_add(flats[i], flat_moves[unsafe_add(unsafe_mul(8, i), moved)])
                    continue
                x: uint256 = unsafe_mul(4, i)
                for d: uint256 in range((heads[i] >> 232) & 255, bound=MAX_RANK):
                    coordinates[x] = unsafe_add(
                        coordinates[x], moves[unsafe_add(unsafe_mul(8, x), moved)]
                    )
                    x = unsafe_add(x, 1)

        for i: uint256 in range(h.n_leaves, bound=MAX_LEAVES):
            head: uint256 = heads[i]
            kind: uint256 = head >> 248
            flat: uint256 = flats[i]
            if kind != OPERAND:
                integer: uint256 = flat & WORD_MASK
                if kind == ROW:
                    integer = schedule.row(c.seed, c.n_rows, c.batch, c.step, integer)
                elif kind == STEP:
                    integer = unsafe_add(integer, c.step) & WORD_MASK
                words[i] = integer
                continue
            if zero[i]:
                continue
            if not plain[i]:
                gather: uint256 = (head >> 224) & 255
                x: uint256 = unsafe_mul(4, i)
                inside: bool = True
                flat = 0
                for d: uint256 in range((head >> 232) & 255, bound=MAX_RANK):
                    place: uint256 = coordinates[x]
                    if d == gather:
                        place = unsafe_add(place, self._signed(words[(head >> 216) & 255], 31))
                    divisor: uint256 = divisors[x]
                    if divisor != 1:
                        if place % divisor != 0:
                            inside = False
                            break
                        place = unsafe_div(place, divisor)
                    limit: uint256 = limits[x]
                    if place >= limit:
                        inside = False
                        break
                    flat = unsafe_add(unsafe_mul(flat, limit), place)
                    x = unsafe_add(x, 1)
                if not inside:
                    words[i] = (head >> 128) & WORD_MASK
                    continue
            source: uint256 = (head >> 240) & 255
            page_height: uint256 = c.tensor_height
            if source == 2:
                page_height = c.input_height
            if flat >> unsafe_add(page_height, 6) != 0:
                words[i] = 0
                continue

            page: uint256 = unsafe_add(flat >> 6, 1)
            if pages[i] != page:
                if pages[i] == 0:
                    # The first word of a leaf: its tensor root, and the path of it (P-13).
                    tree: bytes32 = c.nodes_root
                    height: uint256 = unsafe_add(c.n_nodes, 1)
                    if source == 1:
                        tree = c.pre_state
                        height = c.n_slots
                    elif source == 2:
                        tree = c.inputs_root
                        height = c.n_inputs
                    height = stream.height(height)
                    path: uint256 = stream.need(result.after, 32, end)
                    root: bytes32 = convert(stream.word(result.after), bytes32)
                    result.after = stream.need(path, unsafe_mul(32, height), end)
                    assert (
                        merkle.root_from_calldata(root, (head >> 160) & WORD_MASK, height, path) == tree
                    ), "verifier: operand root"
                    roots[i] = root
                opened: stream.Page = stream.open_page(
                    unsafe_sub(page, 1), page_height, result.after, end
                )
                assert opened.root == roots[i], "verifier: operand page"
                pages[i] = page
                contents[i] = opened.content
                result.after = opened.after
            words[i] = 0
            if contents[i] != 0:
                words[i] = stream.word32(unsafe_add(contents[i], unsafe_mul(4, flat & 63)))

        # Malformed code gives 0 and the empty accumulator (N-11); its operands are opened like any others.
        if h.fold == 0:
            result.word = expression.map_word(code, h.n_code, h.n_leaves, words)
            result.total = empty(accumulator.Accumulator)
        else:
            result.total = expression.fold_term(
                h.fold, code, h.n_code, h.n_leaves, words, result.total, unsafe_add(first, term)
            )
    return result


@internal
@pure
def _signed(field: uint256, sign: uint256) -> uint256:
    """
    @notice The low bits of a word, sign-extended to 256 bits.
    @param field The word.
    @param sign Place of the sign bit.
    @return The two's complement integer.
    """
    bit: uint256 = 1 << sign
    return unsafe_sub((field & unsafe_sub(bit << 1, 1)) ^ bit, bit)
