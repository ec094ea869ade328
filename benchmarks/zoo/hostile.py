"""A training built so that no certificate holds, and an ordinary one of the same shapes (T-48).

Each sum of the hostile one is 1 + 2^-24 and then some 2^-80 more: halfway between two binary32 numbers but
for what binary64 cannot hold beside 1. A bound that is not zero straddles the tie, so the binary64 product
leaves it open, and so does TwoSum, whose error terms do not vanish: every element needs the integer
accumulator. No term is zero, which would be skipped, and the learning rate is so small that it stays so.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.zoo.setups import Entry
from gavel.setup import TrainingSetup

WIDTH, BATCH = 512, 128


def pattern(count: int) -> NDArray[np.float32]:
    """float32[count] whose exact sum lies just above a tie."""
    numbers = np.full(count, 2.0**-80, np.float32)
    numbers[:2] = 1.0, 2.0**-24
    return numbers


def weighted_sum(out: Tensor, target: Tensor) -> Tensor:
    """A loss whose gradient with respect to the output is the target."""
    return (out * target).sum()


def hostile(width: int = WIDTH, batch: int = BATCH) -> Entry:
    """A linear layer whose outputs and whose weights' gradients are all near ties."""
    targets = np.repeat(pattern(batch)[:, None], width, axis=1)
    return _layer(np.ones((batch, width), np.float32), targets, np.tile(pattern(width), (width, 1)))


def ordinary(width: int = WIDTH, batch: int = BATCH) -> Entry:
    """The same layer on random numbers."""
    noise = np.random.default_rng(12)
    drawn = [
        noise.standard_normal(shape).astype(np.float32) for shape in [(batch, width)] * 2 + [(width,) * 2]
    ]
    return _layer(*drawn)


def _layer(inputs: NDArray[np.float32], targets: NDArray[np.float32], weights: NDArray[np.float32]) -> Entry:
    module = nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weights))
    return Entry(
        setup=TrainingSetup(
            module=module,
            loss=weighted_sum,
            optimizer=functools.partial(torch.optim.SGD, lr=1e-30),
            columns={"x": inputs, "y": targets},
        ),
        batch=inputs.shape[0],
        characteristic=("mm", "SUM of MUL"),
    )
