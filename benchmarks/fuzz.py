"""Differential fuzzing of two-operand primitives and folds: fast against MPFR, contract against reference.

    python -m benchmarks.fuzz                   ten million cases, fifty thousand for the contract
    python -m benchmarks.fuzz --cases 100000 --contract 1000 --record FOLDER

A case is one output word: of a primitive, or of a fold with up to 64 terms. Inputs lean towards ties,
subnormals, cancellation, overflow, infinities, signed zeros, and whatever a tier of the certificate cannot
decide. The oracle (benchmarks/fuzz_inputs.py) computes with MPFR and numpy and imports nothing of ours. A
difference ends the run with an error.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fuzz_inputs
from benchmarks.fuzz_inputs import FOLDS, Fold, Words
from protocol.numerics.accumulator import EMPTY
from protocol.numerics.expression import fold_term
from protocol.numerics.opcodes import ARITY, Op
from protocol.numerics.opcodes import Fold as FoldKind
from protocol.numerics.primitives import apply
from protocol.program.descriptor import Node
from tests.support.engine import executor_of, operand

BATCH = 50_000
"""Cases that are made, run and compared at a time."""

BINARY = ("ADD", "SUB", "MUL", "DIV", "MAX", "MIN", "EQ", "LT", "LE")
SLOT = [np.zeros(1, np.uint32)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000_000, help="for fast against MPFR")
    parser.add_argument("--contract", type=int, default=50_000, help="for the contract on pyrevm")
    parser.add_argument("--sample", type=int, default=500, help="of those on py-evm too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, default=None, metavar="FOLDER", help="write fuzz.json there")
    options = parser.parse_args()
    report = {
        "seed": options.seed,
        "fast": fast(options.cases, options.seed, print),
        "contract": contract(options.contract, options.sample, options.seed, print),
    }
    if options.record is not None:
        from gavel.certify.record import machine

        options.record.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**report, "machine": machine()}, indent=2)
        (options.record / "fuzz.json").write_text(text + "\n", encoding="utf-8")


def fast(cases: int, seed: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Cases of the fast engine against MPFR: six tenths primitives, three folds, one matrix products.

    Returns cases and seconds by name, and how many words each tier of the certificates passed on.

    Raises AssertionError on a difference, naming the operands.
    """
    started = time.perf_counter()
    counts: dict[str, int] = {}
    tiers = {"two_sum": 0, "superaccumulator": 0, "reference": 0}
    rng = np.random.default_rng(seed)

    def done(name: str, count: int, passed: dict[str, int]) -> None:
        counts[name] = counts.get(name, 0) + count
        for tier, number in passed.items():
            tiers[tier] += number

    for name in BINARY:
        left = cases * 6 // 10 // len(BINARY) + 1
        while left > 0:
            size = min(left, BATCH)
            done(name, size, _binary(name, *fuzz_inputs.pairs(rng, size)))
            left -= size
        log(f"{name}: {counts.get(name, 0):,} cases agree with MPFR ({time.perf_counter() - started:.0f} s)")
    for fold in FOLDS:
        left = cases * 3 // 10 // len(FOLDS) + 1
        while left > 0:
            terms = int(rng.choice(fold.terms))
            rows = max(min(left, BATCH // terms), 1)
            done(fold.name, rows, _fold(fold, rng, rows, terms))
            left -= rows
        log(f"{fold.name}: {counts[fold.name]:,} cases agree ({time.perf_counter() - started:.0f} s)")
    left = cases // 10
    while left > 0:
        made = _product(rng)
        done("matrix product", made[0], made[1])
        left -= made[0]
    log(f"matrix product: {counts.get('matrix product', 0):,} cases agree; words passed on: {tiers}")
    seconds = time.perf_counter() - started
    return {
        "cases": sum(counts.values()),
        "by_name": counts,
        "passed_on": tiers,
        "seconds": round(seconds, 1),
    }


def _binary(name: str, a: Words, b: Words) -> dict[str, int]:
    node = Node(
        fold=FoldKind.NONE,
        out=(a.size,),
        reduce=(),
        code=bytes([0, 1, Op[name]]),
        leaves=(operand((a.size,), (1,)), operand((a.size,), (1,), input_id=2)),
    )
    return _run(name, node, [a, b], fuzz_inputs.binary(name, a, b), lambda i: [a[i], b[i]])


def _fold(fold: Fold, rng: np.random.Generator, rows: int, terms: int) -> dict[str, int]:
    tensors = fold.inputs(rng, rows, terms)
    want = fold.oracle(*tensors)
    # Half of them with the fold outside, the other way through the kernels.
    if rng.random() < 0.5:
        shape, strides = (rows, terms), ((1, 0), (0, 1))
        arrays = [np.ascontiguousarray(tensor).ravel() for tensor in tensors]
    else:
        shape, strides = (terms, rows), ((0, 1), (1, 0))
        arrays = [np.ascontiguousarray(tensor.T).ravel() for tensor in tensors]
    leaves = tuple(operand(shape, *strides, input_id=1 + q) for q in range(len(arrays)))
    node = Node(
        fold=FoldKind[fold.kind], out=(rows,), reduce=(terms,), code=bytes.fromhex(fold.code), leaves=leaves
    )
    return _run(fold.name, node, arrays, want, lambda i: [list(tensor[i]) for tensor in tensors])


def _product(rng: np.random.Generator) -> tuple[int, dict[str, int]]:
    m, n, k = (int(rng.choice(sizes)) for sizes in ((3, 17, 120), (5, 16, 97), (1, 4, 19, 64)))
    a, b = fuzz_inputs.matrices(rng, m, n, k)
    node = Node(
        fold=FoldKind.SUM,
        out=(m, n),
        reduce=(k,),
        code=bytes([0, 1, Op.MUL]),
        leaves=(
            operand((m, k), (1, 0, 0), (0, 0, 1)),
            operand((n, k), (0, 1, 0), (0, 0, 1), input_id=2),
        ),
    )
    want = fuzz_inputs.matrix_product(a, b)
    return m * n, _run("matrix product", node, [a.ravel(), b.ravel()], want, lambda i: [a[i // n], b[i % n]])


def _run(
    name: str, node: Node, arrays: list[Words], want: Words, operands: Callable[[int], list[Any]]
) -> dict[str, int]:
    """Run one node in the fast engine and compare; what its tiers passed on."""
    executor = executor_of([node], arrays)
    got = executor.run(SLOT, 0).outputs[0]
    wrong = np.flatnonzero(got != want)
    if wrong.size:
        i = int(wrong[0])
        shown = [[f"{int(w):#010x}" for w in np.atleast_1d(words)] for words in operands(i)]
        raise AssertionError(f"{name} of {shown}: fast {int(got[i]):#010x}, MPFR {int(want[i]):#010x}")
    return executor.summary()


def contract(cases: int, sample: int, seed: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Cases of the contract on pyrevm against the reference, the first of each kind on py-evm too.

    Raises AssertionError on a difference.
    """
    from tests.support.evm import FastEvm
    from tests.support.gas_evm import GasEvm

    started = time.perf_counter()
    quick, slow = FastEvm().deploy_judge("NumericsMock"), GasEvm().deploy_judge("NumericsMock")
    rng = np.random.default_rng([seed, 1])
    primitives = [op for op in Op if ARITY[op] > 0]
    kinds = len(primitives) + len(FOLDS)
    for index, op in enumerate(primitives):
        count = cases // kinds
        a, b = fuzz_inputs.pairs(rng, count)
        c = fuzz_inputs.words(rng, count)
        for i, operands in enumerate(zip(a.tolist(), b.tolist(), c.tolist(), strict=True)):
            want = apply(op, *operands)
            for mock in (quick, slow)[: 1 + (i < -(-sample // kinds))]:
                got = mock.call("apply", int(op), *operands)
                assert got == want, f"{op.name} of {[hex(w) for w in operands]}: {got:#x}, not {want:#x}"
        if index % 10 == 0:
            log(f"contract: {index + 1} of {kinds} kinds ({time.perf_counter() - started:.0f} s)")
    order = random.Random(seed)
    for fold in FOLDS:
        rows = cases // kinds
        tensors: list[Words] = fold.inputs(rng, rows, 5)
        code = bytes.fromhex(fold.code)
        for i in range(rows):
            count = order.randint(1, 5)
            terms = [[int(tensor[i, j]) for tensor in tensors] for j in range(count)]
            total = EMPTY
            for j, words in enumerate(terms):
                total = fold_term(FoldKind[fold.kind], code, words, total, j)
            padded = [words + [0] * (4 - len(words)) for words in terms]
            call = (FoldKind[fold.kind], code.ljust(32, b"\0"), len(code), len(tensors), padded, bytes(97), 0)
            for mock in (quick, slow)[: 1 + (i < -(-sample // kinds))]:
                got = mock.call("fold_terms", *call)[4]
                want = total.finish(FoldKind[fold.kind])
                assert got == want, f"{fold.name} of {terms}: {got:#x}, not {want:#x}"
    seconds = time.perf_counter() - started
    log(f"contract: {cases // kinds * kinds:,} cases agree with the reference ({seconds:.0f} s)")
    return {
        "cases": cases // kinds * kinds,
        "on_py_evm": -(-sample // kinds) * kinds,
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
