"""One run over all 2^32 words of a scalar function."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import gmpy2
import numpy as np
from gmpy2 import mpfr
from numpy.typing import NDArray

from gavel.certify.functions import FUNCTIONS, NAN, NEG_INF, POS_INF, PRECISION, distance, number, rounded
from gavel.certify.pieces import Piece, cut, turn_table
from protocol.errors import MismatchError
from protocol.numerics.opcodes import Op
from protocol.numerics.primitives import apply
from prover.engine.codegen import map_kernel
from prover.engine.layout import map_layout
from prover.engine.scalar_scan import as_number, scanner

HARDEST: Final = 8
"""How many of the words nearest to a boundary a result names."""

ALL: Final = 1 << 32

_NANS: Final = ((0x7F800001, 0x80000000), (0xFF800001, 1 << 32))
_BLOCK: Final = 1 << 18

Progress = Callable[[int], None]
"""Told how many further words are done."""


@dataclass(slots=True)
class Result:
    """What a run found; see specs/certificates/README.md.

    Attributes:
        name: of the primitive.
        words: how many were checked.
        worst: largest relative difference between the kernel's binary64 value and the second evaluation's.
        near: words that MPFR decided, because the second evaluation lies near a boundary.
        flagged: words that the kernel's certificate left to the reference.
        nearest: (log2 of the relative distance of the exact value to a boundary, word), nearest first.
        seconds: of the whole run.
        cpu_seconds: of all its threads together.
    """

    name: str
    words: int = 0
    worst: float = 0.0
    near: int = 0
    flagged: int = 0
    nearest: list[tuple[float, int]] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    """What a worker found in a piece: listed and flagged words, wrong words (at least one, if any), worst."""

    piece: Piece
    near: list[int]
    flagged: list[int]
    wrong: list[int]
    worst: float


class _Scanner:
    """The kernels of one function, called by several threads."""

    def __init__(self, name: str) -> None:
        self._op = Op[name]
        self._kernel = map_kernel(self._op)
        self._scan = scanner(name)
        self._table = turn_table(FUNCTIONS[name])

    def piece(self, piece: Piece) -> _Found:
        """Check one piece, without MPFR."""
        got, flagged = self.fast(piece.first, piece.end)
        if piece.plateau is not None:
            other = np.flatnonzero(got != np.uint32(piece.plateau)) + piece.first
            return _Found(piece, [], flagged, sorted(set(other.tolist()).difference(flagged)), 0.0)
        near = np.empty(got.size, np.int64)
        count, wrong_count, worst = self._scan(
            piece.first,
            got,
            piece.turns,
            piece.center,
            piece.scale,
            piece.high,
            piece.low,
            piece.coefficients,
            np.uint64(piece.upper),
            np.uint64(piece.lower),
            self._table,
            near,
        )
        listed = (near[:count] + piece.first).tolist()
        return _Found(piece, listed, flagged, [piece.first] * bool(wrong_count), as_number(worst))

    def fast(self, first: int, end: int) -> tuple[NDArray[np.uint32], list[int]]:
        """What the fast kernel makes of words first to end - 1, and which it leaves to the reference."""
        words = np.arange(end - first, dtype=np.uint32) + np.uint32(first)
        out, flags = np.empty_like(words), np.empty(words.size, np.int64)
        layout = map_layout((words.size,), [(0, (1,))])
        count = self._kernel(out, words, layout, int(self._op), flags)
        return out, (flags[:count] + first).tolist()


def certify(
    name: str,
    *,
    threads: int = 1,
    progress: Progress = lambda _: None,
    every: int = 1,
    limit: float = 2.0**-49,
) -> Result:
    """Check a scalar function at every word.

    Args:
        name: of its primitive.
        threads: that scan.
        progress: called from this thread.
        every: scan only each such piece (from the first); the others count as not done.
        limit: of the relative difference between the two binary64 values.

    Raises:
        MismatchError: a word is wrong, or a binary64 value is further off than the limit.
    """
    started, cpu = time.perf_counter(), time.process_time()
    function, result = FUNCTIONS[name], Result(name)
    singles: list[int] = []
    plateau_ends: set[int] = set()
    flagged: set[int] = set()

    def take(found: _Found) -> None:
        count = found.piece.end - found.piece.first
        where = f"the {count:,} words from 0x{found.piece.first:08x}"
        if found.wrong:
            raise MismatchError(
                f"{name}: the fast kernel is wrong at one of {where}, maybe 0x{found.wrong[0]:08x}; "
                "nobody may train or replay with it until `gavel certify` passes"
            )
        if not found.worst <= limit:
            raise MismatchError(
                f"{name}: the fast kernel's binary64 value is {found.worst:.3g} off, relative, in {where}; "
                f"its certificate assumes at most {limit:.3g}"
            )
        result.worst = max(result.worst, found.worst)
        result.words += count
        singles.extend(found.near)
        flagged.update(found.flagged)
        progress(count)

    with gmpy2.context(gmpy2.get_context(), precision=PRECISION), ThreadPoolExecutor(threads) as pool:
        scan = _Scanner(name)
        waiting: deque[Future[_Found]] = deque()
        for index, piece in enumerate(cut(function)):
            if isinstance(piece, int):
                singles.append(piece)
                result.words += 1
                continue
            if index % every:
                continue
            if piece.plateau is not None and piece.plateau != NAN:
                plateau_ends |= {piece.first, piece.end - 1}
            waiting.append(pool.submit(scan.piece, piece))
            while len(waiting) > 4 * threads or (waiting and waiting[0].done()):
                take(waiting.popleft().result())
        for future in waiting:
            take(future.result())
        _edges(scan, result, progress, every)
        _decide(scan, result, singles, flagged, plateau_ends)
    result.flagged = len(flagged)
    result.seconds = time.perf_counter() - started
    result.cpu_seconds = time.process_time() - cpu
    return result


def _edges(scan: _Scanner, result: Result, progress: Progress, every: int) -> None:
    """Zeros, infinities and NaN, which N-5 decides."""
    function = FUNCTIONS[result.name]
    at_zero, at_inf, at_minus_inf = function.edges
    for word, want in ((0, at_zero), (0x80000000, at_zero), (POS_INF, at_inf), (NEG_INF, at_minus_inf)):
        _equal(result.name, word, int(scan.fast(word, word + 1)[0][0]), want)
        _equal(result.name, word, apply(Op[result.name], word), want)
    result.words += 4
    for first, end in _NANS:
        for start in range(first, end, _BLOCK * every):
            stop = min(start + _BLOCK, end)
            got, _ = scan.fast(start, stop)
            wrong = np.flatnonzero(got != np.uint32(NAN))
            if wrong.size:
                _equal(result.name, start + int(wrong[0]), int(got[wrong[0]]), NAN)
            result.words += stop - start
            progress(stop - start)


def _decide(
    scan: _Scanner, result: Result, singles: list[int], flagged: set[int], plateau_ends: set[int]
) -> None:
    """Hold words that one evaluation cannot decide against MPFR, and measure how near they come."""
    function = FUNCTIONS[result.name]
    distances: dict[int, Any] = {}
    result.near = len(singles)
    for word in [*singles, *sorted(flagged.difference(singles)), *plateau_ends]:
        exact = function.exact(mpfr(number(word)))
        want = rounded(exact)
        if gmpy2.is_finite(exact) and exact != 0:
            distances[word] = distance(exact)
        got, left = scan.fast(word, word + 1)
        if not left:
            _equal(result.name, word, int(got[0]), want)
        else:
            flagged.add(word)
            _equal(result.name, word, apply(Op[result.name], word), want)
    order = sorted(distances, key=lambda word: (distances[word], word))
    result.nearest = [(float(gmpy2.log2(distances[word])), word) for word in order[:HARDEST]]


def _equal(name: str, word: int, got: int, want: int) -> None:
    if got != want:
        raise MismatchError(
            f"{name} of 0x{word:08x} is 0x{want:08x}, not 0x{got:08x} as this version computes; "
            "nobody may train or replay with it until `gavel certify` passes"
        )
