"""The zoo by name: every entry a training setup, its batch, and the node that is most its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.zoo import text, vision
from gavel.setup import TrainingSetup

SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One training of the zoo.

    Attributes:
        setup: module, loss, optimizer, dataset and how they are used.
        batch: rows per step.
        characteristic: label (operator) and kind of its most characteristic node, as `gavel job show` and
            `prover.capture.result.kind` call them.
    """

    setup: TrainingSetup
    batch: int
    characteristic: tuple[str, str]


def images(rows: int, channels: int, side: int, classes: int = 10) -> dict[str, Any]:
    """Random pixels k / 16 and labels."""
    noise = np.random.default_rng(5)
    pixels = noise.integers(0, 17, (rows, channels, side, side)) / 16
    return {"image": pixels.astype(np.float32), "label": noise.integers(0, classes, rows)}


def tokens(rows: int, context: int, vocabulary: int) -> dict[str, Any]:
    """Random token ids and the ids that follow them."""
    ids = np.random.default_rng(6).integers(0, vocabulary, (rows, context + 1))
    return {"ids": ids[:, :-1].copy(), "next": ids[:, 1:].copy()}


def clipped(norm: float) -> Callable[[Any], object]:
    """Clipping by the global norm."""
    return functools.partial(nn.utils.clip_grad_norm_, max_norm=norm)


def _lenet(pooling: str, full: bool = False) -> Entry:
    small: dict[str, Any] = {} if full else {"channels": (2, 3), "units": (8, 6), "side": 12}
    return Entry(
        setup=TrainingSetup(
            module=vision.LeNet5(pooling=pooling, **small),
            loss=nn.CrossEntropyLoss(),
            optimizer=functools.partial(SGD, lr=0.05, momentum=0.9),
            columns=images(1000 if full else 8, 1, 28 if full else 12),
        ),
        batch=100 if full else 3,
        characteristic=("avg_pool2d", "SUM of words")
        if pooling == "average"
        else ("max_pool2d_with_indices", "MAX of words"),
    )


