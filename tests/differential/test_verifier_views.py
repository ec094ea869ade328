"""The verifier's views against their Python mirrors (program.md, P-7, P-16; numerics.md, N-13)."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import pytest

from protocol.commitments.tree import Tree
from protocol.errors import RefusedError
from protocol.numerics.accumulator import EMPTY, Accumulator
from protocol.program import schedule
from protocol.program.descriptor import LeafKind
from protocol.program.leaf import fold_shape
from tests.support.evm import FastEvm, Handle, Reverted
from tests.support.programs import MAX, SUM, classifier, integer, node

PROGRAM = classifier().program
HUGE = node(SUM, (2,), (1 << 16, 1 << 16), (0,), integer(LeafKind.INDEX, 0, 0, 0))
EDGE = node(MAX, (1 << 31, 1 << 31), (65,), (0,), integer(LeafKind.INDEX, 0, 0, 0))
DESCRIPTORS = [made.encode() for made in (*PROGRAM.nodes, HUGE, EDGE)] + [bytes(1024)]
TREE = Tree([sha256(data).digest() for data in DESCRIPTORS], 5)


@pytest.fixture(scope="module")
def verifier() -> Handle:
    return FastEvm().deploy_judge("StepVerifier")


def both(verifier: Handle, **arguments: Any) -> tuple[int, int] | str:
    """What contract and mirror agree on: a shape or a reason."""
    try:
        chain = verifier.call("fold_shape", *arguments.values())
    except Reverted as error:
        chain = error.reason
    mirror: tuple[int, int] | str
    try:
        mirror = fold_shape(**arguments)
    except RefusedError as error:
        mirror = error.reason
    assert chain == mirror
    return mirror


def arguments(number: int, **changes: Any) -> dict[str, Any]:
    opening = b"".join([DESCRIPTORS[number], *TREE.path(number)])
    default = {
        "program_root": TREE.root,
        "n_nodes": len(DESCRIPTORS),
        "node": number,
        "range_log2": 1,
        "tensor_height": 3,
        "word_index": 0,
        "opening": opening,
    }
    return {**default, **changes}


def test_shapes_of_folds(verifier: Handle) -> None:
    """Hidden layer: 5 products in twos; second layer: 70 in twos; ranges of one operand, and of none."""
    assert both(verifier, **arguments(2)) == (1, 3)
    assert both(verifier, **arguments(4, word_index=5)) == (1, 35)
    assert both(verifier, **arguments(4, range_log2=5)) == (1, 3)
    assert both(verifier, **arguments(4, range_log2=40)) == (1, 3)
    assert both(verifier, **arguments(5)) == (2, 2)
    assert both(verifier, **arguments(18)) == (3, 2)
    assert both(verifier, **arguments(20, range_log2=6)) == (1, 1 << 26)
    assert both(verifier, **arguments(20, range_log2=0)) == (1, 1 << 32)
    assert both(verifier, **arguments(21, range_log2=9, word_index=511)) == (2, 2)


def test_refusals(verifier: Handle) -> None:
    good = arguments(4)
    assert both(verifier, **arguments(0)) == "verifier: fold is whole"
    assert both(verifier, **arguments(4, range_log2=0, word_index=6)) == "verifier: word past the extent"
    assert both(verifier, **arguments(21, word_index=512)) == "verifier: word past the extent"
    assert both(verifier, **arguments(22)) == "verifier: word past the extent"
    assert both(verifier, **arguments(5, range_log2=2)) == "verifier: fold is whole"
    assert both(verifier, **{**good, "program_root": bytes(32)}) == "verifier: descriptor"
    assert both(verifier, **{**good, "node": 5}) == "verifier: descriptor"
    assert both(verifier, **{**good, "node": 32}) == "merkle: index outside the tree"
    assert both(verifier, **{**good, "n_nodes": 60}) == "verifier: short stream"
    assert both(verifier, **{**good, "n_nodes": 2**256 - 1}) == "verifier: number too large"
    assert both(verifier, **{**good, "n_nodes": 7}) == "verifier: descriptor"
    opening = good["opening"]
    assert both(verifier, **{**good, "opening": opening[:-1]}) == "verifier: short stream"
    assert both(verifier, **{**good, "opening": opening + b"\0"}) == "verifier: trailing bytes"
    for place in (0, 700, 1023, 1024, len(opening) - 1):
        changed = opening[:place] + bytes([opening[place] ^ 4]) + opening[place + 1 :]
        assert both(verifier, **{**good, "opening": changed}) == "verifier: descriptor"


def test_rows_of_the_schedule(verifier: Handle) -> None:
    rng = random.Random(5)
    sizes = [0, 1, 2, 3, 4, 5, 16, 17, 1000, 60_000, (1 << 32) - 1, 1 << 32, 1 << 60]
    for _ in range(300):
        n_rows, batch = rng.choice(sizes), rng.choice([0, 1, 2, 7, 128, 1 << 20])
        step = rng.choice([0, 1, rng.getrandbits(20), rng.getrandbits(100)])
        position = rng.choice([rng.randrange(max(batch, 1)), rng.getrandbits(32)])
        seed = rng.randbytes(32)
        chain = verifier.call("schedule_row", seed, n_rows, batch, step, position)
        assert chain == schedule.row(seed, n_rows, batch, step, position)
    for numbers in ((7, 1 << 64, 0, 0), (7, 2, 1 << 128, 0), (7, 2, 0, 1 << 128)):
        with pytest.raises(Reverted, match="verifier: number too large"):
            verifier.call("schedule_row", bytes(32), *numbers)


def test_accumulators_finish(verifier: Handle) -> None:
    rng = random.Random(6)
    for _ in range(300):
        width = rng.choice([0, 24, 200, 300, 330, 425, 600, 767])
        total = Accumulator(
            rng.choice([0, 0, 8, rng.randrange(256)]), rng.getrandbits(width + 1) - (1 << width)
        )
        for fold in (1, 2, 3):
            assert verifier.call("finish", fold, total.to_bytes()) == total.finish(fold)
    assert verifier.call("finish", 1, EMPTY.to_bytes()) == 0
    for length in (0, 96):
        with pytest.raises(Reverted, match="verifier: accumulator length"):
            verifier.call("finish", 1, bytes(length))
