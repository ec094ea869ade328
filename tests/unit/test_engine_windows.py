"""Folds over short windows, gradients of gathers, reads of boxes: against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.numerics.opcodes import Op
from protocol.program.descriptor import Leaf, LeafKind, Node
from prover.engine.reads import BoxReadStep
from prover.engine.steps import ReadStep
from tests.support.engine import KINDS, check, operand, words


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fold", [1, 2, 3])
@pytest.mark.parametrize(("count", "side", "window", "stride"), [(70, 5, 2, 2), (9, 14, 2, 2), (3, 13, 3, 1)])
def test_windows_in_lanes(kind: str, fold: int, count: int, side: int, window: int, stride: int) -> None:
    """More outputs than lanes, rows that end within a block of lanes."""
    rng = np.random.default_rng([len(kind), fold, count])
    long = (side - 1) * stride + window
    image = operand(
        (count, long, long), (1, 0, 0, 0, 0), (0, stride, 0, 1, 0), (0, 0, stride, 0, 1)
    )  # fmt: skip
    node = Node(fold=fold, out=(count, side, side), reduce=(window, window), code=b"\0", leaves=(image,))
    check([node], [words(rng, count * long * long, kind)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [0, 0x80000000, 0x3F800000, 0x7FC00000])
def test_terms_that_belong_elsewhere(kind: str, other: int) -> None:
    """The gradient of a gather: whatever stands for the other rows' terms, and whatever the gradient is."""
    rng = np.random.default_rng([len(kind), other])
    rows, width, tokens = 6, 40, 21
    node = Node(
        fold=1,
        out=(rows, width),
        reduce=(tokens,),
        code=bytes([0, 1, Op.IEQ, 2, 3, Op.SELECT]),
        leaves=(
            operand((tokens,), (0, 0, 1)),
            Leaf(kind=LeafKind.INDEX, offsets=(0,), sizes=(0,), divisors=(0,), strides=((1, 0, 0),)),
            operand((tokens, width), (0, 0, 1), (0, 1, 0), input_id=2),
            operand((1,), (0, 0, 0), input_id=3),
        ),
    )
    index = rng.integers(0, rows - 1, tokens).astype(np.uint32)  # the last row gets nothing
    check([node], [index, words(rng, tokens * width, kind), np.full(1, other, np.uint32)])


_Numbers = tuple[int, ...]

_BOXES: dict[str, tuple[_Numbers, _Numbers, list[_Numbers], _Numbers, _Numbers]] = {
    "padding": ((4, 9, 9), (6, 7), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], (0, -1, -2), (1, 1)),
    "cropping": ((4, 4, 6), (6, 7), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], (0, 1, 2), (1, 1)),
    "outside": ((4, 4, 3), (6, 7), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], (0, 1, 7), (1, 1)),
    "dilation": ((4, 13, 15), (6, 7), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], (0, -1, -2), (2, 2)),
    "thirds": ((4, 13, 11), (6, 7), [(1, 0, 0), (0, 2, 0), (0, 0, 2)], (0, 1, -1), (3, 3)),
    "backwards": ((4, 8, 9), (6, 7), [(1, 0, 0), (0, -1, 0), (0, 0, -1)], (0, 6, 7), (1, 1)),
    "turned": ((4, 9, 8), (6, 7), [(1, 0, 0), (0, 0, 1), (0, 1, 0)], (0, -1, -1), (1, 1)),
    "apart": ((4, 5, 9), (6, 7), [(1, 0, 0), (0, 0, 2), (0, 3, 0)], (0, -1, -1), (1, 1)),
    "diagonal": ((4, 7), (6, 7), [(1, 0), (0, 1), (0, 1)], (0, -1, 1), (1, 1)),
}


@pytest.mark.parametrize("name", _BOXES)
def test_boxes(name: str) -> None:
    out, sizes, strides, offsets, divisors = _BOXES[name]
    rng = np.random.default_rng(5)
    leaf = operand((4, *sizes), *strides, offsets=offsets, divisors=(1, *divisors), fill=0x40490FDB)
    node = Node(fold=0, out=out, reduce=(), code=bytes([0, Op.COPY]), leaves=(leaf,))
    executor = check([node], [words(rng, 4 * sizes[0] * sizes[1], "mixed")])
    assert BoxReadStep in {type(step) for step in executor._steps}


def test_a_coordinate_of_two_loops_is_read_point_by_point() -> None:
    leaf = operand((9,), (1, 2), offsets=(-1,), fill=7)
    node = Node(fold=0, out=(5, 6), reduce=(), code=bytes([0, Op.COPY]), leaves=(leaf,))
    executor = check([node], [words(np.random.default_rng(6), 9, "mixed")])
    assert ReadStep in {type(step) for step in executor._steps}


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_share_the_rows_of_a_box(threads: int) -> None:
    leaf = operand((40, 40, 40), (1, 0, 0), (0, 1, 0), (0, 0, 1), offsets=(0, -1, -1))
    node = Node(fold=0, out=(40, 42, 42), reduce=(), code=bytes([0, Op.COPY]), leaves=(leaf,))
    inputs = [words(np.random.default_rng(7), 64000, "bits")]
    check([node], inputs, threads=threads)
