"""From collected nodes to a program: what nothing needs goes, the rest is numbered (lowering.md, L-4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from protocol.commitments.canonical import Words
from protocol.program.descriptor import CARRIED, Leaf, LeafKind, Node, Source
from protocol.program.program import Program, TensorSpec
from prover.capture.builder import STEP_TABLE, Builder
from prover.capture.views import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """A finished program with its inputs.

    Attributes:
        inputs: flat uint32 words, input 0 the link table (P-9).
        views: the tensors that were asked to be kept, renumbered.
    """

    program: Program
    inputs: tuple[Words, ...]
    views: tuple[View | None, ...]


def link_view(builder: Builder, view: View, slot: int) -> int:
    """Return the provisional node that is the slot's next value, or `CARRIED`; may add a copy."""
    if view.source is Source.STATE and view.source_id == slot and view.is_dense:
        return CARRIED
    if view.source is Source.NODE and view.is_dense:
        return view.source_id
    return builder.copy(view).source_id


def finish(
    builder: Builder,
    *,
    slots: Sequence[TensorSpec],
    links: Sequence[int],
    loss: int,
    kept_inputs: int,
    keep: Sequence[View | None],
) -> Emitted:
    """Number what the links, the loss and the kept views need.

    Args:
        links: provisional nodes per slot, or `CARRIED`.
        kept_inputs: the first inputs (link table and columns) stay even if nothing reads them.
        keep: views whose nodes stay.
    """
    roots = [n for n in links if n != CARRIED] + [loss]
    roots += [v.source_id for v in keep if v is not None and v.source is Source.NODE]
    needed = _closure(builder.nodes, roots)
    order = sorted(needed)
    nodes = {old: new for new, old in enumerate(order)}
    read = {
        leaf.source_id
        for n in order
        for leaf in builder.nodes[n].leaves
        if leaf.source is Source.INPUT and _reads(leaf)
    }
    read |= {v.source_id for v in keep if v is not None and v.source is Source.INPUT}
    used = [i for i in range(len(builder.specs)) if i < kept_inputs or i in read]
    used.sort(key=lambda i: builder.specs[i].name == STEP_TABLE)  # columns, constants, then the table (C-7)
    inputs = {old: new for new, old in enumerate(used)}
    maps = {Source.NODE: nodes, Source.INPUT: inputs}

    def renumbered(leaf: Leaf) -> Leaf:
        if not _reads(leaf) or leaf.source is Source.STATE:
            return leaf
        return replace(leaf, source_id=maps[leaf.source][leaf.source_id])

    table = [link if link == CARRIED else nodes[link] for link in links]
    specs = [builder.specs[i] for i in used]
    specs[0] = TensorSpec(name="links", shape=(len(links),), dtype="i32")
    program = Program(
        nodes=tuple(
            replace(builder.nodes[n], leaves=tuple(renumbered(leaf) for leaf in builder.nodes[n].leaves))
            for n in order
        ),
        labels=tuple(builder.labels[n] for n in order),
        slots=tuple(slots),
        inputs=tuple(specs),
        links=tuple(table),
        loss=nodes[loss],
    )
    words = [builder.words[i] for i in used]
    words[0] = np.array(table, dtype=np.uint32)
    views = tuple(
        v if v is None or v.source is Source.STATE else replace(v, source_id=maps[v.source][v.source_id])
        for v in keep
    )
    return Emitted(program=program, inputs=tuple(words), views=views)


def slot_dtype(dtype: torch.dtype) -> str:
    """Return the dtype of a tensor spec for a torch dtype."""
    return "f32" if dtype == torch.float32 else "i32"


def _reads(leaf: Leaf) -> bool:
    return leaf.kind is LeafKind.OPERAND


def _closure(nodes: Sequence[Node], roots: Sequence[int]) -> set[int]:
    found: set[int] = set()
    stack = list(roots)
    while stack:
        number = stack.pop()
        if number in found:
            continue
        found.add(number)
        stack += [
            leaf.source_id for leaf in nodes[number].leaves if _reads(leaf) and leaf.source is Source.NODE
        ]
    return found
