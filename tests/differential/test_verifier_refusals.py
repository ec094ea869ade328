"""Each altered part of a proof has its own named refusal, on chain and in the mirror (P-13, P-15)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from protocol.commitments.tree import Tree
from protocol.program.leaf import CursorKind
from tests.support.programs import classifier
from tests.support.scenes import Challenge, Scene
from tests.support.verifier import VerifierBench

EXAMPLE = classifier()
FLAT = classifier(range_log2=6)


@pytest.fixture(scope="module")
def bench() -> VerifierBench:
    return VerifierBench()


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def refuse(bench: VerifierBench, challenge: Challenge, parts: list[tuple[int, str]]) -> None:
    """Flip bits in each part, (length, reason), of the stream that they cover; then cut and extend it."""
    witness = challenge.witness()
    assert sum(length for length, _ in parts) == len(witness)
    assert isinstance(bench.both(challenge.context, challenge.index, witness), bool)
    begin = 0
    for length, reason in parts:
        for place in {begin, begin + length // 2, begin + length - 1}:
            assert bench.both(challenge.context, challenge.index, flipped(witness, place)) == reason
        if begin:
            assert bench.both(challenge.context, challenge.index, witness[:begin]) == "verifier: short stream"
        begin += length
    assert bench.both(challenge.context, challenge.index, witness[:-1]) == "verifier: short stream"
    assert bench.both(challenge.context, challenge.index, b"") == "verifier: short stream"
    assert bench.both(challenge.context, challenge.index, witness + b"\0") == "verifier: trailing bytes"


# Paths: 21 descriptors and node roots in trees of height 5, 4 inputs of height 2, 3 slots of height 2, H = 3.
DESCRIPTOR = [(1024, "verifier: descriptor"), (32 * 5, "verifier: descriptor")]
NODE_ROOT = [(32, "verifier: operand root"), (32 * 5, "verifier: operand root")]
SLOT_ROOT = [(32, "verifier: operand root"), (32 * 2, "verifier: operand root")]
PAGE = [(256, "verifier: operand page"), (32 * 3, "verifier: operand page")]


def tagged(bench: VerifierBench, challenge: Challenge, place: int) -> None:
    """A tag byte of 2 is refused; a tag of 0 opens an absent page, which is another one."""
    witness = challenge.witness()
    assert witness[place] == 1
    for tag in (2, 255):
        changed = witness[:place] + bytes([tag]) + witness[place + 1 :]
        assert bench.both(challenge.context, challenge.index, changed) == "verifier: page tag"
    absent = witness[:place] + b"\0" + witness[place + 1 :]
    refusal = bench.both(challenge.context, challenge.index, absent)
    assert refusal in ("verifier: operand page", "verifier: link page")


def test_word(bench: VerifierBench) -> None:
    challenge = Scene.of(FLAT, 1).word(15, 100)
    tag = (1, "verifier: operand page")
    parts = [*DESCRIPTOR, (256, "verifier: page"), *SLOT_ROOT, tag, *PAGE, *NODE_ROOT, tag, *PAGE]
    refuse(bench, challenge, parts)
    tagged(bench, challenge, 1184 + 256 + 96)


def test_zero_page(bench: VerifierBench) -> None:
    challenge = Scene.of(EXAMPLE).zero_page(2, 5, up=3)
    refuse(bench, challenge, [*DESCRIPTOR, (32, "verifier: leaf"), (96, "verifier: leaf")])


def test_range(bench: VerifierBench) -> None:
    scene = Scene.of(EXAMPLE)
    totals = EXAMPLE.interpreter().accumulators(0, 4, 1, state=EXAMPLE.state, nodes=scene.nodes)
    challenge = scene.range(4, 1, 3, totals, up=6)
    tag = (1, "verifier: operand page")
    parts = [
        *DESCRIPTOR,
        (32, "verifier: leaf"),
        (32 * 6, "verifier: leaf"),
        (97, "verifier: accumulator"),
        (32 * 6, "verifier: accumulator"),
        *NODE_ROOT,
        tag,
        *PAGE,
        *SLOT_ROOT,
        tag,
        *PAGE,
    ]
    refuse(bench, challenge, parts)
    tagged(bench, challenge, 1184 + 224 + 289 + 192)


@pytest.mark.parametrize(("slot", "height"), [(0, 2), (1, 5)])
def test_slot(bench: VerifierBench, slot: int, height: int) -> None:
    challenge = Scene.of(EXAMPLE).slot(slot, up=2)
    parts = [
        (32, "verifier: leaf"),
        (64, "verifier: leaf"),
        (32, "verifier: link table"),
        (64, "verifier: link table"),
        (1, "verifier: link page"),
        (256, "verifier: link page"),
        (32, "verifier: link page"),
        (32, "verifier: link root"),
        (32 * height, "verifier: link root"),
    ]
    refuse(bench, challenge, parts)
    tagged(bench, challenge, 192)


@pytest.mark.parametrize("field", ["program_root", "nodes_root", "pre_state", "cursor"])
def test_a_proof_is_bound_to_every_root(bench: VerifierBench, field: str) -> None:
    challenge = Scene.of(FLAT, 1).word(15, 100)
    reason = {
        "program_root": "verifier: descriptor",
        "nodes_root": "verifier: operand root",
        "pre_state": "verifier: operand root",
        "cursor": "verifier: page",
    }[field]
    context = replace(challenge.context, **{field: b"\1" * 32})  # type: ignore[arg-type]
    assert bench.both(context, challenge.index, challenge.witness()) == reason


def test_a_proof_is_bound_to_its_place(bench: VerifierBench) -> None:
    scene = Scene.of(FLAT, 1)
    challenge = scene.word(15, 100)
    witness = challenge.witness()
    for changed in (
        replace(challenge.context, node=14),
        replace(challenge.context, n_nodes=70),
    ):
        assert bench.both(changed, challenge.index, witness) in (
            "verifier: descriptor",
            "verifier: short stream",
        )
    assert bench.both(challenge.context, 64, witness) == "verifier: index"
    outside = replace(challenge.context, node=100)
    assert bench.both(outside, challenge.index, witness) == "merkle: index outside the tree"
    slot = scene.slot(1)
    assert bench.both(slot.context, 2, slot.witness()) == "verifier: index"


@pytest.mark.parametrize("kind", [0, 1, 2, 7, 2**256 - 1])
def test_other_cursors_have_no_leaf(bench: VerifierBench, kind: int) -> None:
    challenge = Scene.of(EXAMPLE).word(0, 0)
    context = replace(challenge.context, kind=kind)
    assert bench.both(context, challenge.index, challenge.witness()) == "verifier: cursor kind"


def test_ranges_that_do_not_exist(bench: VerifierBench) -> None:
    scene = Scene.of(EXAMPLE)
    totals = EXAMPLE.interpreter().accumulators(0, 4, 1, state=EXAMPLE.state, nodes=scene.nodes)
    challenge = scene.range(4, 1, 1, totals, up=6)
    context = challenge.context
    descriptor, descriptor_path = challenge.opener.descriptor(4)
    tree = Tree([sha256(total.to_bytes()).digest() for total in totals], 6)
    # Leaf 0 is agreed, and past leaf 35 there is nothing: both are opened rightly, and refused.
    for number in (0, 36, 63):
        opened = [descriptor, *descriptor_path, tree.node(0, number), *tree.path(number)]
        assert bench.both(context, number, b"".join(opened)) == "verifier: range"
    past = replace(context, word_index=6)
    assert bench.both(past, challenge.index, challenge.witness()) == "verifier: word past the extent"


def test_a_range_of_a_malformed_node_does_not_exist(bench: VerifierBench) -> None:
    scene = Scene.of(EXAMPLE)
    descriptors = list(scene.descriptors)
    descriptors[4] = b"\2" + descriptors[4][1:]
    broken = Scene(
        descriptors=descriptors,
        nodes=scene.nodes,
        state=EXAMPLE.state,
        inputs=EXAMPLE.inputs,
        after=EXAMPLE.state,
        tensor_height=3,
    )
    page = broken.zero_page(4, 3, committed=b"\1" * 32, up=0)
    assert bench.both(page.context, page.index, page.witness()) is True
    witness = page.witness()
    context = replace(page.context, kind=CursorKind.FOLD, cursor_index=1)
    assert bench.both(context, 0, witness) == "verifier: range"
    for committed in (0, 1):
        word = broken.word(4, 0, committed=committed)
        assert bench.both(word.context, word.index, word.witness()) is (committed == 1)


def test_the_witness_is_the_argument_itself(bench: VerifierBench) -> None:
    """ABI encodings that would let a decoder and a reader of calldata see different bytes are refused."""
    challenge = Scene.of(EXAMPLE).word(0, 0)
    witness = challenge.witness()
    call = bench.verifier.encode(
        "prove", bench.court.address, b"\1" * 32, b"\2" * 32, challenge.index, witness
    )
    moved = call[: 4 + 128] + (192).to_bytes(32, "big") + bytes(32) + call[4 + 160 :]
    truncated = call[: 4 + 192 + len(witness) - 1]
    for data in (moved, truncated):
        with pytest.raises(Exception, match="encoding"):
            bench.evm.send(bench.verifier.address, data)
