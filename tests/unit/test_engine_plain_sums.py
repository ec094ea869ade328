"""Sums in plain binary64 against the reference: along the terms, by columns, what they leave open."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.numerics.opcodes import Op
from protocol.program.descriptor import Leaf, Node
from prover.engine import plain_sums
from prover.engine.executor import Executor
from prover.engine.folds import SumStep
from prover.engine.plain_sums import WIDTH, sum_along, sum_columns
from prover.engine.steps import TIER2, TIER3
from tests.support.engine import KINDS, check, operand, words

CODES = {"numbers": (0,), "squares": (0, 0, Op.MUL), "products": (0, 1, Op.MUL)}


def channels(images: int, channels: int, pixels: int, code: str) -> Node:
    """Per channel the sum over images and pixels."""
    leaves = tuple(
        operand((images, channels, pixels), (0, 1, 0), (1, 0, 0), (0, 0, 1), input_id=1 + q) for q in range(2)
    )
    return _sum((channels,), (images, pixels), leaves, code)


def columns(rows: int, terms: int, width: int, code: str) -> Node:
    """Per row and column the sum over what lies between them."""
    leaves = tuple(
        operand((rows, terms, width), (1, 0, 0), (0, 0, 1), (0, 1, 0), input_id=1 + q) for q in range(2)
    )
    return _sum((rows, width), (terms,), leaves, code)


def _sum(out: tuple[int, ...], reduce: tuple[int, ...], leaves: tuple[Leaf, ...], code: str) -> Node:
    used = leaves[: 2 if code == "products" else 1]
    return Node(fold=1, out=out, reduce=reduce, code=bytes(CODES[code]), leaves=used)


def kernel_of(executor: Executor) -> object:
    (step,) = executor._steps
    assert isinstance(step, SumStep)
    return step._plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES)
def test_sums_along_their_terms(kind: str, code: str) -> None:
    rng = np.random.default_rng([len(kind), len(code)])
    for images, count, pixels in ((1, 3, WIDTH), (3, 2, WIDTH + 1), (2, 3, 3 * WIDTH - 1), (1, 1, 5 * WIDTH)):
        numbers = [words(rng, images * count * pixels, kind) for _ in range(2)]
        assert kernel_of(check([channels(images, count, pixels, code)], numbers)) is sum_along


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES)
def test_sums_by_columns(kind: str, code: str) -> None:
    rng = np.random.default_rng([len(kind), len(code)])
    for rows, terms, width in ((1, 16, WIDTH), (2, 17, WIDTH + 3), (1, 21, 3 * WIDTH - 1)):
        numbers = [words(rng, rows * terms * width, kind) for _ in range(2)]
        assert kernel_of(check([columns(rows, terms, width, code)], numbers)) is sum_columns


def test_most_sums_of_ordinary_numbers_are_certified() -> None:
    rng = np.random.default_rng(3)
    executor = check([channels(2, 200, 4 * WIDTH, "squares")], [words(rng, 1600 * WIDTH, "normal")])
    assert executor.flags[0, TIER2] <= 2
    executor = check([columns(1, 64, 5 * WIDTH, "numbers")], [words(rng, 320 * WIDTH, "normal")])
    assert executor.flags[0, TIER2] <= 2


@pytest.mark.parametrize(
    "node", [channels(1, 2 * WIDTH, 2 * WIDTH, "numbers"), columns(1, 32, 70, "numbers")]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_sums_near_ties_go_on_to_exact_tiers_once_each(
    node: Node, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 + 2^-24 is a tie, a word of 2^-149 more is above it: only the integer accumulator sees it."""
    monkeypatch.setattr("prover.engine.steps.PARALLEL_POINTS", 1)
    rows, terms = node.out[0] * (1 if len(node.out) == 1 else node.out[1]), node.reduce[-1]
    numbers = np.zeros((rows, terms), np.float32)
    numbers[:, 0], numbers[:, 7] = 1.0, 2.0**-24
    numbers[::2, 9] = 2.0**-149
    laid = numbers if len(node.out) == 1 else numbers.T
    executor = check([node], [laid.ravel().view(np.uint32).copy()], threads=threads)
    assert executor.flags[0].tolist()[: TIER3 + 1] == [rows, rows // 2]


def test_sums_that_cancel_to_nothing_are_zero() -> None:
    numbers = np.tile(np.array([1.5, -1.5], np.float32), 2 * WIDTH)
    node = channels(1, 2, 2 * WIDTH, "numbers")
    check([node], [numbers.view(np.uint32).copy()])
    check([node], [np.full(4 * WIDTH, 0x80000000, np.uint32)])


def test_short_or_scattered_sums_have_no_plain_kernel() -> None:
    rng = np.random.default_rng(4)
    apart = operand((2 * WIDTH, WIDTH, 2), (1, 0), (0, 1), (0, 0))
    node = Node(fold=1, out=(2 * WIDTH,), reduce=(WIDTH,), code=b"\0", leaves=(apart,))
    assert kernel_of(check([node], [words(rng, 4 * WIDTH * WIDTH, "normal")])) is None
    few = columns(1, plain_sums.TERMS_LEAST - 1, WIDTH, "numbers")
    assert kernel_of(check([few], [words(rng, 16 * WIDTH, "normal")])) is None
