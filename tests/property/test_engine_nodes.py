"""Random descriptors through the fast engine and the reference: addresses, gathers, divisors, integer
leaves, codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.numerics.opcodes import ARITY, Op
from protocol.program.descriptor import Leaf, LeafKind, Node
from tests.support.engine import check, operand, words

EXTENT = 48
CODES = {
    0: [bytes([*range(ARITY[op]), op]) for op in Op if op > Op.LEAF3] + [bytes([1, 1, Op.MUL])],
    1: [
        b"\0",
        bytes([0, 1, Op.MUL]),
        bytes([1, 0, Op.MUL, Op.NEG, 2]),
        bytes([0, 1, Op.IEQ, 2, 0, Op.SELECT]),
        bytes([0, Op.I2F, 1]),
    ],
    2: [b"\0"],
    3: [bytes([0, Op.COPY])],
}


@st.composite
def leaves(draw: st.DrawFn, n_loops: int, number: int) -> Leaf:
    """A leaf of any kind; operands read one of three inputs of EXTENT words."""
    kind = draw(st.sampled_from([LeafKind.OPERAND] * 5 + [LeafKind.INDEX, LeafKind.STEP, LeafKind.ROW]))
    strides = st.tuples(*[st.integers(-3, 3)] * n_loops)
    if kind != LeafKind.OPERAND:
        rank = draw(st.integers(0, 1))
        return Leaf(
            kind=kind,
            offsets=(draw(st.sampled_from([0, 1, -2, 7, 2**40])),) * rank,
            sizes=(0,) * rank,
            divisors=(0,) * rank,
            strides=(draw(strides),) * rank,
        )
    shape = draw(st.sampled_from([(), (48,), (6, 8), (2, 3, 8), (2, 2, 3, 4), (5, 0)]))
    rank = len(shape)
    gather = (0xFF, 0)
    if rank and number and draw(st.booleans()):
        gather = (draw(st.integers(0, rank - 1)), draw(st.integers(0, number - 1)))
    return operand(
        shape,
        *[draw(strides) for _ in range(rank)],
        input_id=1 + draw(st.integers(0, 2)),
        offsets=[draw(st.sampled_from([0, 0, 1, 2, 5, -1, -4, 2**62])) for _ in range(rank)],
        divisors=[draw(st.sampled_from([1, 1, 1, 0, 2, 3])) for _ in range(rank)],
        fill=draw(st.sampled_from([0, 0x3F800000, 0xFF800000, 0x80000000])),
        gather=gather,
    )


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    """A node that P-6 does not call malformed."""
    fold = draw(st.sampled_from([0, 0, 1, 1, 2, 3]))
    sizes = st.integers(1, 4)
    out = tuple(draw(st.lists(sizes, max_size=3)))
    reduce = tuple(draw(st.lists(sizes, max_size=3))) if fold else ()
    code = draw(st.sampled_from(CODES[fold]))
    n_leaves = draw(st.integers(1 + max(op for op in code if op < 4), 4))
    made = tuple(draw(leaves(len(out) + len(reduce), i)) for i in range(n_leaves))
    return Node(fold=fold, out=out, reduce=reduce, code=code, leaves=made)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(nodes(), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 5, 2**33]),
)
def test_any_node_is_what_the_reference_says(made: list[Node], seed: int, step: int) -> None:
    rng = np.random.default_rng(seed)
    small: Any = rng.integers(-2, 8, EXTENT).astype(np.int32).view(np.uint32)
    check(made, [words(rng, EXTENT, "mixed"), small, words(rng, EXTENT, "small")], step=step)
