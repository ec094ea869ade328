"""Transformers from 10^4 to 10^9 parameters, and the trees and folds of a job that trains one with Adam.

A decoder with learned positions, tanh-GELU and pre-norm. The number of nodes and slots grows by a constant
with each layer, and every extent and fold is a product of widths. So shapes are computed: the constants from
captured descriptors of one and two layers, the products from the widths. Small models can be captured whole,
to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import nn

from protocol.job import Geometry
from protocol.numerics.opcodes import Fold
from protocol.program.program import Program
from prover.capture import capture

WORDS_OF_A_PAGE = 64
STEPS, STRIDE = 100_000, 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One transformer and its batch.

    Attributes:
        width: of the residual stream; heads: it is split into.
        vocabulary: tokens; length: of a row in tokens; batch: rows of a step.
    """

    width: int
    heads: int
    layers: int
    vocabulary: int
    length: int
    batch: int

    @property
    def parameters(self) -> int:
        """Weights, biases, gains, embeddings, and an output layer of its own."""
        w = self.width
        return self.layers * (12 * w * w + 13 * w) + 2 * w + (2 * self.vocabulary + self.length) * w

    @property
    def segment_operations(self) -> int:
        """Scalar operations of a segment: 6 for each parameter and token, forward and backward."""
        return 6 * self.parameters * self.batch * self.length * STRIDE

    @property
    def largest_tensor(self) -> int:
        """Words of the largest node or slot: logits, scores, a hidden layer or an embedding."""
        tokens = self.batch * self.length
        return max(
            tokens * self.vocabulary,
            tokens * self.heads * self.length,
            tokens * 4 * self.width,
            self.vocabulary * self.width,
            4 * self.width * self.width,
        )

    @property
    def longest_fold(self) -> int:
        """Terms of the longest sum of products: over tokens for gradients of weights, else over a width."""
        return max(self.batch * self.length, 4 * self.width, self.vocabulary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a dispute about a job depends on.

    Attributes:
        n_nodes, n_slots: of the program.
        largest_tensor: words of the largest node or slot; longest_fold: terms of the longest sum of products.
    """

    n_nodes: int
    n_slots: int
    largest_tensor: int
    longest_fold: int

    def geometry(self, *, fanout_log2: int, range_log2: int) -> Geometry:
        """Of a job of 100,000 steps, 127 to a segment, over a million rows."""
        return Geometry(
            n_nodes=self.n_nodes,
            n_slots=self.n_slots,
            n_inputs=24,
            n_rows=10**6,
            batch=8,
            steps=STEPS,
            stride=STRIDE,
            max_segments=63,
            tensor_height=pages_height(self.largest_tensor, WORDS_OF_A_PAGE),
            fanout_log2=fanout_log2,
            range_log2=range_log2,
            input_height=24,
        )


def pages_height(words: int, page: int) -> int:
    """Height of a tree over the pages of a tensor (C-5)."""
    return (-(-words // page) - 1).bit_length()


SIZES = (
    Size(width=16, heads=2, layers=2, vocabulary=96, length=32, batch=4),
    Size(width=48, heads=3, layers=3, vocabulary=160, length=64, batch=4),
    Size(width=128, heads=4, layers=4, vocabulary=1_024, length=128, batch=8),
    Size(width=320, heads=5, layers=6, vocabulary=4_096, length=256, batch=8),
    Size(width=768, heads=12, layers=12, vocabulary=16_384, length=512, batch=8),
    Size(width=1_792, heads=28, layers=24, vocabulary=16_384, length=1_024, batch=8),
)
"""About 10^4, 10^5, ..., 10^9 parameters."""


class _Block(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        w = size.width
        self.heads = size.heads
        self.first, self.second = nn.LayerNorm(w), nn.LayerNorm(w)
        self.qkv, self.out = nn.Linear(w, 3 * w), nn.Linear(w, w)
        self.up, self.down = nn.Linear(w, 4 * w), nn.Linear(4 * w, w)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, width = x.shape
        parts = self.qkv(self.first(x)).split(width, 2)
        q, k, v = (t.view(rows, length, self.heads, width // self.heads).transpose(1, 2) for t in parts)
        a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(nn.functional.gelu(self.up(self.second(x)), approximate="tanh"))


class Transformer(nn.Module):
    """Embeddings, blocks, a last norm, logits."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.tokens = nn.Embedding(size.vocabulary, size.width)
        self.positions = nn.Parameter(torch.zeros(size.length, size.width))
        self.blocks = nn.ModuleList([_Block(size) for _ in range(size.layers)])
        self.norm = nn.LayerNorm(size.width)
        self.logits = nn.Linear(size.width, size.vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [rows, length, vocabulary] of tokens [rows, length]."""
        x = self.tokens(tokens) + self.positions
        for block in self.blocks:
            x = block(x)
        return torch.as_tensor(self.logits(self.norm(x)))


def _loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())


@cache
def program_of(size: Size) -> Program:
    """Capture one training step; seconds to half a minute, by layers."""
    torch.manual_seed(1)
    rows = np.random.default_rng(1).integers(0, size.vocabulary, (2 * size.batch, size.length + 1))
    columns = {"tokens": rows[:, :-1], "next": rows[:, 1:]}
    return capture(
        module=Transformer(size),
        loss=_loss,
        optimizer=torch.optim.Adam,
        columns=columns,
        batch=size.batch,
        steps=2,
    ).program


def captured(size: Size) -> Shape:
    """The shape of the captured program."""
    program = program_of(size)
    products = [node for node in program.nodes if node.fold == Fold.SUM and len(node.leaves) > 1]
    return Shape(
        n_nodes=len(program.nodes),
        n_slots=len(program.slots),
        largest_tensor=max(*(node.extent for node in program.nodes), *_slot_words(program)),
        longest_fold=max(node.terms for node in products),
    )


def computed(size: Size) -> Shape:
    """The shape without a capture of its own."""
    small = replace(SIZES[0], layers=1)
    one, two = captured(small), captured(replace(small, layers=2))
    further = size.layers - 1
    return Shape(
        n_nodes=one.n_nodes + further * (two.n_nodes - one.n_nodes),
        n_slots=one.n_slots + further * (two.n_slots - one.n_slots),
        largest_tensor=size.largest_tensor,
        longest_fold=size.longest_fold,
    )


def _slot_words(program: Program) -> Iterator[int]:
    return (int(np.prod(slot.shape)) for slot in program.slots)
