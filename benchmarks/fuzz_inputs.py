"""Inputs that binary32 arithmetic finds hard, and what MPFR makes of them. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gmpy2
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Numbers = NDArray[np.float64]

BINARY32 = gmpy2.context(precision=24, emax=128, emin=-148, subnormalize=True, round=gmpy2.RoundToNearest)
EXACT = gmpy2.context(precision=1200)
"""Any sum of products of binary32 numbers is exact in it: multiples of 2^-298 below 2^300."""

SIGN = np.uint32(0x80000000)
NAN = np.uint32(0x7FC00000)

EDGES = np.array(
    [
        0x00000000, 0x00000001, 0x00000002, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000,
        0x20000000, 0x33000000, 0x33800000, 0x33800001, 0x34000000, 0x3F000000, 0x3F7FFFFF, 0x3F800000,
        0x3F800001, 0x3FAAAAAA, 0x40000000, 0x4B000000, 0x4B000001, 0x4B7FFFFF, 0x4B800000, 0x4F000000,
        0x5F000000, 0x5F7FFFFF, 0x73000000, 0x7E800000, 0x7F000000, 0x7F7FFFFF, 0x7F800000, 0x7F800001,
        0x7FC00000, 0x7FFFFFFF,
    ],
    np.uint32,
)  # fmt: skip


def words(rng: np.random.Generator, size: int) -> Words:
    """Edges, any bits, numbers of middling size (often of few bits), subnormals, neighbours of edges."""
    few = rng.choice(np.array([0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFF000, 0xFFFF0000, 0xFFF80000], np.uint32), size)
    middling = rng.integers(90 << 23, 140 << 23, size, dtype=np.uint32) & few
    pools = [
        rng.choice(EDGES, size),
        rng.integers(0, 1 << 32, size, dtype=np.uint64).astype(np.uint32),
        middling,
        middling,
        rng.integers(0, 1 << 24, size, dtype=np.uint32),
        rng.choice(EDGES, size) + rng.integers(-3, 4, size).astype(np.int64).astype(np.uint32),
    ]
    chosen = np.choose(rng.integers(0, len(pools), size), pools).astype(np.uint32)
    return chosen ^ (rng.integers(0, 2, size, dtype=np.uint32) << np.uint32(31))


def pairs(rng: np.random.Generator, size: int) -> tuple[Words, Words]:
    """Two words each, often related: equal, opposite, nearly so, or with a sum halfway between words."""
    a = words(rng, size)
    step = rng.integers(-2, 3, size).astype(np.int64).astype(np.uint32)
    half = np.maximum(((a >> np.uint32(23)) & np.uint32(0xFF)).astype(np.int64) - 24, 0).astype(np.uint32)
    tie = (half << np.uint32(23)) + rng.choice(np.array([0, 0, 1, 0xFFFFFFFF], np.uint32), size)
    sign = rng.integers(0, 2, size, dtype=np.uint32) << np.uint32(31)
    other = words(rng, size)
    pools = [a ^ sign, (a ^ SIGN) + step, tie ^ sign, other, other, other]
    return a, np.choose(rng.integers(0, len(pools), size), pools).astype(np.uint32)


def numbers(array: Words) -> Numbers:
    """The numbers of words, exactly; -0 as +0, which is how they are read."""
    with np.errstate(invalid="ignore"):
        return np.ascontiguousarray(array).view(np.float32).astype(np.float64) + 0.0


def to_words(values: list[float]) -> Words:
    """Words of numbers that binary32 holds; one zero, one NaN."""
    found = (np.array(values, np.float64) + 0.0).astype(np.float32)
    return np.where(np.isnan(found), NAN, found.view(np.uint32))


def binary(name: str, a: Words, b: Words) -> Words:
    """A two-operand primitive."""
    x, y = numbers(a), numbers(b)
    compare: dict[str, Callable[[], Any]] = {
        "EQ": lambda: x == y,
        "LT": lambda: x < y,
        "LE": lambda: x <= y,
    }
    if name in compare:
        return np.asarray(compare[name](), np.uint32)
    if name in ("MAX", "MIN"):
        return to_words((np.maximum if name == "MAX" else np.minimum)(x, y).tolist())
    operation = {"ADD": BINARY32.add, "SUB": BINARY32.sub, "MUL": BINARY32.mul, "DIV": BINARY32.div}[name]
    return to_words([float(operation(p, q)) for p, q in zip(x.tolist(), y.tolist(), strict=True)])


def sums(terms: Numbers) -> Words:
    """Each row's exact sum, rounded once. Terms are exact doubles."""
    found = []
    with EXACT:
        for row in terms.tolist():
            total = gmpy2.fsum(row)
            found.append(float(BINARY32.add(total, 0)))
    return to_words(found)


