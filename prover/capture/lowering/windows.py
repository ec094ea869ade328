"""Addresses of windows: bounds, and exact division with the stride (program.md, P-4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.program.descriptor import Leaf
from prover.capture.views import Shape, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How windows of a kernel lie over an input: in = out * stride + tap * dilation - padding."""

    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape

    @classmethod
    def of(
        cls,
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int] = (1,),
    ) -> Windows:
        """Return windows; stride, padding and dilation are one number for all dimensions, or one each."""
        n = len(kernel)

        def full(values: Sequence[int]) -> Shape:
            return tuple(values) * n if len(values) == 1 else tuple(values)

        return cls(
            kernel=tuple(kernel),
            stride=full(stride or kernel),
            padding=full(padding),
            dilation=full(dilation),
        )

    @property
    def rank(self) -> int:
        """Dimensions that windows have."""
        return len(self.kernel)


Row = tuple[int, dict[int, int], int]
"""One dimension of an address: offset, stride by loop, divisor."""


def window_leaf(view: View, rows: Sequence[Row], loops: int, fill: int = 0) -> Leaf:
    """Operand leaf over a dense view, one row per dimension."""
    return Leaf(
        source=view.source,
        source_id=view.source_id,
        fill=fill,
        offsets=tuple(offset for offset, _, _ in rows),
        sizes=view.shape,
        divisors=tuple(divisor for _, _, divisor in rows),
        strides=tuple(tuple(by.get(j, 0) for j in range(loops)) for _, by, _ in rows),
    )


def gathering(w: Windows, out: int, taps: int) -> list[Row]:
    """Input positions of windows: loops `out`.. walk windows, loops `taps`.. the kernel."""
    return [(-w.padding[d], {out + d: w.stride[d], taps + d: w.dilation[d]}, 1) for d in range(w.rank)]


def spreading(w: Windows, position: int, taps: int) -> list[Row]:
    """Windows that hold an input position at a tap, by exact division with the stride."""
    return [(w.padding[d], {position + d: 1, taps + d: -w.dilation[d]}, w.stride[d]) for d in range(w.rank)]


def walked(*loops: int) -> list[Row]:
    """Dimensions that a loop each walks."""
    return [(0, {j: 1}, 1) for j in loops]
