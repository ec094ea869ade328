"""Descriptors are 1024 bytes, both ways (program.md, P-2, P-6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import MalformedError
from protocol.program.descriptor import Leaf, LeafKind, Node, Source
from tests.support.programs import classifier, counter, node, view

NODES = [*classifier().program.nodes, *counter(slots=2).program.nodes]
STRIDED = node(
    1,
    (2, 3),
    (4,),
    (0,),
    view(
        Source.INPUT,
        3,
        (5, 6),
        (1, -2, 3),
        (0, 7, -(1 << 31)),
        offsets=(-(1 << 63), (1 << 63) - 1),
        divisors=(2, 0),
        fill=0xFF800000,
        gather=(1, 0),
    ),
)


@pytest.mark.parametrize("made", [*NODES, STRIDED])
def test_encoding_and_decoding_are_inverse(made: Node) -> None:
    data = made.encode()
    assert len(data) == 1024
    assert Node.decode(data) == made


def test_fields_lie_where_the_table_says() -> None:
    data = STRIDED.encode()
    assert data[:6] == bytes([1, 1, 2, 1, 1, 1])
    assert [int.from_bytes(data[32 + 4 * i : 36 + 4 * i], "big") for i in range(4)] == [2, 3, 4, 0]
    assert data[64:66] == b"\0\0"
    leaf = data[128:352]
    assert leaf[:5] == bytes([LeafKind.OPERAND, Source.INPUT, 2, 1, 0])
    assert int.from_bytes(leaf[8:12], "big") == 3
    assert leaf[12:16] == bytes.fromhex("ff800000")
    assert int.from_bytes(leaf[40:48], "big", signed=True) == (1 << 63) - 1
    assert [int.from_bytes(leaf[64 + 4 * i : 68 + 4 * i], "big") for i in range(8)] == [
        5,
        6,
        0,
        0,
        2,
        0,
        0,
        0,
    ]
    assert int.from_bytes(leaf[100:104], "big", signed=True) == -2
    assert int.from_bytes(leaf[136:140], "big", signed=True) == -(1 << 31)
    assert not any(data[352:])


@pytest.mark.parametrize(
    ("place", "byte"),
    [(0, 0), (0, 2), (1, 4), (2, 8), (3, 7), (4, 5), (5, 33), (128, 4), (129, 3), (130, 5), (131, 2)],
)
def test_malformed_headers_are_refused(place: int, byte: int) -> None:
    data = bytearray(STRIDED.encode())
    data[place] = byte
    with pytest.raises(MalformedError, match="P-6"):
        Node.decode(bytes(data))


def test_fold_loops_without_a_fold_and_folds_that_are_too_long_are_malformed() -> None:
    data = bytearray(STRIDED.encode())
    data[1] = 0
    with pytest.raises(MalformedError):
        Node.decode(bytes(data))
    long = replace(STRIDED, out=(2,), reduce=(1 << 16, (1 << 16) + 1))
    with pytest.raises(MalformedError):
        Node.decode(long.encode())
    whole = replace(STRIDED, out=(2,), reduce=(1 << 16, 1 << 16))
    assert Node.decode(whole.encode()).terms == 1 << 32


@pytest.mark.parametrize(
    "wrong",
    [
        replace(STRIDED, fold=256),
        replace(STRIDED, out=(1 << 32, 3)),
        replace(STRIDED, out=(1,) * 8),
        replace(STRIDED, code=bytes(33)),
        replace(STRIDED, leaves=STRIDED.leaves * 5),
        replace(STRIDED, out=(2,)),
        replace(STRIDED, leaves=(Leaf(source_id=1 << 32),)),
        replace(STRIDED, leaves=(Leaf(gather_dim=256),)),
        replace(STRIDED, leaves=(Leaf(offsets=(0,)),)),
        replace(STRIDED, leaves=(view(Source.NODE, 0, (1,) * 5, *((0, 0, 0),) * 5),)),
        replace(STRIDED, leaves=(view(Source.NODE, 0, (1,), (0, 0, 1 << 31)),)),
    ],
)
def test_what_does_not_fit_is_not_encoded(wrong: Node) -> None:
    with pytest.raises(MalformedError):
        wrong.encode()


def test_another_length_is_no_descriptor() -> None:
    with pytest.raises(MalformedError, match="1023"):
        Node.decode(bytes(1023))
