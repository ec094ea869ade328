"""Random descriptors, malformed ones included: contract and mirror give every word the same verdict."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from protocol.commitments.tree import fold_path, height
from protocol.errors import MalformedError
from protocol.numerics.accumulator import EMPTY, Accumulator
from protocol.program import evaluation
from protocol.program.address import extent, n_ranges, range_length
from protocol.program.descriptor import Leaf, LeafKind, Node, Source
from protocol.program.interpreter import _ArrayReader
from protocol.program.leaf import CursorKind, ProofContext
from tests.support.openers import ValuesOpener
from tests.support.scenes import Challenge, Scene
from tests.support.verifier import VerifierBench

OWN = 5
TENSOR_HEIGHT = 2
FLOATS = [
    0,
    0x80000000,
    0x3F800000,
    0xBF800000,
    0x7F800000,
    0xFF800000,
    0x7FC00000,
    0x7FC00001,
    1,
    0x40490FDB,
]
ADDITIVE = [
    b"\0",
    b"\0\1\x12",
    b"\0\1",
    b"\0\x14",
    b"\0\1\2\x28",
    b"\0\1\x33\2\3\x28",
    b"\0\x29",
    b"\0\1\x34",
]
MAPS = [*range(0x10, 0x1B), 0x1F, 0x20, 0x21, 0x22, 0x28, 0x29, *range(0x30, 0x37)]
UNARY, TERNARY = (0x14, 0x15, 0x18, 0x19, 0x1A, 0x1F, 0x29), (0x28,)


@pytest.fixture(scope="module")
def bench() -> VerifierBench:
    return VerifierBench()


def random_code(rng: random.Random, fold: int, n_leaves: int) -> bytes:
    """Mostly well-formed, if the leaves are there."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(33))
    if fold == 0:
        op = rng.choice(MAPS)
        pushes = 1 if op in UNARY else 3 if op in TERNARY else 2
        return bytes([*(rng.randrange(max(n_leaves, 1)) for _ in range(pushes)), op])
    if fold == 1:
        return rng.choice(ADDITIVE)
    return rng.choice([b"\0", b"\0\x1f"])


def random_leaf(rng: random.Random, number: int, n_loops: int) -> Leaf:
    kind = rng.choice([LeafKind.OPERAND] * 5 + [LeafKind.INDEX, LeafKind.ROW, LeafKind.STEP])
    rank = rng.choice([0, 1, 1, 2, 2, 3, 4])
    gathers = rank > 0 and rng.random() < 0.3
    wide = rng.random() < 0.05

    def stride() -> int:
        return rng.randrange(-(1 << 31), 1 << 31) if wide else rng.choice([-1, 0, 0, 1, 1, 2])

    return Leaf(
        kind=kind,
        source=rng.choice(list(Source)),
        source_id=rng.choice([0, 1, 2, rng.randrange(8)]),
        fill=rng.choice(FLOATS),
        gather_dim=rng.randrange(rank) if gathers else 0xFF,
        gather_leaf=max(number - 1, 0) if rng.random() < 0.9 else rng.randrange(256),
        offsets=tuple(
            rng.choice([0, 0, 1, -1, rng.randrange(-(1 << 63), 1 << 63) if wide else 3]) for _ in range(rank)
        ),
        sizes=tuple(rng.choice([1, 2, 4, 5, 8, 1 << 32 >> 1 if wide else 16]) for _ in range(rank)),
        divisors=tuple(rng.choice([0, 1, 1, 1, 2, 3]) for _ in range(rank)),
        strides=tuple(tuple(stride() for _ in range(n_loops)) for _ in range(rank)),
    )