def _resnet(full: bool = False) -> Entry:
    small: dict[str, Any] = {} if full else {"widths": (2, 3, 4)}

    def decay(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)

    return Entry(
        setup=TrainingSetup(
            module=vision.ResNet(**small),
            loss=nn.CrossEntropyLoss(label_smoothing=0.1),
            optimizer=functools.partial(SGD, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
            columns=images(512 if full else 6, 3, 32 if full else 8),
            scheduler=decay,
        ),
        batch=128 if full else 2,
        characteristic=("native_batch_norm", "RSQRT"),
    )


def _vgg(full: bool = False) -> Entry:
    plan = vision.VGG11 if full else (2, "pool", 3, "pool", 3, 4, "pool", 4, 4, "pool", 4, 4, "pool")
    return Entry(
        setup=TrainingSetup(
            module=vision.VGG(plan=plan),
            loss=nn.CrossEntropyLoss(),
            optimizer=functools.partial(SGD, lr=0.01, momentum=0.9),
            columns=images(64 if full else 5, 3, 32),
        ),
        batch=16 if full else 2,
        characteristic=("convolution", "SUM of MUL"),
    )


def _mobile() -> Entry:
    return Entry(
        setup=TrainingSetup(
            module=vision.MobileBlocks(channels=4),
            loss=nn.CrossEntropyLoss(),
            optimizer=functools.partial(torch.optim.RMSprop, lr=0.01, momentum=0.5),
            columns=images(6, 3, 8),
        ),
        batch=2,
        characteristic=("convolution", "SUM of MUL"),
    )


def _gpt(full: bool = False, gelu: str = "tanh") -> Entry:
    sizes = {"vocabulary": 512, "context": 128, "width": 384, "heads": 6, "layers": 6}
    if not full:
        sizes = {"vocabulary": 11, "context": 5, "width": 8, "heads": 2, "layers": 2}
    module = text.GPT(**sizes, gelu=gelu, dropout=0.0 if full or gelu == "tanh" else 0.1)  # type: ignore[arg-type]
    decayed = [p for p in module.parameters() if p.dim() > 1]
    plain = [p for p in module.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    return Entry(
        setup=TrainingSetup(
            module=module,
            loss=text.token_loss,
            optimizer=AdamW(groups, lr=3e-4, betas=(0.9, 0.95)),
            columns=tokens(64 if full else 6, sizes["context"], sizes["vocabulary"]),
            after_backward=clipped(1.0),
        ),
        batch=8 if full else 2,
        characteristic=("_safe_softmax", "DIV") if gelu == "tanh" else ("gelu", "ERF"),
    )


def _padded_encoder() -> Entry:
    noise = np.random.default_rng(8)
    ids = noise.integers(1, 12, (6, 6))
    for row, length in enumerate((6, 4, 2, 5, 3, 6)):
        ids[row, length:] = 0
    return Entry(
        setup=TrainingSetup(
            module=text.PaddedEncoder(),
            loss=nn.CrossEntropyLoss(),
            optimizer=functools.partial(Adam, lr=0.01),
            columns={"ids": ids, "label": noise.integers(0, 3, 6)},
        ),
        batch=3,
        characteristic=("_safe_softmax", "EXP"),
    )


def _vit() -> Entry:
    return Entry(
        setup=TrainingSetup(
            module=vision.VisionTransformer(),
            loss=nn.CrossEntropyLoss(),
            optimizer=functools.partial(AdamW, lr=1e-3),
            columns=images(6, 3, 8),
        ),
        batch=2,
        characteristic=("native_layer_norm", "RSQRT"),
    )


def _recurrent(kind: str) -> Entry:
    return Entry(
        setup=TrainingSetup(
            module=text.RecurrentModel(kind),
            loss=text.token_loss,
            optimizer=functools.partial(Adam, lr=0.01),
            columns=tokens(6, 4, 11),
            after_backward=functools.partial(nn.utils.clip_grad_value_, clip_value=0.1),
        ),
        batch=2,
        characteristic=("sigmoid", "SIGMOID"),
    )


def _autoencoder() -> Entry:
    pictures = images(6, 1, 8)["image"]
    return Entry(
        setup=TrainingSetup(
            module=vision.Autoencoder(channels=(3, 4)),
            loss=nn.BCEWithLogitsLoss(),
            optimizer=functools.partial(Adam, lr=0.01),
            columns={"image": pictures},
            accumulate=2,
        ),
        batch=4,
        characteristic=("convolution", "SUM of MUL"),
    )


def _two_tower() -> Entry:
    noise = np.random.default_rng(9)
    users, items = 3000, 2000
    return Entry(
        setup=TrainingSetup(
            module=text.TwoTower(users=users, items=items, width=4),
            loss=text.in_batch_loss,
            optimizer=functools.partial(torch.optim.Adagrad, lr=0.1),
            columns={
                "user": noise.integers(0, users, 12),
                "seen": noise.integers(0, items, (12, 3)),
                "item": noise.integers(0, items, 12),
                "weight": np.ones(12, np.float32),
            },
        ),
        batch=4,
        characteristic=("embedding_dense_backward", "SUM of IEQ SELECT"),
    )


def _gpt2() -> Entry:
    return Entry(
        setup=TrainingSetup(
            module=text.gpt2(vocab_size=13, n_positions=6, n_embd=8, n_layer=1, n_head=2),
            loss=text.token_loss,
            optimizer=functools.partial(AdamW, lr=1e-3),
            columns=tokens(6, 5, 13),
        ),
        batch=2,
        characteristic=("bernoulli", "ILT"),
    )


def _bert() -> Entry:
    noise = np.random.default_rng(10)
    ids = noise.integers(1, 13, (6, 5))
    mask = np.ones((6, 5), np.int64)
    mask[1, 3:] = mask[4, 2:] = 0
    labels = np.where(noise.random((6, 5)) < 0.4, ids, -100)
    labels[:, 0] = ids[:, 0]
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    return Entry(
        setup=TrainingSetup(
            module=text.bert(vocab_size=13, max_position_embeddings=6, **sizes),
            loss=text.token_loss,
            optimizer=functools.partial(AdamW, lr=1e-3),
            columns={"ids": ids, "mask": mask, "labels": labels},
        ),
        batch=2,
        characteristic=("gelu", "ERF"),
    )


TINY: dict[str, Callable[[], Entry]] = {
    "lenet5-average": lambda: _lenet("average"),
    "lenet5-max": lambda: _lenet("max"),
    "resnet20": _resnet,
    "vgg11": _vgg,
    "mobile-blocks": _mobile,
    "gpt": _gpt,
    "gpt-exact-gelu": lambda: _gpt(gelu="none"),
    "padded-encoder": _padded_encoder,
    "vision-transformer": _vit,
    "lstm": lambda: _recurrent("lstm"),
    "gru": lambda: _recurrent("gru"),
    "autoencoder": _autoencoder,
    "two-tower": _two_tower,
    "hf-gpt2": _gpt2,
    "hf-bert": _bert,
}
"""Trainings small enough for the reference interpreter."""

FULL: dict[str, Callable[[], Entry]] = {
    "lenet5": lambda: _lenet("average", full=True),
    "resnet20": lambda: _resnet(full=True),
    "vgg11": lambda: _vgg(full=True),
    "gpt": lambda: _gpt(full=True),
}
"""Trainings of the sizes that speed is measured at."""


def tiny(name: str) -> Entry:
    """Return a small training of the zoo, always with the same weights."""
    torch.manual_seed(0)
    return TINY[name]()


def full(name: str) -> Entry:
    """Return a training of the zoo at the size that speed is measured at."""
    torch.manual_seed(0)
    return FULL[name]()
