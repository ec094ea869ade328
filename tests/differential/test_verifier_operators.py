"""Shapes of nodes that networks are made of, each word and range judged on chain and in the mirror."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.numerics.accumulator import EMPTY
from protocol.program import evaluation
from protocol.program.address import n_ranges, range_length
from protocol.program.descriptor import LeafKind, Node, Source
from protocol.program.interpreter import _ArrayReader
from tests.support.programs import (
    ARGMAX,
    COPY,
    EXP,
    I2F,
    IEQ,
    MAX,
    MUL,
    NEG,
    NONE,
    SELECT,
    SUM,
    counter,
    floats,
    integer,
    node,
    view,
)
from tests.support.scenes import Scene
from tests.support.verifier import VerifierBench

NODE, STATE, INPUT = Source.NODE, Source.STATE, Source.INPUT
NEGATIVE_INFINITY = 0xFF800000

# Node 0 has 256 words (2 images of 4 channels of 4 by 8), slot 0 has 256, input 1 has indices 0 to 7.
OPERATORS = {
    "convolution with padding": node(
        SUM,
        (2, 2, 4, 8),
        (4, 3, 3),
        (0, 1, MUL),
        view(
            NODE,
            0,
            (2, 4, 4, 8),
            (1, 0, 0, 0, 0, 0, 0),
            (0, 0, 0, 0, 1, 0, 0),
            (0, 0, 1, 0, 0, 1, 0),
            (0, 0, 0, 1, 0, 0, 1),
            offsets=(0, 0, -1, -1),
        ),
        view(
            STATE,
            0,
            (2, 4, 3, 3),
            (0, 1, 0, 0, 0, 0, 0),
            (0, 0, 0, 0, 1, 0, 0),
            (0, 0, 0, 0, 0, 1, 0),
            (0, 0, 0, 0, 0, 0, 1),
        ),
    ),
    "gradient of a strided convolution": node(
        SUM,
        (2, 8, 16),
        (3, 3),
        (0, 1, MUL),
        view(
            NODE,
            0,
            (2, 4, 8),
            (1, 0, 0, 0, 0),
            (0, 1, 0, -1, 0),
            (0, 0, 1, 0, -1),
            offsets=(0, 1, 1),
            divisors=(1, 2, 2),
        ),
        view(STATE, 0, (3, 3), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1)),
    ),
    "max pooling": node(
        MAX,
        (2, 4, 2, 4),
        (3, 3),
        (0,),
        view(
            NODE,
            0,
            (2, 4, 4, 8),
            (1, 0, 0, 0, 0, 0),
            (0, 1, 0, 0, 0, 0),
            (0, 0, 2, 0, 1, 0),
            (0, 0, 0, 2, 0, 1),
            offsets=(0, 0, -1, -1),
            fill=NEGATIVE_INFINITY,
        ),
    ),
    "argmax over a transposed view": node(
        ARGMAX, (8,), (32,), (0, COPY), view(NODE, 0, (32, 8), (0, 1), (1, 0))
    ),
    "embedding": node(
        NONE,
        (6, 32),
        (),
        (1, COPY),
        view(INPUT, 1, (6,), (1, 0)),
        view(STATE, 0, (8, 32), (0, 0), (0, 1), gather=(0, 0)),
    ),
    "scatter-add": node(
        SUM,
        (8, 16),
        (6,),
        (0, 1, IEQ, 2, 3, SELECT),
        view(INPUT, 1, (6,), (0, 0, 1)),
        integer(LeafKind.INDEX, 1, 0, 0),
        view(NODE, 0, (6, 16), (0, 0, 1), (0, 1, 0)),
        integer(LeafKind.INDEX, 0, 0, 0),
    ),
    "cumulative sum, negated": node(
        SUM,
        (40,),
        (40,),
        (0, NEG),
        view(NODE, 0, (40,), (1, -1)),
    ),
    "count of steps": node(SUM, (3,), (5,), (0, I2F), integer(LeafKind.STEP, 1, -7)),
    "exp of a flipped view": node(NONE, (64,), (), (0, EXP), view(NODE, 0, (64,), (-1,), offsets=(63,))),
}


@pytest.fixture(scope="module")
def bench() -> VerifierBench:
    return VerifierBench()


def scene_of(made: Node) -> Scene:
    rng = np.random.default_rng(3)
    big = [floats(rng.normal(size=256)) for _ in range(2)]
    indices = np.array([3, 0, 7, 3, 9, 0xFFFFFFFF, 1, 2], dtype=np.uint32)
    return Scene(
        descriptors=[counter().program.nodes[0].encode(), made.encode()],
        nodes=[big[0], np.zeros(256, np.uint32)],
        state=[big[1]],
        inputs=[np.zeros(1, np.uint32), indices],
        after=[big[1]],
        tensor_height=2,
        range_log2=4,
        step=3,
    )


@pytest.mark.parametrize("name", list(OPERATORS))
def test_operators(bench: VerifierBench, name: str) -> None:
    made = OPERATORS[name]
    scene = scene_of(made)
    read = _ArrayReader(scene.nodes, [scene.tensor(STATE, 0)], scene.inputs)
    context, length = scene.base.step_context, range_length(made, 4)
    words = range(0, min(made.extent, 256), 5)
    for word in words:
        if made.terms <= length:
            right = evaluation.word(made, 1, word, context, read)
            for committed in (right, right ^ 1):
                challenge = scene.word(1, word, committed=committed)
                fault = bench.both(challenge.context, challenge.index, challenge.witness())
                assert fault is (committed != right)
            continue
        totals = [EMPTY]
        for i in range(n_ranges(made, 4)):
            terms = range(i * length, min((i + 1) * length, made.terms))
            totals.append(
                evaluation.accumulate(
                    made, 1, word, terms=terms, start=totals[-1], context=context, read=read
                )
            )
        for number in range(1, len(totals)):
            challenge = scene.range(1, word, number, totals)
            assert bench.both(challenge.context, challenge.index, challenge.witness()) is False
        challenge = scene.range(1, word, 1, totals, committed=b"\1" * 32)
        assert bench.both(challenge.context, challenge.index, challenge.witness()) is True
