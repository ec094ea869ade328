"""Sums that are not finished yet: what one process has of a fold that several share (numerics.md, N-14)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from prover.engine.codegen import indent
from prover.engine.codegen_sums import SumKernels

Numbers = NDArray[np.float64]


class PartialKernels(SumKernels):
    """As `SumKernels`, but ``out`` is float64 and receives three numbers per output instead of a word.

    They are the sum, the sum of the error terms of its additions, and that of their magnitudes. Only
    `over_terms` is of use. Outputs are numbered as listed.
    """

    def _one_by_one(self, start: str, body: str, *, more: int = 0) -> str:
        del more
        body += "out[3 * n] = s0\nout[3 * n + 1] = e0\nout[3 * n + 2] = m0\n"
        loop = "whole_node = count < 0\ntotal = rows if whole_node else count\nfor n in range(total):\n"
        loop += "    o = np.int64(n)\n    if not whole_node:\n        o = index[n]\n    left = o\n"
        loop += indent(self._locate("n_out - 1") + body, 4) + "return flags\n"
        return f"\n@kernel\ndef run(out, {self._arguments}layout, index, count, flagged):\n" + indent(
            self._start() + start + loop, 4
        )


@cache
def partial_kernels(code: bytes) -> PartialKernels:
    """The kernels of a renumbered sum code."""
    return PartialKernels(code)


def finished(parts: Sequence[Numbers], terms: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Add up the parts of all processes and round once; return words, and which of them are open.

    The parts' sums are added by TwoSum like any other terms, so that the whole is what `sums.finish_sum`
    takes: a sum, and error terms whose exact sum is missing from it. Its bound is used, with as many more
    additions.

    Args:
        parts: float64[n, 3] per process, as the kernels leave them.
        terms: additions of all processes together, at least.
    """
    total, errors, sizes = (np.zeros(parts[0].shape[0]) for _ in range(3))
    with np.errstate(all="ignore"):
        for part in parts:
            new = part[:, 0]
            after = total + new
            back = after - total
            error = (total - (after - back)) + (new - back)
            total, errors, sizes = after, errors + part[:, 1] + error, sizes + part[:, 2] + np.abs(error)
        c = total + errors
        bound = (terms + 4.0 * len(parts) + 16.0) * 2.0**-52 * sizes + 2.0**-51 * np.abs(c)
        low, high = (c - bound).astype(np.float32), (c + bound).astype(np.float32)
        exact = (sizes == 0.0) | ~np.isfinite(total)
        values = np.where(exact, total.astype(np.float32), low)
    return canonical(values), ~exact & (low != high)


def canonical(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Words of numbers: one zero and one NaN (N-2, N-3)."""
    words = (values + np.float32(0.0)).view(np.uint32)
    return np.where(np.isnan(values), np.uint32(0x7FC00000), words).astype(np.uint32)
