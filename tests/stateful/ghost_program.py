"""What the ghost knows of program.md: descriptors, addresses, the schedule, and what a fold opens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol

from tests.stateful import ghost_words as w
from tests.stateful.ghost_base import height, sha

NODE, STATE, INPUT = 0, 1, 2
OPERAND, INDEX, ROW, STEP = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a job that a proof depends on (P-15)."""

    n_nodes: int
    n_slots: int
    n_inputs: int
    n_rows: int
    batch: int
    tensor_height: int
    input_height: int
    range_log2: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of a descriptor (P-2)."""

    kind: int
    source: int
    rank: int
    gathers: int
    gather_leaf: int
    source_id: int
    fill: int
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    divisors: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]


def _leaf(data: bytes) -> Leaf:
    def row(at: int, size: int, count: int, *, sign: bool) -> tuple[int, ...]:
        parts = (data[at + i * size : at + (i + 1) * size] for i in range(count))
        return tuple(int.from_bytes(part, "big", signed=sign) for part in parts)

    return Leaf(
        kind=data[0],
        source=data[1],
        rank=data[2],
        gathers=data[3],
        gather_leaf=data[4],
        source_id=int.from_bytes(data[8:12], "big"),
        fill=int.from_bytes(data[12:16], "big"),
        offsets=row(32, 8, 4, sign=True),
        sizes=row(64, 4, 4, sign=False),
        divisors=row(80, 4, 4, sign=False),
        strides=tuple(row(96 + 32 * d, 4, 8, sign=True) for d in range(4)),
    )


class Words(Protocol):
    """Where the words of operands come from."""

    def word(self, leaf: int, source: int, source_id: int, flat: int) -> int:
        """The word of leaf number `leaf` at a flat address of a tensor."""
        ...


class Node:
    """A descriptor, decoded (P-2, P-6)."""

    def __init__(self, data: bytes, shape: Shape) -> None:
        """Decode 1024 bytes; what is malformed has extent and K of 0."""
        self.shape = shape
        self.fold, out, folds, leaves, code = data[1], data[2], data[3], data[4], data[5]
        loops = [int.from_bytes(data[32 + 4 * i : 36 + 4 * i], "big") for i in range(8)]
        self.out, self.folds = loops[: min(out, 8)], loops[min(out, 8) : min(out + folds, 8)]
        self.leaves = [_leaf(data[128 + 224 * i :]) for i in range(min(leaves, 4))]
        self.code = data[64 : 64 + min(code, 32)]
        self.terms = prod(self.folds)
        bad = data[0] != 1 or self.fold > 3 or out + folds > 8 or leaves > 4 or code > 32
        bad |= (self.fold == 0 and folds > 0) or self.terms > 1 << 32
        for leaf in self.leaves:
            bad |= leaf.kind > 3 or leaf.source > 2 or leaf.rank > 4
            bad |= leaf.gathers != 0xFF and leaf.gathers >= leaf.rank
        self.extent = 0 if bad else min(prod(self.out), 64 << shape.tensor_height)
        if bad:
            self.terms = 0
        self.formed = w.well_formed(self.fold, self.code, len(self.leaves))
        operands = sum(leaf.kind == OPERAND for leaf in self.leaves)
        # P-12
        self.range = min(1 << shape.range_log2, 64 >> height(max(operands, 1)))
        self.ranges = -(-self.terms // self.range)

    def result(self, number: int, word: int, step: int, seed: bytes, words: Words) -> int:
        """The word at a place of node `number`'s output: what its whole fold gives (P-1)."""
        if self.fold:
            return w.finished(self.fold, self.total(number, word, range(self.terms), step, seed, words))
        ((_, found),) = self._opened(number, word, range(1), step, seed, words)
        if not self.formed:
            return 0
        return w.primitive(self.code[-1], [found[push] for push in self.code[:-1]])

    def total(
        self,
        number: int,
        word: int,
        terms: range,
        step: int,
        seed: bytes,
        words: Words,
        start: bytes = w.EMPTY,
    ) -> bytes:
        """An accumulator with some terms of a fold added (P-14)."""
        for index, found in self._opened(number, word, terms, step, seed, words):
            if not self.formed:
                start = w.EMPTY  # N-11
            elif self.fold == 1:
                start = w.plus(start, w.terms_of(self.code, found))
            else:
                start = w.beaten(start, index, found[0])
        return start

    def _opened(
        self, number: int, word: int, terms: range, step: int, seed: bytes, words: Words
    ) -> Iterator[tuple[int, list[int]]]:
        """The words of all leaves, for each term (P-13: every leaf is opened, whatever the code uses)."""
        for index in terms:
            at = [*_digits(word, self.out), *_digits(index, self.folds)]
            found: list[int] = []
            for place, leaf in enumerate(self.leaves):
                found.append(self._word(number, place, leaf, at, found, step, seed, words))
            yield index, found

    def _word(
        self,
        number: int,
        place: int,
        leaf: Leaf,
        at: list[int],
        found: list[int],
        step: int,
        seed: bytes,
        words: Words,
    ) -> int:
        if leaf.kind != OPERAND:
            # P-3
            a = _affine(leaf, 0, at) if leaf.rank else 0
            if leaf.kind == ROW:
                return row_of(seed, self.shape.n_rows, self.shape.batch, step, a % (1 << 32)) % (1 << 32)
            return (a + (step if leaf.kind == STEP else 0)) % (1 << 32)
        if leaf.gathers != 0xFF and leaf.gather_leaf >= place:
            return 0
        # P-4
        flat = 0
        for d in range(leaf.rank):
            c = _affine(leaf, d, at)
            if d == leaf.gathers:
                c += w.signed(found[leaf.gather_leaf])
            divisor = leaf.divisors[d] or 1
            if c % divisor or not 0 <= c // divisor < leaf.sizes[d]:
                return leaf.fill if self._reads(number, leaf, 0) else 0
            flat = flat * leaf.sizes[d] + c // divisor
        return words.word(place, leaf.source, leaf.source_id, flat) if self._reads(number, leaf, flat) else 0

    def _reads(self, number: int, leaf: Leaf, flat: int) -> bool:
        """P-6: whether the source exists, is earlier, and is as long."""
        known = {NODE: number, STATE: self.shape.n_slots, INPUT: self.shape.n_inputs}[leaf.source]
        levels = self.shape.input_height if leaf.source == INPUT else self.shape.tensor_height
        return leaf.source_id < known and flat < 64 << levels


