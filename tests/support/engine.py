"""One node at a time through the fast engine and the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol.commitments.canonical import Words
from protocol.program.descriptor import Leaf, Node, Source
from protocol.program.interpreter import Interpreter, tensor_height
from protocol.program.program import Program, TensorSpec
from prover.engine.executor import Executor

SEED = bytes(range(32))
N_ROWS, BATCH = 11, 4

SPECIAL = np.array(
    [
        0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x00000002, 0x007FFFFF, 0x807FFFFF, 0x00800000,
        0x80800000, 0x00800001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000,
        0x7F800001, 0xFFFFFFFF, 0x3F800000, 0xBF800000, 0x3F800001, 0x3F7FFFFF, 0x33800000, 0xB3000000,
        0x4B800000, 0x4B7FFFFF, 0x3F000000, 0x40490FDB, 0x42B17218, 0x42B17217, 0xC2CFF1B4, 0xC2AEAC50,
        0x5F7FFFFF, 0x20000000, 0x00400000, 0x7E800000,
    ],
    dtype=np.uint32,
)  # fmt: skip
"""Zeros, subnormals, ends of the range, infinities, NaNs, ones and their neighbours, edges of exp, halves."""


def words(rng: np.random.Generator, size: int, kind: str) -> Words:
    """Random words of one kind: bits, special, normal, small (few bits, so sums tie), cancel or mixed."""
    if kind == "bits":
        return rng.integers(0, 1 << 32, size, dtype=np.uint64).astype(np.uint32)
    if kind == "special":
        return rng.choice(SPECIAL, size)
    if kind == "normal":
        return rng.standard_normal(size).astype(np.float32).view(np.uint32)
    if kind == "small":
        return (
            (rng.integers(-8, 9, size) * 2.0 ** rng.integers(-14, 15, size))
            .astype(np.float32)
            .view(np.uint32)
        )
    if kind == "cancel":
        large = rng.choice(np.array([1e30, -1e30, 1.5, 1e-30, -1.5, 3e-45, 1e38, -1e38], np.float32), size)
        return large.view(np.uint32).copy()
    pools = [words(rng, size, other) for other in ("bits", "special", "normal", "small", "cancel")]
    return np.choose(rng.integers(0, len(pools), size), pools).astype(np.uint32)


KINDS = ("bits", "special", "normal", "small", "cancel", "mixed")


def operand(
    shape: Sequence[int],
    *strides: Sequence[int],
    input_id: int = 1,
    offsets: Sequence[int] | None = None,
    divisors: Sequence[int] | None = None,
    fill: int = 0,
    gather: tuple[int, int] = (0xFF, 0),
) -> Leaf:
    """An operand in an input: for each dimension the strides of all loops."""
    return Leaf(
        source=Source.INPUT,
        source_id=input_id,
        fill=fill,
        gather_dim=gather[0],
        gather_leaf=gather[1],
        offsets=tuple(offsets or [0] * len(shape)),
        sizes=tuple(shape),
        divisors=tuple(divisors or [1] * len(shape)),
        strides=tuple(tuple(row) for row in strides),
    )


def program_of(nodes: Sequence[Node], inputs: Sequence[Words]) -> tuple[Program, list[Words]]:
    """A program of some nodes, with a link table and these inputs, and one carried slot."""
    arrays = [np.full(1, 0xFFFFFFFF, np.uint32), *inputs]
    specs = tuple(TensorSpec(name=f"i{i}", shape=(a.size,), dtype="i32") for i, a in enumerate(arrays))
    program = Program(
        nodes=tuple(nodes),
        labels=tuple("" for _ in nodes),
        slots=(TensorSpec(name="slot", shape=(), dtype="f32"),),
        inputs=specs,
        links=(0xFFFFFFFF,),
        loss=0,
    )
    return program, arrays


def executor_of(
    nodes: Sequence[Node], inputs: Sequence[Words], threads: int = 1, device: str | None = None
) -> Executor:
    """The fast engine for some nodes."""
    program, arrays = program_of(nodes, inputs)
    return Executor(
        program,
        inputs=arrays,
        seed=SEED,
        n_rows=N_ROWS,
        batch=BATCH,
        tensor_height=tensor_height(program),
        threads=threads,
        device=device,
    )


def reference(nodes: Sequence[Node], inputs: Sequence[Words], step: int = 0) -> list[Words]:
    """Outputs of some nodes by the reference interpreter."""
    program, arrays = program_of(nodes, inputs)
    interpreter = Interpreter(program, inputs=arrays, seed=SEED, n_rows=N_ROWS, batch=BATCH)
    return interpreter.run_step([np.zeros(1, np.uint32)], step)[0]


def check(
    nodes: Sequence[Node],
    inputs: Sequence[Words],
    *,
    step: int = 0,
    threads: int = 1,
    device: str | None = None,
) -> Executor:
    """Run some nodes both ways and compare every bit; the executor, for its counters."""
    executor = executor_of(nodes, inputs, threads, device)
    fast = executor.run([np.zeros(1, np.uint32)], step).outputs
    for number, (got, wanted) in enumerate(zip(fast, reference(nodes, inputs, step), strict=True)):
        wrong = np.flatnonzero(got != wanted) if got.shape == wanted.shape else np.arange(1)
        assert not wrong.size, (
            f"node {number}: word {wrong[0]} of {got.size} is {got[wrong[:3]]}, reference {wanted[wrong[:3]]}"
        )
    return executor
