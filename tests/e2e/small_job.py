"""A small training and a cheat at it, for processes that import them by name."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gavel.demo.cheat import corrupt_logits
from gavel.setup import TrainingSetup
from protocol.game.trace import Hooks
from protocol.job_folder import JobFolder

CHEATED_SEGMENT = 3


def setup() -> TrainingSetup:
    """A regression with one hidden layer, half the squared error, SGD with momentum."""
    generator = np.random.default_rng(7)
    inputs = generator.normal(size=(96, 48)).astype(np.float32)
    targets = np.maximum(inputs @ generator.normal(size=(48, 3)).astype(np.float32), 0)
    torch.manual_seed(7)

    def half_squared_error(output: Tensor, target: Tensor) -> Tensor:
        return ((output - target) ** 2).sum() * (0.5 / 16)

    return TrainingSetup(
        module=nn.Sequential(nn.Linear(48, 40), nn.ReLU(), nn.Linear(40, 3)),
        loss=half_squared_error,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.001, momentum=0.9),
        columns={"inputs": inputs, "targets": targets.astype(np.float32)},
    )


def cheat(folder: JobFolder) -> Hooks:
    """One partial sum of one output of the last layer, in the fourth segment."""
    return corrupt_logits(folder, segment=CHEATED_SEGMENT, word=5)
