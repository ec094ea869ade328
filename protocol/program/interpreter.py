"""The reference interpreter: any single element of any node from its definition (program.md).

Slow and plain: it computes one word at a time with exact integers, for toy programs, for the one word that a
dispute ends at, and as the oracle of the fast engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import page_count
from protocol.commitments.tree import height
from protocol.errors import UsageError
from protocol.numerics.accumulator import EMPTY, Accumulator
from protocol.program import evaluation
from protocol.program.address import extent, n_ranges, range_length
from protocol.program.descriptor import Source
from protocol.program.evaluation import StepContext
from protocol.program.program import Program


class Tensors(Protocol):
    """Tensors by number, each flat uint32; a list, or anything that makes them when asked."""

    def __getitem__(self, number: int, /) -> Words: ...


class Interpreter:
    """One program with its inputs and its schedule.

    Args of the methods: `step` counts from the start of the job, `state` holds the slots before the step,
    `nodes` at least the outputs of those nodes in this step that the asked node reads.
    """

    def __init__(
        self,
        program: Program,
        *,
        inputs: Sequence[Words],
        seed: bytes,
        n_rows: int,
        batch: int,
        range_log2: int = 6,
    ) -> None:
        """Bind a program to its inputs.

        Args:
            inputs: flat uint32 words of every input of the program, input 0 being the link table (P-9).
            seed: 32 bytes; n_rows, batch: rows of the dataset and of one step (P-7).
            range_log2: of the job, for the lengths of ranges (P-12).

        Raises:
            UsageError: the number or the length of the inputs is not what the program says.
        """
        expected = [spec.extent for spec in program.inputs]
        if [words.size for words in inputs] != expected:
            raise UsageError(
                f"inputs of {[words.size for words in inputs]} words do not fit the program, "
                f"which takes {expected}; give every input, the link table first"
            )
        self.program = program
        self.inputs = inputs
        self.seed = seed
        self.n_rows = n_rows
        self.batch = batch
        self.range_log2 = range_log2
        self.tensor_height = tensor_height(program)
        self.input_height = input_height(program)

    def context(self, step: int) -> StepContext:
        """Return what an element of this step depends on besides its operands."""
        return StepContext(
            step=step,
            seed=self.seed,
            n_rows=self.n_rows,
            batch=self.batch,
            n_slots=len(self.program.slots),
            n_inputs=len(self.program.inputs),
            tensor_height=self.tensor_height,
            input_height=self.input_height,
        )

    def word(self, step: int, node: int, index: int, *, state: Tensors, nodes: Tensors) -> int:
        """Return one output word of one node, computed by itself."""
        read = _ArrayReader(nodes, state, self.inputs)
        return evaluation.word(self.program.nodes[node], node, index, self.context(step), read)

    def accumulators(
        self, step: int, node: int, index: int, *, state: Tensors, nodes: Tensors
    ) -> list[Accumulator]:
        """Return the R + 1 prefix accumulators of one word's fold, the first empty (C-12)."""
        descriptor = self.program.nodes[node]
        length = range_length(descriptor, self.range_log2)
        context = self.context(step)
        read = _ArrayReader(nodes, state, self.inputs)
        prefixes = [EMPTY]
        for i in range(n_ranges(descriptor, self.range_log2)):
            terms = range(i * length, min((i + 1) * length, descriptor.terms))
            prefixes.append(
                evaluation.accumulate(
                    descriptor, node, index, terms=terms, start=prefixes[-1], context=context, read=read
                )
            )
        return prefixes

    def node_words(self, step: int, node: int, *, state: Tensors, nodes: Tensors) -> Words:
        """Return the whole output of one node, flat uint32."""
        context = self.context(step)
        read = _ArrayReader(nodes, state, self.inputs)
        descriptor = self.program.nodes[node]
        words = [
            evaluation.word(descriptor, node, index, context, read)
            for index in range(extent(descriptor, self.tensor_height))
        ]
        return np.array(words, dtype=np.uint32)

    def run_step(self, state: Sequence[Words], step: int) -> tuple[list[Words], list[Words]]:
        """Return the outputs of all nodes and the slots after the step, each flat uint32 (P-9)."""
        nodes: list[Words] = []
        for node in range(len(self.program.nodes)):
            nodes.append(self.node_words(step, node, state=state, nodes=nodes))
        after = [
            nodes[link] if link < len(nodes) else state[slot] for slot, link in enumerate(self.program.links)
        ]
        return nodes, after


def tensor_height(program: Program) -> int:
    """Return H: the height that the program's largest node output or slot needs (C-5)."""
    return height(max(page_count(program.largest_extent), 1))


def input_height(program: Program) -> int:
    """Return I: the height that the program's largest input needs (C-5)."""
    return height(max(page_count(program.largest_input), 1))


class _ArrayReader:
    """Reads operands from arrays, zero past their end (C-5)."""

    def __init__(self, nodes: Tensors, state: Tensors, inputs: Tensors) -> None:
        self._sources = (nodes, state, inputs)

    def __call__(self, leaf: int, source: Source, source_id: int, flat: int) -> int:
        """Return the word of the tensor; `leaf` plays no part."""
        del leaf
        words = self._sources[source][source_id]
        return int(words[flat]) if flat < words.size else 0
