"""Sums over the shares of all processes, exact, and rounded once (numerics.md, N-1, N-14; trainer.md, K-8).

Each process folds its own terms; what is exchanged are partial sums with what their roundings lost. They are
added and certified together, by every process alike. What is open then goes on: from the binary64 product to
TwoSum, from TwoSum to the terms themselves, which all processes add in the integer accumulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from prover.engine.codegen_sums import SumKernels
from prover.engine.device import DeviceProductStep
from prover.engine.folds import Nest
from prover.engine.layout import split
from prover.engine.partial_sums import finished, partial_kernels
from prover.engine.steps import TIER2, TIER3, Environment, Runtime, Step
from prover.engine.sums import exact_sum
from prover.sharding.group import Group

if TYPE_CHECKING:
    import torch

TERMS_MOST: Final = 1 << 22
"""Terms of all processes that are exchanged at a time."""

_NONE = np.empty(0, np.int64)


class GatherStep(Step):
    """The shares of all processes, one after the other."""

    def __init__(self, *, target: int, source: int, sizes: Sequence[int], group: Group) -> None:
        self.target = self.node = target
        self.reads = (source,)
        self._sizes, self._group = sizes, group

    def run(self, environment: Environment) -> None:
        environment[self.target] = np.concatenate(
            self._group.gathered(environment[self.reads[0]], self._sizes)
        )


class Fold:
    """Tiers 2 and 3 of one sum whose terms are shared.

    Attributes:
        terms: of all processes.
    """

    def __init__(
        self, nest: Nest, code: SumKernels, *, node: int, terms: int, runtime: Runtime, group: Group
    ) -> None:
        self._nest, self._code, self._node = nest, code, node
        self._runtime, self._group, self.terms = runtime, group, terms
        self._layout = nest.layout()
        self._partial = partial_kernels(code.code).over_terms("s" * len(nest.operands))

    def every(self, arrays: Sequence[Words]) -> Words:
        """The words of all outputs."""
        out = np.empty(self._nest.size, np.uint32)
        self._settle(out, arrays, np.arange(out.size, dtype=np.int64))
        return out

    def resolve(self, out: Words, arrays: Sequence[Words], positions: NDArray[np.int64]) -> None:
        """Write the outputs that the product's certificate left open."""
        self._runtime.flags[self._node, TIER2] += positions.size
        self._settle(out, arrays, positions)

    def _settle(self, out: Words, arrays: Sequence[Words], positions: NDArray[np.int64]) -> None:
        own = np.empty(3 * positions.size, np.float64)
        parts = split((positions.size,), self._runtime.threads)

        def work(part: int) -> None:
            start, stop = parts[part]
            mine = positions[start:stop]
            self._partial(own[3 * start : 3 * stop], *arrays, self._layout, mine, mine.size, _NONE)

        self._runtime.each(work, len(parts))
        all_parts = self._group.gathered(own, [own.size] * self._group.world)
        words, open_ = finished([p.reshape(-1, 3) for p in all_parts], self.terms * self._code.entries)
        out[positions] = words
        self._exactly(out, arrays, positions[open_])

    def _exactly(self, out: Words, arrays: Sequence[Words], positions: NDArray[np.int64]) -> None:
        if not positions.size:
            return
        self._runtime.flags[self._node, TIER3] += positions.size
        mine = self._nest.terms * self._code.entries
        (counts,) = zip(
            *self._group.gathered(np.array([mine], np.int64), [1] * self._group.world), strict=True
        )
        lengths = [int(count) for count in counts]
        together = max(TERMS_MOST // sum(lengths), 1)
        for start in range(0, positions.size, together):
            some = positions[start : start + together]
            terms = np.empty((some.size, mine), np.float64)
            for row, position in zip(terms, some, strict=True):
                self._code.exactly()(out, *arrays, self._layout, position.reshape(1), 1, row)
            sizes = [length * some.size for length in lengths]
            found = self._group.gathered(terms.reshape(-1), sizes)
            whole = np.concatenate([part.reshape(some.size, -1) for part in found], axis=1)
            for row, position in zip(whole, some, strict=True):
                out[position] = exact_sum(row, row.size)


class CombinedSum(Step):
    """A sum over all processes."""

    def __init__(self, *, target: int, nest: Nest, fold: Fold) -> None:
        self.target = self.node = target
        self.reads = tuple(operand.source for operand in nest.operands)
        self._fold = fold

    def run(self, environment: Environment) -> None:
        environment[self.target] = self._fold.every([environment[place] for place in self.reads])


class CombinedProduct(DeviceProductStep):
    """A sum of products over all processes.

    Their binary64 products are added, and certified with the norms of whole rows and columns: the bound is
    that of all terms in any order.
    """

    def __init__(
        self,
        *,
        target: int,
        nest: Nest,
        code: SumKernels,
        fold: Fold,
        runtime: Runtime,
        group: Group,
        device: torch.device,
    ) -> None:
        super().__init__(target=target, nest=nest, code=code, runtime=runtime, device=device)
        self._fold, self._group = fold, group
        self._bound_terms(fold.terms)

    def run(self, environment: Environment) -> None:
        out = np.empty(self._size, np.uint32)
        arrays = [environment[place] for place in self.reads]
        flagged = self._multiply(out, arrays)
        if flagged.size:
            self._fold.resolve(out, arrays, flagged)
        environment[self.target] = out

    def _added(self, *own: torch.Tensor) -> Sequence[torch.Tensor]:
        import torch

        flat = torch.cat([part.reshape(-1) for part in own]).cpu().numpy()
        parts = self._group.gathered(flat, [flat.size] * self._group.world)
        with np.errstate(all="ignore"):
            total = torch.from_numpy(sum(parts[1:], start=parts[0])).to(self._device)
        ends = np.cumsum([0, *(part.numel() for part in own)])
        spans = pairwise(ends.tolist())
        return [total[a:b].reshape(part.shape) for (a, b), part in zip(spans, own, strict=True)]
