"""What a party refuses to follow (program.md, P-11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol.errors import MalformedError, UsageError
from protocol.program import lint
from protocol.program.descriptor import CARRIED, LeafKind, Node, Source
from protocol.program.program import Program, TensorSpec
from tests.support.programs import NONE, SUM, classifier, counter, floats, integer, node, view

EXAMPLE = classifier()
PROGRAM = EXAMPLE.program


def with_node(number: int, made: Node) -> Program:
    nodes = (*PROGRAM.nodes[:number], made, *PROGRAM.nodes[number + 1 :])
    return replace(PROGRAM, nodes=nodes)


def test_good_programs_pass() -> None:
    for example in (EXAMPLE, counter(slots=3)):
        lint.check_program(example.program)
        lint.check_values(example.program, inputs=example.inputs, state=example.state)
        for made in example.program.nodes:
            assert lint.check_descriptor(made.encode()) == made


COPY = (0, 0x1F)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (node(NONE, (2, 70), (), (0, 0x12), view(Source.NODE, 2, ())), "code"),
        (node(NONE, (2, 70), (), COPY, view(Source.NODE, 3, ())), "NODE 3 does not exist"),
        (node(NONE, (2, 70), (), COPY, view(Source.STATE, 3, ())), "STATE 3"),
        (node(NONE, (2, 70), (), COPY, view(Source.INPUT, 4, ())), "INPUT 4"),
        (node(NONE, (2,), (), COPY, view(Source.NODE, 1, (9,), (2,), gather=(0, 0))), "earlier leaf"),
        (node(NONE, (3,), (), COPY, view(Source.NODE, 1, (9,), (1,), offsets=(2**63 - 1,))), "past 62 bits"),
        (node(NONE, (3,), (), COPY, view(Source.NODE, 1, (9,), (-1,), offsets=(-(2**62),))), "past 62 bits"),
        (node(NONE, (3,), (), COPY, view(Source.NODE, 1, (9,), (1,))), "may read word 2"),
        (node(NONE, (3,), (), COPY, view(Source.NODE, 1, (9,), (-1,), offsets=(2,))), "may read word 2"),
        (node(NONE, (3,), (), COPY, view(Source.NODE, 1, (9,), (2,), divisors=(2,))), "may read word 2"),
        (
            node(
                NONE,
                (2,),
                (),
                (1, 0x1F),
                integer(LeafKind.INDEX, 1),
                view(Source.NODE, 1, (3,), (0,), gather=(0, 0)),
            ),
            "may read word 2",
        ),
        (node(SUM, (2,), (2,), (0,), integer(LeafKind.ROW, 1, 0)), "ROW"),
        (node(NONE, (2,), (), COPY, replace(integer(LeafKind.INDEX, 1), gather_dim=0)), "integer leaf"),
        (node(SUM, (2,), (1 << 17, 1 << 16), (0,), view(Source.NODE, 0, ())), "P-6"),
    ],
)
def test_a_bad_node_is_named(made: Node, message: str) -> None:
    with pytest.raises(MalformedError, match=rf"node 3 \(relu\): .*{message}"):
        lint.check_program(with_node(3, made))


def test_reads_that_stay_inside_pass() -> None:
    """Out of bounds is not read: sizes, divisors and empty loops are counted in."""
    for made in (
        node(NONE, (9,), (), COPY, view(Source.NODE, 1, (2,), (1,), offsets=(-4,))),
        node(NONE, (4,), (), COPY, view(Source.NODE, 1, (9,), (1,), divisors=(2,))),
        node(NONE, (2,), (), COPY, view(Source.NODE, 1, (100,), (1,), offsets=(-50,))),
        node(SUM, (), (0,), (0,), view(Source.NODE, 1, (100,), (1,), offsets=(50,))),
    ):
        lint.check_program(replace(PROGRAM, nodes=(*PROGRAM.nodes, made), labels=(*PROGRAM.labels, "last")))


def test_unused_bytes_are_zero() -> None:
    data = bytearray(PROGRAM.nodes[0].encode())
    data[100] = 1
    with pytest.raises(MalformedError, match="unused"):
        lint.check_descriptor(bytes(data))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (replace(PROGRAM, nodes=(), labels=()), "at least one node"),
        (replace(PROGRAM, labels=PROGRAM.labels[1:]), "labels"),
        (replace(PROGRAM, loss=20), "loss"),
        (replace(PROGRAM, links=(CARRIED, 15)), "link table"),
        (replace(PROGRAM, links=(CARRIED, 15, 20)), "slot count: linked to node 20"),
        (replace(PROGRAM, links=(CARRIED, 14, 18)), "slot count: has 1 words, node 18"),
        (
            replace(
                PROGRAM, slots=(*PROGRAM.slots[:2], TensorSpec(name="huge", shape=(1 << 39,), dtype="f32"))
            ),
            "largest tensor",
        ),
    ],
)
def test_bad_tables_are_refused(program: Program, message: str) -> None:
    if message == "largest tensor":
        program = replace(program, links=(CARRIED, 15, CARRIED))
    with pytest.raises(MalformedError, match=message):
        lint.check_program(program)


def test_values_are_checked() -> None:
    inputs, state = list(EXAMPLE.inputs), list(EXAMPLE.state)
    bad: list[tuple[list[Any], list[Any], str]] = [
        (inputs[:3], state, "3 tensors for the 4 inputs"),
        (inputs, [state[0][1:], *state[1:]], "slot layer1"),
        (inputs, [state[0].astype(np.int64), *state[1:]], "slot layer1"),
        ([np.zeros(3, np.uint32), *inputs[1:]], state, "link table"),
        ([*inputs[:3], np.full(8, 0x80000000, np.uint32)], state, "input rates: holds -0"),
        ([*inputs[:3], floats([0.0] * 7 + [np.nan]) | np.uint32(1)], state, "input rates: holds"),
    ]
    for some_inputs, some_state, message in bad:
        with pytest.raises(MalformedError, match=message):
            lint.check_values(PROGRAM, inputs=some_inputs, state=some_state)
    with pytest.raises(UsageError, match="inputs of"):
        replace(EXAMPLE, inputs=EXAMPLE.inputs[:2]).interpreter()
