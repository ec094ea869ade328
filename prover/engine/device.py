"""Sums of products by torch, in binary64 on a device of its choice, certified there (numerics.md, N-14).

The same code runs on "cpu" and on "cuda": operands are gathered by address tables into matrices, one matrix
product gives all sums, and the certificate is evaluated beside it. What it leaves open goes to the exact
tiers on the processor, so a device can cost time, never a bit. Torch may sum in any order, fused or not; the
bound holds for all of that, but not for algorithms that are no sums of rounded products (`check_device`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from protocol.commitments.canonical import Words
from protocol.errors import UnsupportedError, UsageError
from prover.engine.codegen_sums import SumKernels
from prover.engine.folds import Nest, TwoSum
from prover.engine.layout import row_major
from prover.engine.products import Offsets, offsets_of, output_groups
from prover.engine.steps import Environment, Runtime, Step

if TYPE_CHECKING:
    import torch

GATHERED_MOST: Final = 1 << 24
"""Binary64 numbers of one operand that are gathered at a time: 128 MiB."""

EMULATION: Final = ("CUBLAS_EMULATE_DOUBLE_PRECISION", "CUBLAS_EMULATION_STRATEGY")
"""Variables that let cuBLAS make binary64 products of narrower ones, for which the bound does not hold."""

_UNIT: Final = 2.0**-53


@cache
def check_device(name: str) -> torch.device:
    """Return the device, checked: there, binary64, subnormals kept, exact where every partial sum is.

    Args:
        name: as torch names it, "cpu", "cuda", "cuda:1".

    Raises:
        UsageError: torch knows no such device, or there is none here.
        UnsupportedError: it computes something else than IEEE binary64.
    """
    import torch

    try:
        device = torch.device(name)
        probe = torch.tensor([2.0**-149, 2.0**-126], dtype=torch.float32, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"there is no device {name!r} for torch here ({reason}); name one that there is, or leave it out "
            "and the processor does everything"
        ) from None
    refuse_emulation(device.type)
    half = (probe.double() * 0.5).float()
    # 2^26 + 1 squared needs all 53 bits, and sums of such products cancel to the last one.
    left = torch.tensor([[2.0**26 + 1.0, 1.0]], dtype=torch.float64, device=device)
    right = torch.tensor([[2.0**26 + 1.0], [-(2.0**52)]], dtype=torch.float64, device=device)
    kept = half.view(torch.int32).tolist() == [0, 0x00400000]
    exact = torch.matmul(left, right).item() == 2.0**27 + 1.0
    if not (kept and exact):
        raise UnsupportedError(
            f"device {name!r} does not compute IEEE binary64 with subnormals, so its products could not be "
            "certified (N-1); leave it out and the processor does everything"
        )
    return device


def refuse_emulation(kind: str) -> None:
    """Check that cuBLAS computes binary64 products as such.

    Args:
        kind: type of a device.

    Raises:
        UnsupportedError: it is told to emulate them.
    """
    if kind == "cuda" and any(os.environ.get(variable, "0") not in {"", "0"} for variable in EMULATION):
        raise UnsupportedError(
            f"cuBLAS is told to emulate binary64 ({' or '.join(EMULATION)}), and no bound holds then; unset "
            "the variable and run again"
        )


class DeviceProductStep(Step):
    """A sum of products of two operands, as `ProductStep` but on a device of torch."""

    def __init__(
        self, *, target: int, nest: Nest, code: SumKernels, runtime: Runtime, device: torch.device
    ) -> None:
        """Make the address tables.

        Args:
            nest: as `ProductStep.eligible` accepts it.
            device: checked by `check_device`.
        """
        self.target = self.node = target
        self.reads = tuple(operand.source for operand in nest.operands)
        self._size, self._device = nest.size, device
        sizes, members = output_groups(nest, 0)
        left, right = nest.operands

        def table(group: int, strides: Sequence[int], start: int = 0) -> Offsets:
            return offsets_of(sizes[group], [strides[j] for j in members[group]], start)

        dense = row_major(nest.out)
        self._batch = (table(0, left.outer, left.offset), table(0, right.outer, right.offset))
        self._lines = (table(1, left.outer), table(2, right.outer))
        self._inner = (offsets_of(nest.reduce, left.inner), offsets_of(nest.reduce, right.inner))
        self._out = (table(0, dense), table(1, dense), table(2, dense))
        self._bound_terms(nest.terms)
        self._two_sum = TwoSum(nest, code, target, runtime)

    def _bound_terms(self, terms: int) -> None:
        """As `tiles.multiply` says of its factor, with all terms in one chain."""
        self._terms = terms
        self._factor = (terms + 2) * _UNIT * (1.0 + (4 * terms + 16) * _UNIT)

    def _added(self, *own: torch.Tensor) -> Sequence[torch.Tensor]:
        """Sums over all of the terms; these are all, but where processes share them."""
        return own

    def run(self, environment: Environment) -> None:
        out = np.empty(self._size, np.uint32)
        arrays = [environment[place] for place in self.reads]
        flagged = self._multiply(out, arrays)
        if flagged.size:
            self._two_sum.resolve(out, arrays, flagged)
        environment[self.target] = out

    def _multiply(self, out: Words, arrays: Sequence[Words]) -> Offsets:
        """Write the outputs; return the places of those that are not certified."""
        import torch

        numbers = [torch.from_numpy(words.view(np.float32)).to(self._device) for words in arrays]
        found = []
        for batch, columns in _pieces(self._batch[1].size, self._lines[1].size, self._terms):
            right = self._gathered(1, numbers[1], batch, columns)
            for within, rows in _pieces(batch.stop - batch.start, self._lines[0].size, self._terms):
                own = slice(batch.start + within.start, batch.start + within.stop)
                left = self._gathered(0, numbers[0], own, rows)
                words, open_ = self._certified(left, right[within])
                places = (
                    self._out[0][own, None, None] + self._out[1][rows, None] + self._out[2][None, columns]
                )
                out[places] = words.cpu().numpy().view(np.uint32)
                found.append(places[open_.cpu().numpy()])
        return np.concatenate(found)

    def _gathered(self, side: int, numbers: torch.Tensor, batch: slice, lines: slice) -> torch.Tensor:
        """float64[matrices, rows or columns, terms] of one operand."""
        import torch

        addresses = (
            self._batch[side][batch, None, None] + self._lines[side][lines, None] + self._inner[side][None, :]
        )
        flat = torch.from_numpy(addresses.reshape(-1)).to(self._device)
        return numbers.index_select(0, flat).double().reshape(addresses.shape)

    def _certified(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """int32 words and what is open of every element, both [matrices, rows, columns]."""
        import torch

        squares = [side.square().sum(dim=2) for side in (left, right)]
        total, *squares = self._added(torch.bmm(left, right.transpose(1, 2)), *squares)
        norms = [side.sqrt() for side in squares]
        e = (norms[0] * self._factor)[:, :, None] * norms[1][:, None, :]
        low, high = (total - e).float(), (total + e).float()
        # -0 becomes +0 (N-2); equal ends prove the value, and NaN is equal to nothing.
        words = (low + 0.0).view(torch.int32)
        open_ = low != high
        empty = open_ & (total == 0.0) & e.isfinite()
        if bool(empty.any()):
            # Sums all of whose products are zero are exactly +0, though their bound is not zero.
            own = torch.bmm((left != 0.0).double(), (right != 0.0).double().transpose(1, 2))
            (products,) = self._added(own)
            empty &= products == 0.0
            words = words.masked_fill(empty, 0)
            open_ = open_ & ~empty
        return words, open_


def _pieces(matrices: int, lines: int, terms: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of matrices and of their lines, so that few enough numbers are gathered at a time."""
    most_lines = max(GATHERED_MOST // terms, 1)
    together = max(most_lines // lines, 1)
    for matrix in range(0, matrices, together):
        own = slice(matrix, min(matrix + together, matrices))
        for line in range(0, lines, most_lines):
            yield own, slice(line, min(line + most_lines, lines))