def random_descriptor(rng: random.Random) -> bytes:
    if rng.random() < 0.03:
        return rng.randbytes(1024)
    fold = rng.randrange(4)
    out = tuple(rng.choice([1, 2, 3, 5, 40]) for _ in range(rng.randrange(4)))
    sizes = [0, 1, 2, 3, 4, 7, 1 << 16] if rng.random() < 0.2 else [1, 2, 3, 4]
    reduce = tuple(rng.choice(sizes) for _ in range(rng.randrange(4))) if fold else ()
    n_leaves = rng.choice([1, 2, 2, 3, 4, 4])
    leaves = tuple(random_leaf(rng, i, len(out) + len(reduce)) for i in range(n_leaves))
    made = Node(fold=fold, out=out, reduce=reduce, code=random_code(rng, fold, n_leaves), leaves=leaves)
    data = bytearray(made.encode())
    if rng.random() < 0.15:  # somewhere in the header or in a leaf's
        for _ in range(rng.randrange(1, 3)):
            data[rng.choice([*range(6), *range(32, 64), *range(128, 144), *range(352, 368)])] ^= (
                1 << rng.randrange(8)
            )
    return bytes(data)


def random_words(rng: random.Random, size: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    choices = [
        *FLOATS,
        *range(5),
        rng.getrandbits(32),
        struct.unpack(">I", struct.pack(">f", rng.gauss(0, 1)))[0],
    ]
    return np.array([rng.choice(choices) for _ in range(size)], dtype=np.uint32)


def random_scene(rng: random.Random) -> Scene:
    sizes = [0, 1, 5, 64, 100, 256]
    tensors = [random_words(rng, rng.choice(sizes)) for _ in range(7 + 3 + 4)]
    return Scene(
        descriptors=[rng.randbytes(1024)] * OWN + [random_descriptor(rng), rng.randbytes(1024)],
        nodes=tensors[:7],
        state=tensors[7:10],
        inputs=tensors[10:],
        after=tensors[7:10],
        tensor_height=TENSOR_HEIGHT,
        input_height=TENSOR_HEIGHT + rng.randrange(3),
        range_log2=rng.randrange(7),
        n_rows=rng.choice([0, 1, 7, 100]),
        batch=rng.choice([0, 2, 3, 200]),
        step=rng.choice([0, 1, 77, 1 << 33]),
    )


class RangeOpener(ValuesOpener):
    """Opens one range of a fold that is too long for a whole tree."""

    def __init__(self, scene: Scene, leaf: bytes, before: Accumulator, path: Sequence[bytes]) -> None:
        super().__init__(
            descriptors=scene.descriptors,
            program_tree=scene.program_tree,
            source_trees=scene.trees,
            tensor=scene.tensor,
            height_of=scene.height_of,
            committed_leaf=lambda _: (leaf, ()),
        )
        self._before, self._path = before, path

    def accumulator(self, number: int, /) -> tuple[Accumulator, Sequence[bytes]]:
        del number
        return self._before, self._path


def random_range(rng: random.Random, scene: Scene, made: Node, word: int, honest: bool) -> Challenge:
    """A range of a fold however long: the accumulator before it and the leaf under roots of their own."""
    number = rng.randrange(n_ranges(made, scene.base.range_log2)) + 1
    sane = Accumulator(rng.randrange(16) if rng.random() < 0.2 else 0, rng.getrandbits(400) - (1 << 399))
    before = rng.choice([EMPTY, sane, Accumulator(rng.randrange(256), rng.getrandbits(768) - (1 << 767))])
    length = range_length(made, scene.base.range_log2)
    after = evaluation.accumulate(
        made,
        OWN,
        word,
        terms=range((number - 1) * length, min(number * length, made.terms)),
        start=before,
        context=scene.base.step_context,
        read=reader(scene),
    )
    leaf = sha256(after.to_bytes()).digest() if honest else rng.randbytes(32)
    path = [rng.randbytes(32) for _ in range(height(n_ranges(made, scene.base.range_log2) + 1))]
    context = replace(
        scene.base,
        node=OWN,
        word_index=word,
        kind=CursorKind.FOLD,
        cursor=leaf,
        cursor_index=number,
        fold_root=fold_path(sha256(before.to_bytes()).digest(), number - 1, path),
    )
    return Challenge(context=context, index=0, opener=RangeOpener(scene, leaf, before, path))


def reader(scene: Scene) -> _ArrayReader:
    state = [scene.tensor(Source.STATE, i) for i in range(3)]
    return _ArrayReader(scene.nodes, state, scene.inputs)


def random_challenge(rng: random.Random, scene: Scene) -> tuple[Challenge, bool | None]:
    """A leaf of the random node, and what the verdict on it is (None where the proof is refused)."""
    honest = rng.random() < 0.5
    try:
        made = Node.decode(scene.descriptors[OWN])
    except MalformedError:
        committed = rng.choice([0, 1])
        return scene.word(OWN, rng.randrange(256), committed=committed), committed != 0
    size = extent(made, TENSOR_HEIGHT)
    past = size < 256 and (size == 0 or rng.random() < 0.1)
    word = rng.randrange(size, 256) if past else rng.randrange(size)
    if past:
        committed = 0 if honest else rng.randrange(1, 1 << 32)
        return scene.word(OWN, word, committed=committed), not honest
    whole = made.terms <= range_length(made, scene.base.range_log2)
    if not whole or (made.fold and made.terms and rng.random() < 0.3):
        return random_range(rng, scene, made, word, honest), not honest
    right = evaluation.word(made, OWN, word, scene.base.step_context, reader(scene))
    committed = right if honest else right ^ (1 << rng.randrange(32))
    return scene.word(OWN, word, committed=committed), not honest


def damaged(rng: random.Random, witness: bytes) -> bytes:
    place = rng.randrange(len(witness))
    return rng.choice(
        [
            witness[:place] + bytes([witness[place] ^ (1 << rng.randrange(8))]) + witness[place + 1 :],
            witness[:place],
            witness + rng.randbytes(rng.randrange(1, 40)),
            witness[:place] + witness[place + 1 :],
        ]
    )


@pytest.mark.parametrize("seed", range(8))
def test_random_leaves(bench: VerifierBench, seed: int) -> None:
    rng = random.Random(seed)
    seen: Counter[bool | str] = Counter()
    for _ in range(60):
        scene = random_scene(rng)
        challenge, fault = random_challenge(rng, scene)
        witness = challenge.witness()
        outcome = bench.both(challenge.context, challenge.index, witness)
        assert outcome is fault, scene.descriptors[OWN].hex()
        seen[outcome] += 1
        refusal = bench.both(challenge.context, challenge.index, damaged(rng, witness))
        if isinstance(refusal, str):
            assert refusal.startswith("verifier: ")
            seen[refusal] += 1
    assert seen[True] > 10
    assert seen[False] > 10
    assert sum(count for reason, count in seen.items() if isinstance(reason, str)) > 40
    assert len(seen) > 4


@pytest.mark.parametrize("seed", range(4))
def test_random_contexts_never_disagree(bench: VerifierBench, seed: int) -> None:
    """The same proof under another context: whatever comes of it comes of it twice."""
    rng = random.Random(1000 + seed)
    fields = {
        "node": 8,
        "word_index": 300,
        "step": 100,
        "n_nodes": 9,
        "n_slots": 5,
        "n_inputs": 6,
        "n_rows": 9,
        "batch": 9,
        "range_log2": 8,
        "cursor_index": 9,
        "cursor_height": 3,
        "kind": 8,
    }
    for _ in range(60):
        scene = random_scene(rng)
        challenge, _ = random_challenge(rng, scene)
        field = rng.choice(list(fields))
        changed: ProofContext = replace(challenge.context, **{field: rng.randrange(fields[field])})  # type: ignore[arg-type]
        bench.both(changed, rng.choice([challenge.index, 0, 1]), challenge.witness())
