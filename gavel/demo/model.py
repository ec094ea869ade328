"""An ordinary PyTorch training: a small classifier of the UCI handwritten digits that scikit-learn ships.

Nothing here knows of gavel but the last function, which hands the parts over.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gavel.setup import TrainingSetup

TEST_SHARE: Final = 0.2


class DigitClassifier(nn.Module):
    """64 pixels, one hidden layer of 64 units, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 64)
        self.output = nn.Linear(64, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits [batch, 10] of images [batch, 64]."""
        activation = torch.relu(self.hidden(pixels))
        logits: Tensor = self.output(activation)
        return logits


def digits() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return training images [1437, 64] (float32) and labels, test images [360, 64] and labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = (bunch.data / 16).astype(np.float32)
    labels = bunch.target.astype(np.int64)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_SHARE, random_state=0, stratify=labels
    )
    return train_images, train_labels, test_images, test_labels


def accuracy(module: nn.Module) -> float:
    """Return the share of test images that a module classifies rightly, in plain PyTorch."""
    _, _, images, labels = digits()
    with torch.no_grad():
        predicted = module(torch.from_numpy(images)).argmax(dim=1)
    return float((predicted == torch.from_numpy(labels)).float().mean())


def digits_classifier(seed: int = 0) -> TrainingSetup:
    """The main job, as `gavel job new gavel.demo.model:digits_classifier` opens it."""
    images, labels, _, _ = digits()
    torch.manual_seed(seed)
    return TrainingSetup(
        module=DigitClassifier(),
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam,
        columns={"pixels": images, "digit": labels},
    )
