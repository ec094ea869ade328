"""Every kind of leaf, standing and falling, on chain and in the mirror (program.md, P-14, P-15)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.commitments.tree import ZERO
from protocol.numerics.accumulator import Accumulator
from protocol.program.address import n_ranges, range_length
from protocol.program.descriptor import Source
from tests.support.programs import classifier, counter
from tests.support.scenes import Scene
from tests.support.verifier import VerifierBench

EXAMPLE = classifier()
NODES = range(len(EXAMPLE.program.nodes))


@pytest.fixture(scope="module")
def bench() -> VerifierBench:
    return VerifierBench()


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.of(EXAMPLE, 2)


def prefixes(scene: Scene, node: int, word: int) -> list[Accumulator]:
    interpreter = EXAMPLE.interpreter()
    state = [scene.tensor(Source.STATE, i) for i in range(3)]
    return interpreter.accumulators(2, node, word, state=state, nodes=scene.nodes)


@pytest.mark.parametrize("range_log2", [1, 6])
@pytest.mark.parametrize("node", NODES)
def test_words(bench: VerifierBench, scene: Scene, node: int, range_log2: int) -> None:
    """A right word stands, a wrong one falls; a long fold is not recomputed whole."""
    made = EXAMPLE.program.nodes[node]
    whole = made.terms <= range_length(made, range_log2)
    size = scene.nodes[node].size
    for word in sorted({0, size // 2, size - 1}):
        right = int(scene.nodes[node][word])
        for committed in (right, right ^ 1, right ^ 0x80000000):
            challenge = scene.word(node, word, committed=committed)
            context = replace(challenge.context, range_log2=range_log2)
            outcome = bench.both(context, challenge.index, challenge.witness())
            assert outcome == ((committed != right) if whole else "verifier: fold is bisected")


@pytest.mark.parametrize("node", [0, 3, 17])
def test_words_past_the_extent(bench: VerifierBench, scene: Scene, node: int) -> None:
    word = scene.nodes[node].size
    for committed in (0, 1):
        challenge = scene.word(node, word, committed=committed)
        assert bench.both(challenge.context, challenge.index, challenge.witness()) is (committed != 0)


@pytest.mark.parametrize("up", [0, 1, 3])
def test_pages_past_the_extent_are_absent(bench: VerifierBench, scene: Scene, up: int) -> None:
    """Node 2 has 140 words: three pages of eight."""
    for page in (3, 4, 7):
        for committed in (ZERO, b"\7" * 32):
            challenge = scene.zero_page(2, page, committed=committed, up=up)
            outcome = bench.both(challenge.context, challenge.index, challenge.witness())
            assert outcome is (committed != ZERO)


def test_pages_within_the_extent_are_there(bench: VerifierBench, scene: Scene) -> None:
    for page in (0, 2):
        challenge = scene.zero_page(2, page, committed=ZERO)
        assert bench.both(challenge.context, challenge.index, challenge.witness()) is True
        challenge = scene.zero_page(2, page)
        refusal = bench.both(challenge.context, challenge.index, challenge.witness())
        assert refusal == "verifier: page within the extent"


@pytest.mark.parametrize("up", [0, 1, 2])
@pytest.mark.parametrize("slot", range(4))
def test_slots(bench: VerifierBench, scene: Scene, slot: int, up: int) -> None:
    """Slot 0 is carried, 1 and 2 are linked, 3 is past the last one."""
    challenge = scene.slot(slot, up=up)
    assert bench.both(challenge.context, challenge.index, challenge.witness()) is False
    challenge = scene.slot(slot, committed=b"\7" * 32, up=up)
    assert bench.both(challenge.context, challenge.index, challenge.witness()) is True


@pytest.mark.parametrize("node", [4, 5, 8, 17, 18])
@pytest.mark.parametrize("up", [0, 1, 9])
def test_ranges(bench: VerifierBench, scene: Scene, node: int, up: int) -> None:
    word = scene.nodes[node].size - 1
    totals = prefixes(scene, node, word)
    last = len(totals) - 1
    assert last == n_ranges(EXAMPLE.program.nodes[node], EXAMPLE.range_log2) > 1
    for number in sorted({1, 2, last}):
        challenge = scene.range(node, word, number, totals, up=up)
        assert bench.both(challenge.context, challenge.index, challenge.witness()) is False
        challenge = scene.range(node, word, number, totals, committed=b"\7" * 32, up=up)
        assert bench.both(challenge.context, challenge.index, challenge.witness()) is True


def test_a_chain_of_single_slots_and_nodes(bench: VerifierBench) -> None:
    """Trees of height 0 have empty paths."""
    scene = Scene.of(counter(), 3)
    for committed in (4, 5):
        challenge = scene.word(0, 0, committed=committed)
        assert bench.both(challenge.context, challenge.index, challenge.witness()) is (committed == 5)
    challenge = scene.slot(0)
    assert bench.both(challenge.context, challenge.index, challenge.witness()) is False