def matrices(rng: np.random.Generator, m: int, n: int, k: int) -> tuple[Words, Words]:
    """Operands of a product: whole numbers (exact ties), hard words, or nearly cancelling rows."""
    kind = rng.integers(0, 4)
    if kind == 0:
        a, b = (hard_terms(rng, rows, k) for rows in (m, n))
    else:
        spread = rng.choice((1.0, 2.0**12, 2.0**40))
        a, b = (
            (rng.integers(-2048, 2049, (rows, k)) * spread ** rng.integers(-1, 2, (rows, k)))
            .astype(np.float32)
            .view(np.uint32)
            for rows in (m, n)
        )
    if kind == 2 and k > 1:
        half = k // 2
        a[:, half : 2 * half] = a[:, :half] ^ SIGN
        b[:, half : 2 * half] = b[:, :half] + rng.integers(0, 2, (n, half), dtype=np.uint32)
    return a, b


def matrix_product(a: Words, b: Words) -> Words:
    """Row by row: [sum over k of a[i, k] * b[j, k]], flat."""
    x, y = numbers(a), numbers(b)
    with np.errstate(invalid="ignore"):
        return np.concatenate([sums(row * y) for row in x])


def hard_terms(rng: np.random.Generator, rows: int, terms: int) -> Words:
    """Rows to be summed: they cancel, tie, underflow or overflow; few have infinities or NaN."""
    made = words(rng, rows * terms).reshape(rows, terms)
    wild = rng.random((rows, 1)) < 0.9
    special = (made & np.uint32(0x7F800000)) == np.uint32(0x7F800000)
    made = np.where(wild & special, made & np.uint32(0x807FFFFF), made)
    if terms > 1:
        half = terms // 2
        kind = rng.integers(0, 4, rows)
        cancel = kind == 1
        nudge = rng.choice(np.array([0, 0, 0, 1, 0xFFFFFFFF], np.uint32), (rows, half))
        made[cancel, half : 2 * half] = ((made[:, :half] ^ SIGN) + nudge)[cancel]
        tie = kind == 2
        first, second = pairs(rng, rows)
        made[tie, 0], made[tie, 1] = first[tie], second[tie]
        small = rng.choice(np.array([0, 1, 0x80000001, 0x00800000, 0x80000000], np.uint32), (rows, terms))
        made[tie, 2:] = small[tie, 2:]
    return rng.permuted(made, axis=1)


@dataclass(frozen=True, slots=True)
class Fold:
    """One code under a fold, how its operands are made, and what it gives.

    Attributes:
        kind: SUM, MAX or ARGMAX.
        code: hexadecimal.
        terms: numbers of terms to choose from.
        inputs: uint32[rows, terms] for each leaf.
        oracle: from those to one word for each row.
    """

    name: str
    kind: str
    code: str
    terms: tuple[int, ...]
    inputs: Callable[[np.random.Generator, int, int], list[Words]]
    oracle: Callable[..., Words]


def _leaves(count: int) -> Callable[[np.random.Generator, int, int], list[Words]]:
    return lambda rng, rows, terms: [hard_terms(rng, rows, terms) for _ in range(count)]


def _scatter(rng: np.random.Generator, rows: int, terms: int) -> list[Words]:
    index = [rng.integers(0, 3, (rows, terms), dtype=np.uint32) for _ in range(2)]
    return [*index, hard_terms(rng, rows, terms), hard_terms(rng, rows, terms)]


def _products(*leaves: Words) -> Numbers:
    x, y = (numbers(leaf) for leaf in leaves)
    with np.errstate(invalid="ignore"):
        return x * y  # exact: 48 bits


def _extreme(leaf: Words) -> Words:
    """numpy, too, lets NaN win and the first of equals stay."""
    return to_words(numbers(leaf).max(axis=1).tolist())


TERMS = (1, 2, 3, 5, 17, 64)
FOLDS = (
    Fold("sum", "SUM", "00", TERMS, _leaves(1), lambda a: sums(numbers(a))),
    Fold("sum of products", "SUM", "000112", TERMS, _leaves(2), lambda a, b: sums(_products(a, b))),
    Fold(
        "sum of differences",
        "SUM",
        "000114",
        TERMS,
        _leaves(2),
        lambda a, b: sums(np.hstack([numbers(a), -numbers(b)])),
    ),
    Fold(
        "sum of two products",
        "SUM",
        "00011202031214",
        TERMS,
        _leaves(4),
        lambda a, b, c, d: sums(np.hstack([_products(a, b), -_products(c, d)])),
    ),
    Fold(
        "scatter",
        "SUM",
        "000133020328",
        TERMS,
        _scatter,
        lambda i, j, a, b: sums(np.where(i == j, numbers(a), numbers(b))),
    ),
    Fold(
        "sum of integers",
        "SUM",
        "002901",
        TERMS,
        _leaves(2),
        lambda a, b: sums(np.hstack([a.view(np.int32).astype(np.float64), numbers(b)])),
    ),
    Fold("max", "MAX", "00", TERMS, _leaves(1), _extreme),
    Fold(
        "argmax",
        "ARGMAX",
        "00",
        TERMS,
        _leaves(1),
        lambda a: numbers(a).argmax(axis=1).astype(np.uint32),
    ),
)
