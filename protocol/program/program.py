"""A program and what surrounds it: slots, inputs, links (program.md, P-8 to P-11)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from protocol.program.descriptor import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A named tensor of words.

    Attributes:
        name: unique among its kind.
        shape: sizes of the dimensions; the extent is their product (1 for a scalar).
        dtype: ``"f32"`` or ``"i32"``; only canonicalisation and loading into PyTorch depend on it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def extent(self) -> int:
        """Number of words."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The graph of one training step.

    Attributes:
        nodes: in order; node k reads only nodes before it.
        labels: one per node, for people: operator and place in the user's code; not committed.
        slots: the state, in commitment order (P-10).
        inputs: input 0 is the link table, then dataset columns, constants, step tables (C-7).
        links: per slot the node whose output is its next value, or `CARRIED` (P-9).
        loss: node whose output is the loss of the step, for reports.
    """

    nodes: tuple[Node, ...]
    labels: tuple[str, ...]
    slots: tuple[TensorSpec, ...]
    inputs: tuple[TensorSpec, ...]
    links: tuple[int, ...]
    loss: int

    @property
    def largest_extent(self) -> int:
        """Words of the largest node output or slot; it sets the height H (C-5)."""
        return max([*(slot.extent for slot in self.slots), *(node.extent for node in self.nodes)])

    @property
    def largest_input(self) -> int:
        """Words of the largest input; it sets the height I (C-5)."""
        return max(tensor.extent for tensor in self.inputs)
