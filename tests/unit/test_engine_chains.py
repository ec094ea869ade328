"""Chains of maps against the same nodes one by one, which are tested against the reference elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.commitments.canonical import Words
from protocol.numerics.opcodes import ARITY, Op
from protocol.program.descriptor import Leaf, Node, Source
from protocol.program.interpreter import tensor_height
from protocol.program.program import Program, TensorSpec
from prover.engine.chains import MEMBERS_MOST, ChainStep
from prover.engine.codegen import MAPS
from prover.engine.executor import Executor
from tests.support.engine import BATCH, N_ROWS, SEED, words

OPS = [Op(op) for op in MAPS]
LONG = [(256, 257), (257, 256), (1, 256 * 257)]
"""More than `PARALLEL_POINTS`: such maps join only chains whose outputs they read."""


def _leaf(rng: np.random.Generator, sizes: tuple[int, int], earlier: int, extent: int) -> Leaf:
    """An earlier node or an input: as it lies, transposed, reversed, one row or one word for all."""
    rows, columns = sizes
    node = earlier > 0 and rng.random() < 0.8
    strides, offset = [
        ((columns, 1), 0),
        ((columns, 1), 0),
        ((columns, 1), 0),
        ((1, rows), 0),
        ((0, 1), columns),
        ((columns, 0), 1),
        ((0, 0), 5),
        ((-columns, -1), rows * columns - 1),
    ][int(rng.integers(8))]
    return Leaf(
        source=Source.NODE if node else Source.INPUT,
        source_id=int(rng.integers(max(0, earlier - 6), earlier)) if node else int(rng.integers(1, 4)),
        fill=0,
        gather_dim=0xFF,
        gather_leaf=0,
        offsets=(offset,),
        sizes=(extent,),
        divisors=(1,),
        strides=(strides,),
    )


def _program(
    rng: np.random.Generator, count: int, shapes: list[tuple[int, int]]
) -> tuple[Program, list[Words]]:
    extent = shapes[0][0] * shapes[0][1]
    nodes = []
    for number in range(count):
        op, sizes = OPS[int(rng.integers(len(OPS)))], shapes[int(rng.integers(len(shapes)))]
        leaves = tuple(_leaf(rng, sizes, number, extent) for _ in range(ARITY[op]))
        nodes.append(Node(fold=0, out=sizes, reduce=(), code=bytes([*range(len(leaves)), op]), leaves=leaves))
    kept = [number for number in range(count) if rng.random() < 0.3 or number == count - 1]
    inputs = [np.full(len(kept), 0xFFFFFFFF, np.uint32), *(words(rng, extent, "mixed") for _ in range(3))]
    program = Program(
        nodes=tuple(nodes),
        labels=("",) * count,
        slots=tuple(TensorSpec(name=f"s{i}", shape=(extent,), dtype="f32") for i in kept),
        inputs=tuple(TensorSpec(name=f"i{i}", shape=(a.size,), dtype="i32") for i, a in enumerate(inputs)),
        links=tuple(kept),
        loss=count - 1,
    )
    return program, inputs


def _executor(program: Program, inputs: list[Words], threads: int) -> Executor:
    return Executor(
        program,
        inputs=inputs,
        seed=SEED,
        n_rows=N_ROWS,
        batch=BATCH,
        tensor_height=tensor_height(program),
        threads=threads,
    )


@pytest.mark.parametrize("seed", range(40))
def test_chains_write_what_the_nodes_write(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [[(6, 35)], [(6, 35), (35, 6)], [(40, 64), (64, 40), (1, 2560)], LONG][seed % 4]
    program, inputs = _program(rng, int(rng.integers(3, 60)), shapes)
    executor = _executor(program, inputs, 1)
    state = [words(rng, spec.extent, "bits") for spec in program.slots]
    alone = executor.run(state, 3)
    chained = executor.run(state, 3, keep_outputs=False)
    for slot, (got, wanted) in enumerate(zip(chained.next_state, alone.next_state, strict=True)):
        assert np.array_equal(got, wanted), f"slot {slot} of node {program.links[slot]}"
    assert chained.loss == alone.loss or (np.isnan(chained.loss) and np.isnan(alone.loss))


def test_threads_share_a_chain_and_long_ones_are_cut() -> None:
    rng = np.random.default_rng(5)
    program, inputs = _program(rng, 3 * MEMBERS_MOST, [(300, 301)])
    state = [words(rng, spec.extent, "bits") for spec in program.slots]
    wanted = _executor(program, inputs, 1).run(state, 0).next_state
    for threads in (1, 2, 3):
        executor = _executor(program, inputs, threads)
        chains = [step for step in executor._chained if isinstance(step, ChainStep)]
        assert len(chains) >= 3
        got = executor.run(state, 0, keep_outputs=False).next_state
        assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
