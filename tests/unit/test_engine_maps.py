"""Map kernels against the reference, word for word: every primitive, every way that operands can stand."""

from __future__ import annotations

import gmpy2
import numpy as np
import pytest

from protocol.numerics.opcodes import ARITY, Op
from protocol.numerics.primitives import apply
from protocol.program.descriptor import Node
from prover.engine import steps
from prover.engine.executor import Executor
from prover.engine.steps import REFERENCE
from tests.support import mpfr
from tests.support.engine import KINDS, SPECIAL, check, executor_of, operand, words

PRIMITIVES = [op for op in Op if op > Op.LEAF3]

# The inputs at which the certificates of the kernels themselves are open, from a scan of all words.
HARD_EXP = [
    0x33800000, 0x36FDFFC1, 0x377EFF81, 0x383A3EF1, 0x38E69CC1, 0x39C6BE5B, 0x39E5BB1D, 0x3D1A274E,
    0x3FE67199, 0x4001B249, 0x40315B33, 0x41CBF87B, 0x4288942B, 0xB3000000, 0xBAE0E25C, 0xBBB70EE8,
    0xBBF0EDF1, 0xBC2A461A, 0xC13D6631, 0xC16912CD,
]  # fmt: skip
HARD_LOG = [
    0x022AE487, 0x03D2F29F, 0x064CB44B, 0x07C060FA, 0x0B265D7B, 0x0DC8BBA4, 0x0F61FF63, 0x111C87F8,
    0x11B257E3, 0x13FCD84A, 0x145CB6D4, 0x14907055, 0x155D60FC, 0x158772EB, 0x16C5EE7A, 0x18B06F2A,
    0x1A21DB87, 0x1A3DE5E8,
]  # fmt: skip


def _map(
    op: int, sizes: tuple[int, ...], strides: list[tuple[int, ...]], offsets: list[int], extent: int
) -> Node:
    leaves = tuple(
        operand((extent,), s, input_id=1 + q, offsets=(o,))
        for q, (s, o) in enumerate(zip(strides, offsets, strict=True))
    )
    return Node(fold=0, out=sizes, reduce=(), code=bytes([*range(len(leaves)), op]), leaves=leaves)


@pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
def test_special_words_in_all_combinations(op: Op) -> None:
    arity = ARITY[op]
    pool = SPECIAL[:12] if arity == 3 else SPECIAL
    grid = np.meshgrid(*[pool] * arity, indexing="ij")
    inputs = [axis.ravel().astype(np.uint32) for axis in grid]
    size = inputs[0].size
    check([_map(op, (size,), [(1,)] * arity, [0] * arity, size)], inputs)


@pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
@pytest.mark.parametrize("kind", KINDS)
def test_random_words(op: Op, kind: str) -> None:
    rng = np.random.default_rng([op, len(kind)])
    inputs = [words(rng, 97, kind) for _ in range(ARITY[op])]
    check([_map(op, (97,), [(1,)] * ARITY[op], [0] * ARITY[op], 97)], inputs)


@pytest.mark.parametrize("op", [Op.SUB, Op.DIV, Op.EXP, Op.SELECT], ids=lambda op: op.name)
def test_broadcast_transposed_reversed_and_overlapping_operands(op: Op) -> None:
    rng = np.random.default_rng(op)
    forms = [
        ((12, 1), 0),
        ((0, 1), 3),
        ((1, 12), 0),
        ((1, 0), 5),
        ((-12, -1), 200),
        ((1, 1), 7),
        ((0, 0), 9),
        ((24, 2), 0),
    ]
    nodes = []
    for i in range(len(forms)):
        chosen = [forms[(i + 3 * q) % len(forms)] for q in range(ARITY[op])]
        nodes.append(_map(op, (5, 11), [s for s, _ in chosen], [o for _, o in chosen], 256))
        nodes.append(_map(op, (5, 1, 11), [(s[0], 7, s[1]) for s, _ in chosen], [o for _, o in chosen], 256))
    check(nodes, [words(rng, 256, "mixed") for _ in range(3)])


def test_a_map_without_loops_and_one_operand_twice() -> None:
    inputs = [np.array([0x40400000], np.uint32)]
    leaf = operand((), input_id=1)
    check([Node(fold=0, out=(), reduce=(), code=bytes([0, 0, Op.MUL]), leaves=(leaf,))], inputs)


@pytest.mark.parametrize(
    ("op", "hard", "oracle"),
    [(Op.EXP, HARD_EXP, gmpy2.exp), (Op.LOG, HARD_LOG, gmpy2.log)],
    ids=["exp", "log"],
)
def test_exp_and_log_agree_with_mpfr(op: Op, hard: list[int], oracle: object) -> None:
    rng = np.random.default_rng(7)
    near = (
        np.float32(rng.uniform(-104, 89, 20000)) if op == Op.EXP else np.float32(rng.lognormal(0, 2, 20000))
    )
    values = np.concatenate(
        [
            np.array(hard, np.uint32),
            near.view(np.uint32),
            rng.integers(0, 0x7F800000, 20000).astype(np.uint32)
            & (0xBFFFFFFF if op == Op.EXP else 0xFFFFFFFF),
            (1 + rng.normal(0, 1e-4, 5000)).astype(np.float32).view(np.uint32),
        ]
    ).astype(np.uint32)
    executor = executor_of([_map(op, (values.size,), [(1,)], [0], values.size)], [values])
    got = executor.run([np.zeros(1, np.uint32)], 0).outputs[0]
    with mpfr.BINARY32:
        for word, result in zip(values.tolist(), got.tolist(), strict=True):
            assert result == mpfr.to_word(oracle(gmpy2.mpfr(mpfr.to_float(word)))), hex(word)  # type: ignore[operator]
    # The hard words, and no great number of others, were left to the reference.
    assert len(hard) <= executor.flags[0, REFERENCE] <= len(hard) + 10


def test_large_maps_on_two_threads() -> None:
    rng = np.random.default_rng(3)
    size = 1 << 17
    inputs = [words(rng, size, "mixed") for _ in range(2)]
    nodes = [
        _map(op, (256, size // 256), [(size // 256, 1)] * ARITY[op], [0] * ARITY[op], size)
        for op in (Op.MUL, Op.LOG)
    ]
    results = []
    for threads in (1, 2):
        executor: Executor = executor_of(nodes, inputs, threads)
        results.append(executor.run([np.zeros(1, np.uint32)], 0).outputs)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


def test_words_that_the_kernel_leaves_open_are_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor full of them, read backwards and transposed: what an adversary would build a job of."""
    hard = np.array([0xB3800000, 0x34000000, 0x3F000000], np.uint32)  # the last one is certified
    tensor = hard[np.random.default_rng(1).integers(0, 3, 40 * 50)]
    nodes = [_map(Op.SIGMOID, (40, 50), [(-1, -40)], [40 * 50 - 1], 40 * 50)]
    asked: list[int] = []

    def counted(op: int, *words: int) -> int:
        asked.extend(words)
        return apply(op, *words)

    monkeypatch.setattr(steps, "apply", counted)
    executor = check(nodes, [tensor])
    assert sorted(asked) == [0x34000000, 0xB3800000]
    assert executor.flags[0, REFERENCE] == (tensor != 0x3F000000).sum()