def _affine(leaf: Leaf, d: int, at: list[int]) -> int:
    return leaf.offsets[d] + sum(s * v for s, v in zip(leaf.strides[d], at, strict=False))


def _digits(number: int, sizes: list[int]) -> list[int]:
    """Row-major loop indices of a number."""
    digits = []
    for size in reversed(sizes):
        number, digit = divmod(number, size) if size else (number, 0)
        digits.append(digit)
    return digits[::-1]


def row_of(seed: bytes, n_rows: int, batch: int, step: int, position: int) -> int:
    """P-7: the dataset row at a batch position of a step."""
    n = min(n_rows, 1 << 32)
    if n == 0:
        return 0
    epoch_size = n if batch == 0 or batch > n else n - n % batch
    epoch, x = divmod(step * batch + position, epoch_size)
    half = next(width for width in range(1, 18) if 1 << 2 * width >= n)
    mask = (1 << half) - 1
    for _ in range(64):
        left, right = x >> half, x & mask
        for i in range(4):
            mixed = sha(seed, (epoch % (1 << 64)).to_bytes(8, "big"), bytes([i]), right.to_bytes(4, "big"))
            left, right = right, left ^ (int.from_bytes(mixed[:4], "big") & mask)
        x = left << half | right
        if x < n:
            return x
    return x % n
