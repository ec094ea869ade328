"""Addresses and integer leaves against numpy's own indexing (program.md, P-3 to P-6)."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from protocol.commitments.canonical import Words
from protocol.program import evaluation, schedule
from protocol.program.address import n_ranges, range_length, unravel
from protocol.program.descriptor import Leaf, LeafKind, Source
from protocol.program.evaluation import StepContext
from protocol.program.interpreter import _ArrayReader
from tests.support.programs import COPY, NONE, SUM, integer, node, view

CONTEXT = StepContext(
    step=5, seed=bytes(32), n_rows=11, batch=4, n_slots=1, n_inputs=2, tensor_height=0, input_height=0
)
SMALL = st.integers(-4, 4)


@st.composite
def operands(draw: st.DrawFn) -> tuple[tuple[int, ...], Leaf, Words, Words]:
    """Loops, an operand over input 0 that may gather with input 1, and both inputs."""
    loops = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    rank = draw(st.integers(0, 3))
    sizes = draw(st.lists(st.integers(0, 5), min_size=rank, max_size=rank))
    gather = draw(st.one_of(st.none(), st.integers(0, rank - 1))) if rank else None
    data = np.arange(100, 100 + 64, dtype=np.uint32)
    indices = np.array(draw(st.lists(SMALL, min_size=64, max_size=64)), dtype=np.int64).astype(np.uint32)
    leaf = view(
        Source.INPUT,
        0,
        sizes,
        *(draw(st.lists(SMALL, min_size=len(loops), max_size=len(loops))) for _ in sizes),
        offsets=draw(st.lists(SMALL, min_size=rank, max_size=rank)),
        divisors=draw(st.lists(st.integers(0, 3), min_size=rank, max_size=rank)),
        fill=7,
        gather=None if gather is None else (gather, 0),
    )
    return loops, leaf, data, indices


def expected_words(loops: tuple[int, ...], leaf: Leaf, data: Words, indices: Words) -> Words:
    """By whole arrays of coordinates, and numpy's ravel_multi_index."""
    grid = np.indices(loops, dtype=np.int64).reshape(len(loops), -1) if loops else np.zeros((0, 1), np.int64)
    inside = np.ones(grid.shape[1], dtype=bool)
    coordinates = []
    for d, size in enumerate(leaf.sizes):
        c = np.full(grid.shape[1], leaf.offsets[d], dtype=np.int64)
        c += np.array(leaf.strides[d], dtype=np.int64) @ grid if loops else 0
        if d == leaf.gather_dim:
            c += indices.astype(np.int32)[np.arange(grid.shape[1]) % indices.size]
        divisor = leaf.divisors[d] or 1
        inside &= (np.fmod(c, divisor) == 0) & (c >= 0) & (c < size * divisor)
        coordinates.append(np.where(inside, c // divisor, 0))
    if not all(leaf.sizes):
        return np.full(grid.shape[1], leaf.fill, dtype=np.uint32)
    flat = np.ravel_multi_index(coordinates, leaf.sizes) if coordinates else np.zeros(grid.shape[1], np.int64)
    within = np.where(flat < data.size, data[np.minimum(flat, data.size - 1)], 0)
    return np.where(inside, within, leaf.fill).astype(np.uint32)


@given(operands())
def test_operands_are_what_numpy_indexes(case: tuple[tuple[int, ...], Leaf, Words, Words]) -> None:
    loops, leaf, data, indices = case
    # Leaf 0 walks input 1 front to back, over and over, as the numpy side does.
    places = [int(np.prod(loops[j + 1 :])) for j in range(len(loops))]
    made = node(NONE, loops, (), (1, COPY), view(Source.INPUT, 1, (64,), places), leaf)
    read = _ArrayReader([], [], [data, indices])
    words = [evaluation.word(made, 0, index, CONTEXT, read) for index in range(made.extent)]
    assert words == list(expected_words(loops, leaf, data, indices))


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=3, max_size=3),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([LeafKind.INDEX, LeafKind.ROW, LeafKind.STEP]),
)
def test_integer_leaves(sizes: list[int], strides: list[int], offset: int, kind: LeafKind) -> None:
    made = node(NONE, sizes, (), (0, COPY), integer(kind, *strides[: len(sizes)], offset=offset))
    read = _ArrayReader([], [], [])
    for index, loops in enumerate(np.ndindex(*sizes)):
        a = offset + sum(s * v for s, v in zip(strides, loops, strict=False))
        right = {
            LeafKind.INDEX: a % 2**32,
            LeafKind.STEP: (a + 5) % 2**32,
            LeafKind.ROW: schedule.row(bytes(32), 11, 4, 5, a % 2**32),
        }[kind]
        assert evaluation.word(made, 0, index, CONTEXT, read) == right


def test_an_integer_leaf_without_dimensions_adds_nothing() -> None:
    made = node(NONE, (), (), (0, COPY), Leaf(kind=LeafKind.STEP))
    assert evaluation.word(made, 0, 0, CONTEXT, _ArrayReader([], [], [])) == 5


def test_what_is_not_there_reads_zero_and_not_fill() -> None:
    """P-6: later nodes, missing slots and inputs, gathers that are not earlier, addresses past the tree."""
    inputs = [np.full(64, 9, np.uint32)] * 2
    read = _ArrayReader([inputs[0]] * 3, [inputs[0]], inputs)
    zero = [
        view(Source.NODE, 2, (), fill=7),
        view(Source.STATE, 1, (), fill=7),
        view(Source.INPUT, 2, (), fill=7),
        view(Source.INPUT, 0, (64,), (), gather=(0, 0), fill=7),
        view(Source.INPUT, 0, (100,), (), offsets=(64,), fill=7),
    ]
    for leaf in zero:
        made = node(NONE, (), (), (0, COPY), leaf)
        assert evaluation.word(made, 2, 0, CONTEXT, read) == 0
    for leaf in (view(Source.NODE, 1, ()), view(Source.STATE, 0, ()), view(Source.INPUT, 1, ())):
        assert evaluation.word(node(NONE, (), (), (0, COPY), leaf), 2, 0, CONTEXT, read) == 9


def test_a_gather_reads_two_complement() -> None:
    inputs = [np.arange(10, 74, dtype=np.uint32), np.array([0xFFFFFFFE], np.uint32)]
    made = node(
        NONE,
        (),
        (),
        (1, COPY),
        view(Source.INPUT, 1, ()),
        view(Source.INPUT, 0, (64,), (), offsets=(5,), gather=(0, 0)),
    )
    assert evaluation.word(made, 0, 0, CONTEXT, _ArrayReader([], [], inputs)) == 13


@given(st.integers(0, 10), st.integers(0, 4), st.integers(0, 1 << 20))
def test_ranges_open_at_most_64_pages(range_log2: int, n_operands: int, terms: int) -> None:
    made = node(SUM, (), (terms,), (), *[view(Source.INPUT, 0, ())] * n_operands)
    length = range_length(made, range_log2)
    assert 1 <= length <= 1 << range_log2
    assert length * n_operands <= 64
    assert (
        (n_ranges(made, range_log2) - 1) * length
        < max(terms, 1)
        <= max(n_ranges(made, range_log2), 1) * length
    )


@given(st.lists(st.integers(1, 5), max_size=4), st.data())
def test_unravel_is_row_major(sizes: list[int], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, int(np.prod(sizes)) - 1))
    if not sizes:
        assert unravel(index, sizes) == ()
        return
    assert unravel(index, sizes) == tuple(int(i) for i in np.unravel_index(index, sizes))
