"""Folds against the reference: every tier of a sum, products, max and argmax, threads."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.commitments.canonical import Words
from protocol.numerics.opcodes import Op
from protocol.program.descriptor import Leaf, LeafKind, Node
from prover.engine import folds, products, tile_code, tiles
from prover.engine.executor import Executor
from prover.engine.folds import SumStep
from prover.engine.products import ProductStep
from prover.engine.steps import TIER2, TIER3
from tests.support.engine import KINDS, check, executor_of, operand, words

NO_STATE = [np.zeros(1, np.uint32)]


def floats(values: object) -> Words:
    return np.asarray(values, np.float32).ravel().view(np.uint32).copy()


def row_sums(rows: int, terms: int, code: tuple[int, ...] = (0,), leaves: int = 1) -> Node:
    """Sums along the inner dimension."""
    made = tuple(operand((rows, terms), (1, 0), (0, 1), input_id=1 + q) for q in range(leaves))
    return Node(fold=1, out=(rows,), reduce=(terms,), code=bytes(code), leaves=made)


def column_sums(rows: int, terms: int) -> Node:
    """Sums along the outer dimension, the form that runs in vector lanes."""
    leaf = operand((terms, rows), (0, 1), (1, 0))
    return Node(fold=1, out=(rows,), reduce=(terms,), code=b"\0", leaves=(leaf,))


def product(m: int, n: int, k: int, *, left_transposed: bool = False, right_transposed: bool = False) -> Node:
    left = operand((k, m), (0, 0, 1), (1, 0, 0)) if left_transposed else operand((m, k), (1, 0, 0), (0, 0, 1))
    right = (
        operand((k, n), (0, 0, 1), (0, 1, 0), input_id=2)
        if right_transposed
        else operand((n, k), (0, 1, 0), (0, 0, 1), input_id=2)
    )
    return Node(fold=1, out=(m, n), reduce=(k,), code=bytes([0, 1, Op.MUL]), leaves=(left, right))


def step_types(executor: Executor) -> list[type]:
    return [type(step) for step in executor._steps]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("terms", [1, 3, 4, 37])
def test_sums_of_words(kind: str, terms: int) -> None:
    rng = np.random.default_rng([terms, len(kind)])
    check([row_sums(19, terms)], [words(rng, 19 * terms, kind)])
    check([column_sums(19, terms)], [words(rng, 19 * terms, kind)])


@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_products_that_are_no_matrix_product(kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    executor = check(
        [row_sums(9, 21, (0, 1, Op.MUL), 2), row_sums(9, 21, (0, 0, Op.MUL), 1)],
        [words(rng, 189, kind) for _ in range(2)],
    )
    assert step_types(executor) == [SumStep, SumStep]


@pytest.mark.parametrize(
    ("code", "leaves"),
    [
        ((0, 1), 2),
        ((0, 0, Op.MUL, Op.NEG, 1, 2, Op.MUL), 3),
        ((0, Op.I2F), 1),
        ((0, Op.I2F, Op.NEG, 1), 2),
        ((0, 1, Op.IEQ, 2, 3, Op.SELECT), 4),
        ((0, 1, Op.ILT, 2, 3, 3, Op.MUL, Op.SELECT), 4),
        ((0, 1, 2, Op.SELECT, 3, Op.MUL), 4),
        ((0, 1, Op.ILT), 2),
        ((0, 1, Op.IEQ, 2, Op.MUL), 3),
        ((3, 1, 2, Op.SELECT, Op.NEG, Op.NEG), 4),
        ((0, 1, 2, 3, 0, 1, 2, 3), 4),
    ],
)
@pytest.mark.parametrize("kind", ["mixed", "small", "cancel"])
def test_codes_under_a_sum(code: tuple[int, ...], leaves: int, kind: str) -> None:
    rng = np.random.default_rng(len(code))
    inputs = [words(rng, 60, kind) for _ in range(leaves)]
    # Conditions and compared words that are often equal or zero.
    inputs[0] = np.where(rng.random(60) < 0.5, inputs[-1] if leaves > 1 else 0, inputs[0]).astype(np.uint32)
    check([row_sums(6, 10, code, leaves)], inputs)
    lanes = tuple(operand((6, 10), (0, 1), (1, 0), input_id=1 + q) for q in range(leaves))
    check([Node(fold=1, out=(10,), reduce=(6,), code=bytes(code), leaves=lanes)], inputs)


def test_scatter_add_by_compared_indices() -> None:
    rng = np.random.default_rng(1)
    vocabulary, width, tokens = 7, 9, 12
    index = operand((tokens,), (0, 0, 1))
    row = Leaf(kind=LeafKind.INDEX, offsets=(0,), sizes=(0,), divisors=(0,), strides=((1, 0, 0),))
    gradient = operand((tokens, width), (0, 0, 1), (0, 1, 0), input_id=2)
    zero = Leaf(kind=LeafKind.INDEX)
    node = Node(
        fold=1,
        out=(vocabulary, width),
        reduce=(tokens,),
        code=bytes([0, 1, Op.IEQ, 2, 3, Op.SELECT]),
        leaves=(index, row, gradient, zero),
    )
    check([node], [rng.integers(0, 7, tokens).astype(np.uint32), words(rng, tokens * width, "normal")])


@pytest.mark.parametrize("make", [row_sums, column_sums])
def test_ties_reach_the_superaccumulator(make: object) -> None:
    """1 + 2^-24 is a tie; 2^-80 above or below it is beyond what one binary64 and its bound can tell."""
    tie = [1.0, 2.0**-24, 0.0, 0.0]
    rows = [
        tie,
        [1.0, 2.0**-24, 2.0**-80, 0.0],
        [1.0, 2.0**-24, -(2.0**-80), 0.0],
        [2.0**60, 1.0, -(2.0**60), 2.0**-24],
    ]
    rows += [[2.0**100, 1.0, 2.0**-24, -(2.0**100)], [3.0, 2.0**-23 * 1.5, 2.0**-100, 0.0]] * 2
    table = np.array(rows)
    executor = check([make(8, 4)], [floats(table if make is row_sums else table.T)])  # type: ignore[operator]
    assert executor.flags[0, TIER3] >= 4
    assert executor.flags[0, TIER2] == 0


def test_the_superaccumulator_on_wild_sums() -> None:
    """Every output is pushed through tier 3 and has to agree with the reference there too."""
    rng = np.random.default_rng(11)
    for kind in ("bits", "cancel", "mixed", "small", "special"):
        inputs = [words(rng, 40 * 12, kind), words(rng, 40 * 12, kind)]
        node = row_sums(40, 12, (0, 1, Op.MUL, 0), 2)
        executor = check([node], inputs)
        (step,) = executor._steps
        assert isinstance(step, SumStep)
        (_, _, two_sum) = step._parts[0]
        wanted = executor.run(NO_STATE, 0).outputs[0]
        got = np.zeros_like(wanted)
        two_sum.settle(got, inputs, np.arange(40))
        assert np.array_equal(got, wanted)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_matrix_products(left: bool, right: bool, kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    m, n, k = 24, 20, 18
    node = product(m, n, k, left_transposed=left, right_transposed=right)
    executor = check([node], [words(rng, m * k, kind), words(rng, n * k, kind)])
    assert step_types(executor) == [ProductStep]


def test_products_that_tie_pass_through_all_tiers() -> None:
    rng = np.random.default_rng(5)
    m, n, k = 20, 20, 24
    left = np.zeros((m, k), np.float32)
    right = np.zeros((n, k), np.float32)
    left[:, :4] = [1.0, 2.0**-12, 2.0**-60, 2.0**-60]
    right[:, :2] = [1.0, 2.0**-12]
    right[:, 2] = rng.choice([0.0, 1.0, -1.0], n)  # on the tie, above it, below it
    right[:, 3] = 2.0**-30 * rng.choice([0.0, 1.0], n)
    executor = check([product(m, n, k)], [floats(left), floats(right)])
    assert executor.flags[0, TIER2] == m * n
    assert executor.flags[0, TIER3] > 0


def test_infinities_and_nan_in_products() -> None:
    rng = np.random.default_rng(6)
    m, n, k = 16, 16, 36
    left, right = (rng.standard_normal((size, k)).astype(np.float32) for size in (m, n))
    left[1, 3], left[2, 5], left[3, 0], left[4, 7] = np.inf, -np.inf, np.nan, np.inf
    right[2, 3], right[5, 5], right[6, 1] = 0.0, np.inf, np.nan  # inf * 0, inf - inf
    left[7, :], right[7, :] = 3e38, 3e38  # overflows when rounded, not before
    left[8, :] = 0.0
    executor = check([product(m, n, k)], [floats(left), floats(right)])
    got = executor.run(NO_STATE, 0).outputs[0].reshape(m, n)
    assert got[1, 2] == 0x7FC00000
    assert got[7, 7] == 0x7F800000
    assert got[8, 5] == 0x7FC00000


def test_batched_products_and_swapped_operands() -> None:
    rng = np.random.default_rng(8)
    batch, m, n, k = 3, 8, 10, 36
    left = operand((batch, m, k), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1))
    right = operand((batch, n, k), (1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), input_id=2)
    sizes = {"out": (batch, m, n), "reduce": (k,), "code": bytes([0, 1, Op.MUL])}
    inputs = [words(rng, batch * m * k, "normal"), words(rng, batch * n * k, "normal")]
    nodes = [
        Node(fold=1, leaves=(left, right), **sizes),  # type: ignore[arg-type]
        Node(fold=1, leaves=(right, left), **sizes),  # type: ignore[arg-type]
    ]
    # The same product with the batch between rows and columns.
    left = operand((batch, m, k), (0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1))
    right = operand((batch, n, k), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), input_id=2)
    nodes.append(
        Node(fold=1, out=(m, batch, n), reduce=(k,), code=bytes([0, 1, Op.MUL]), leaves=(left, right))
    )
    executor = check(nodes, inputs)
    assert step_types(executor) == [ProductStep] * 3


def test_a_padded_convolution_and_its_input_gradient() -> None:
    rng = np.random.default_rng(9)
    b, ci, co, h = 3, 3, 4, 6
    # out[b, co, y, x] = sum over ci, ky, kx of in[b, ci, y + ky - 1, x + kx - 1] * w[co, ci, ky, kx]
    image = operand(
        (b, ci, h, h),
        (1, 0, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 1, 0, 0),
        (0, 0, 1, 0, 0, 1, 0),
        (0, 0, 0, 1, 0, 0, 1),
        offsets=(0, 0, -1, -1),
    )
    weight = operand(
        (co, ci, 3, 3),
        (0, 1, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 1, 0, 0),
        (0, 0, 0, 0, 0, 1, 0),
        (0, 0, 0, 0, 0, 0, 1),
        input_id=2,
    )
    forward = Node(
        fold=1, out=(b, co, h, h), reduce=(ci, 3, 3), code=bytes([0, 1, Op.MUL]), leaves=(image, weight)
    )
    # Stride 2: in[b, ci, y, x] gets out[b, co, (y + 1 - ky) / 2, ...] where that divides.
    gradient = operand(
        (b, co, 3, 3),
        (1, 0, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 1, 0, 0),
        (0, 0, 1, 0, 0, -1, 0),
        (0, 0, 0, 1, 0, 0, -1),
        offsets=(0, 0, 1, 1),
        divisors=(1, 1, 2, 2),
        input_id=3,
    )
    turned = operand(
        (co, ci, 3, 3),
        (0, 0, 0, 0, 1, 0, 0),
        (0, 1, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 1, 0),
        (0, 0, 0, 0, 0, 0, 1),
        input_id=2,
    )
    backward = Node(
        fold=1, out=(b, ci, h, h), reduce=(co, 3, 3), code=bytes([0, 1, Op.MUL]), leaves=(gradient, turned)
    )
    inputs = [
        words(rng, b * ci * h * h, "normal"),
        words(rng, co * ci * 9, "normal"),
        words(rng, b * co * 9, "normal"),
    ]
    executor = check([forward, backward], inputs)
    assert step_types(executor).count(ProductStep) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fold", [2, 3])
def test_max_and_argmax(kind: str, fold: int) -> None:
    rng = np.random.default_rng(len(kind))
    inputs = [words(rng, 420, kind)]
    rows = operand((20, 21), (1, 0), (0, 1))
    columns = operand((21, 20), (0, 1), (1, 0))
    windows = operand((420,), (20, 2, 10, 1), offsets=(0,))
    check(
        [
            Node(fold=fold, out=(20,), reduce=(21,), code=b"\0", leaves=(rows,)),
            Node(fold=fold, out=(20,), reduce=(21,), code=bytes([0, Op.COPY]), leaves=(columns,)),
            Node(fold=fold, out=(19, 4), reduce=(2, 3), code=b"\0", leaves=(windows,)),
            Node(fold=fold, out=(), reduce=(420,), code=b"\0", leaves=(operand((420,), (1,)),)),
        ],
        inputs,
    )


def test_folds_over_nothing_and_nodes_without_words() -> None:
    nodes = [
        Node(fold=1, out=(3,), reduce=(0,), code=b"\0", leaves=(operand((5,), (1, 0)),)),
        Node(fold=2, out=(3,), reduce=(0, 2), code=b"\0", leaves=(operand((5,), (1, 0, 0)),)),
        Node(fold=0, out=(0, 4), reduce=(), code=bytes([0, Op.NEG]), leaves=(operand((5,), (0, 1)),)),
        Node(fold=1, out=(2,), reduce=(), code=b"\0", leaves=(operand((5,), (1,)),)),
        Node(fold=1, out=(2,), reduce=(3,), code=b"", leaves=()),
    ]
    check(nodes, [floats([1, 2, 3, 4, 5])])


def test_threads_and_pieces_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(10)
    m, n, k = 96, 64, 48
    inputs = [words(rng, m * k, "normal"), words(rng, n * k, "normal")]
    nodes = [product(m, n, k), row_sums(m, k), column_sums(k, m)]
    nodes.append(
        Node(fold=1, out=(m, 4096), reduce=(k,), code=b"\0", leaves=(operand((m, k), (1, 0, 0), (0, 0, 1)),))
    )
    nodes.append(
        Node(fold=3, out=(m, 4096), reduce=(k,), code=b"\0", leaves=(operand((m, k), (1, 0, 0), (0, 0, 1)),))
    )
    one = executor_of(nodes, inputs, 1).run(NO_STATE, 0).outputs
    two = executor_of(nodes, inputs, 2).run(NO_STATE, 0).outputs
    monkeypatch.setattr(products, "LEFT_MOST", 1000)
    pieces = executor_of(nodes, inputs, 2)
    assert len(pieces._steps[0]._parts) > 3  # type: ignore[attr-defined]
    for a, b, c in zip(one, two, pieces.run(NO_STATE, 0).outputs, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)
    executor_of(nodes[:1], inputs, 1)  # leaves torch with one thread for the tests that follow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("square", [False, True])
def test_long_sums_in_lanes(kind: str, square: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "_LANES_FROM", 1)
    monkeypatch.setattr(folds, "_PLAIN", {})  # else only what is left open comes here
    rng = np.random.default_rng([7, square, len(kind)])
    code = (0, 0, Op.MUL) if square else (0,)
    for channels, images, pixels in ((3, 1, 600), (2, 5, 65), (3, 4, 9)):
        shape = (images, channels, pixels)
        leaf = operand(shape, (0, 1, 0), (1, 0, 0), (0, 0, 1))  # loops: channel | image, pixel
        node = Node(fold=1, out=(channels,), reduce=(images, pixels), code=bytes(code), leaves=(leaf,))
        check([node], [words(rng, images * channels * pixels, kind)])
    scaled = Node(
        fold=1,
        out=(4,),
        reduce=(90,),
        code=bytes((0, 1, Op.MUL)),
        leaves=(operand((4, 90), (1, 0), (0, 1)), operand((4,), (1, 0), input_id=2)),
    )
    check([scaled], [words(rng, 360, kind), words(rng, 4, kind)])


def _convolution(images: int, inside: int, outside: int, side: int, window: int) -> tuple[Node, Node]:
    """A convolution of an input that is padded already, and the gradient of its weights."""
    padded = side + window - 1
    image = (images, inside, padded, padded)
    # Loops of the first: image, output channel, y, x | input channel, dy, dx.
    left = operand(
        image, (1, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 1, 0, 0), (0, 0, 1, 0, 0, 1, 0), (0, 0, 0, 1, 0, 0, 1)
    )
    weights = (outside, inside, window, window)
    right = operand(
        weights,
        (0, 1, 0, 0, 0, 0, 0),
        (0, 0, 0, 0, 1, 0, 0),
        (0, 0, 0, 0, 0, 1, 0),
        (0, 0, 0, 0, 0, 0, 1),
        input_id=2,
    )
    forward = Node(
        fold=1,
        out=(images, outside, side, side),
        reduce=(inside, window, window),
        code=bytes((0, 1, Op.MUL)),
        leaves=(left, right),
    )
    # Loops of the second: output channel, input channel, dy, dx | image, y, x.
    read = operand(
        image, (0, 0, 0, 0, 1, 0, 0), (0, 1, 0, 0, 0, 0, 0), (0, 0, 1, 0, 0, 1, 0), (0, 0, 0, 1, 0, 0, 1)
    )
    grown = operand(
        (images, outside, side, side),
        (0, 0, 0, 0, 1, 0, 0), (1, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0, 1),
        input_id=3,
    )  # fmt: skip
    backward = Node(
        fold=1, out=weights, reduce=(images, side, side), code=bytes((0, 1, Op.MUL)), leaves=(grown, read)
    )
    return forward, backward


@pytest.mark.parametrize(
    ("images", "inside", "outside", "side", "window"),
    [(1, 3, 2, 8, 3), (2, 2, 9, 8, 3), (5, 1, 3, 8, 2), (3, 4, 17, 2, 3), (2, 3, 8, 7, 1), (1, 2, 3, 16, 5)],
)
@pytest.mark.parametrize("kind", ["normal", "small", "mixed"])
def test_convolutions_multiplied_where_they_lie(
    images: int, inside: int, outside: int, side: int, window: int, kind: str
) -> None:
    rng = np.random.default_rng([images, inside, outside, side, window, len(kind)])
    nodes = _convolution(images, inside, outside, side, window)
    inputs = [words(rng, leaf.sizes[0] * leaf.sizes[1] * leaf.sizes[2] * leaf.sizes[3], kind)
              for leaf in (*nodes[0].leaves, nodes[1].leaves[0])]  # fmt: skip
    executor = check(list(nodes), inputs)
    assert ProductStep in step_types(executor)


@pytest.mark.parametrize("kind", KINDS)
def test_products_of_more_terms_than_are_summed_at_once(kind: str) -> None:
    rng = np.random.default_rng([11, len(kind)])
    terms = 2 * tiles.TERMS + 3
    inputs = [words(rng, 9 * terms, kind), words(rng, 5 * terms, kind)]
    executor = check([product(9, 5, terms)], inputs)
    assert step_types(executor) == [ProductStep]
    check([product(9, 5, terms, left_transposed=True, right_transposed=True)], inputs)


@pytest.mark.parametrize("rows", [6, 11, 24])
def test_products_of_which_none_is_left_are_zero_without_a_flag(rows: int) -> None:
    rng = np.random.default_rng(12)
    left, right = rng.standard_normal((rows, 40)), rng.standard_normal((24, 40))
    left[:, ::2], right[:, 1::2] = 0.0, 0.0
    left[5], right[7, 3] = np.abs(left[5]), 1.0  # one column with a product of its own
    executor = check([product(rows, 24, 40)], [floats(left), floats(right)])
    assert step_types(executor) == [ProductStep]
    assert executor.flags[0, TIER2] == 0
    left[2, 1], right[3, 2] = np.inf, np.nan
    check([product(rows, 24, 40)], [floats(left), floats(right)])
    check([product(rows, 24, 40, left_transposed=True)], [floats(left), floats(right)])


@pytest.mark.parametrize("columns", [3, 5, 7])
def test_groups_that_fill_a_tile_end_inside_the_operand(columns: int) -> None:
    n, terms = columns * tile_code.LANES, 150
    left = operand((3, terms), (1, 0, 0), (0, 0, 1))
    right = operand((terms, n), (0, 0, 1), (0, 1, 0), input_id=2)
    node = Node(fold=1, out=(3, n), reduce=(terms,), code=bytes([0, 1, Op.MUL]), leaves=(left, right))
    rng = np.random.default_rng(columns)
    executor = check([node], [words(rng, 3 * terms, "normal"), words(rng, n * terms, "normal")])
    [step] = [step for step in executor._steps if isinstance(step, ProductStep)]
    plan = step._parts[0][2]._plan
    assert plan.side
    assert plan.columns.max() + plan.right_terms.max() < n * terms
