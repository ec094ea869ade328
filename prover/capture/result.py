"""What a capture gives: the program, its inputs and initial state, and how to read them as tensors again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from protocol.commitments.canonical import Words
from protocol.errors import MismatchError
from protocol.numerics.opcodes import Fold, Op
from protocol.program.descriptor import CARRIED, Node, Source
from protocol.program.program import Program
from prover.capture.views import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A training as a job needs it.

    Attributes:
        program: one training step.
        inputs: flat uint32 words: link table, dataset columns, constants, step table [T, k].
        state: flat uint32 words of the initial state in slot order: parameters, buffers, optimizer state.
        manifest: names, shapes, dtypes and versions, of JSON types only; not part of the descriptors.
        gradients: per parameter name where its gradient stands.
        batch: per column name where the rows of the step stand; None for a column that the step does not
            read.
        loss: where the loss stands.
        n_parameters, n_buffers: how many of the first slots are parameters, and then buffers.
    """

    program: Program
    inputs: tuple[Words, ...]
    state: tuple[Words, ...]
    manifest: dict[str, Any]
    gradients: Mapping[str, View]
    batch: Mapping[str, View]
    loss: View
    n_parameters: int
    n_buffers: int

    def read(self, view: View, nodes: Sequence[Words], state: Sequence[Words] | None = None) -> NDArray[Any]:
        """Return a tensor in shape: float32, or int32 for integers.

        Args:
            nodes: outputs of all nodes of a step, flat uint32.
            state: slots before the step; needed only for views of the state.
        """
        sources: dict[Source, Sequence[Words]] = {
            Source.NODE: nodes,
            Source.STATE: self.state if state is None else state,
            Source.INPUT: self.inputs,
        }
        words = sources[view.source][view.source_id]
        return np.asarray(words[view.addresses()]).view(
            np.float32 if view.dtype.is_floating_point else np.int32
        )


def next_state(captured: Captured, nodes: Sequence[Words], state: Sequence[Words]) -> list[Words]:
    """Return the slots after a step from the outputs of its nodes (P-9)."""
    links = captured.program.links
    return [state[slot] if link == CARRIED else nodes[link] for slot, link in enumerate(links)]


def load_state(captured: Captured, module: nn.Module, words: Sequence[Words]) -> None:
    """Write the parameters and buffers of a state into an ordinary module, in place.

    Args:
        module: of the captured architecture; its optimizer keeps working, as the tensors stay the same
            objects.
        words: a state in slot order, flat uint32.

    Raises:
        MismatchError: a name, shape or dtype is not what was captured.
    """
    tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    slots = captured.manifest["slots"][: captured.n_parameters + captured.n_buffers]
    names = {slot["name"] for slot in slots}
    if names != set(tensors):
        raise MismatchError(
            f"the module has {sorted(set(tensors) ^ names)} where the captured one has not, or the other "
            "way round; load into a module of the same architecture"
        )
    found = {name: (list(t.shape), str(t.dtype)) for name, t in tensors.items()}
    for slot, array in zip(slots, words, strict=False):
        if found[slot["name"]] != (slot["shape"], slot["dtype"]) or array.size != math.prod(slot["shape"]):
            raise MismatchError(
                f"{slot['name']}: captured as {slot['dtype']}{slot['shape']}, the module has "
                f"{found[slot['name']]} and the state {array.size} words; load into the captured "
                "architecture"
            )
    with torch.no_grad():
        for slot, array in zip(slots, words, strict=False):
            tensors[slot["name"]].copy_(tensor_of(array, slot["shape"], slot["dtype"]))


def tensor_of(words: Words, shape: Sequence[int], dtype: str) -> Tensor:
    """Return words as a torch tensor of a dtype given by its name (``"torch.float32"``)."""
    real = dtype == "torch.float32"
    values = torch.from_numpy(words.copy().view(np.float32 if real else np.int32)).reshape(tuple(shape))
    kind: torch.dtype = getattr(torch, dtype.removeprefix("torch."))
    return values.to(kind)


def descriptor_bytes(captured: Captured) -> bytes:
    """Return the canonical bytes of all descriptors, in order (P-2)."""
    return b"".join(node.encode() for node in captured.program.nodes)


def summary(captured: Captured) -> list[str]:
    """Return lines for people: how many nodes of each kind, how large state and inputs are."""
    program = captured.program
    kinds = Counter(kind(node) for node in program.nodes)
    words = sum(spec.extent for spec in program.slots)
    data = sum(spec.extent for spec in program.inputs)
    terms = sum(node.extent * node.terms for node in program.nodes)
    lines = [
        f"{len(program.nodes)} nodes, {terms:,} terms, largest tensor {program.largest_extent:,} words",
        f"{len(program.slots)} slots, {words:,} words; {len(program.inputs)} inputs, {data:,} words",
    ]
    lines += [f"{count:5d} {kind}" for kind, count in sorted(kinds.items(), key=lambda kv: (-kv[1], kv[0]))]
    return lines


def kind(node: Node) -> str:
    """Return the fold and the primitives of a node by their names, for people."""
    ops = " ".join(Op(byte).name for byte in node.code if byte > Op.LEAF3)
    fold = Fold(node.fold)
    return ops if fold is Fold.NONE else f"{fold.name} of {ops or 'words'}"
