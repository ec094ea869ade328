"""Ordinary image models in plain PyTorch: LeNet-5, ResNet-20, VGG-11, a vision transformer, an autoencoder.

Widths are arguments, so that tests train the same code in a fraction of a second. Nothing here knows of
gavel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class LeNet5(nn.Module):
    """LeCun et al. 1998, on 1 x side x side images; average pooling as in the paper, or max pooling."""

    def __init__(
        self,
        *,
        pooling: str = "average",
        channels: tuple[int, int] = (6, 16),
        units: tuple[int, int] = (120, 84),
        side: int = 28,
        classes: int = 10,
    ) -> None:
        super().__init__()
        pool = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}[pooling]
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(1, first, 5, padding=2),
            nn.Tanh(),
            pool(2),
            nn.Conv2d(first, second, 5),
            nn.Tanh(),
            pool(2),
        )
        edge = (side // 2 - 4) // 2
        self.classifier = nn.Sequential(
            nn.Linear(second * edge * edge, units[0]),
            nn.Tanh(),
            nn.Linear(units[0], units[1]),
            nn.Tanh(),
            nn.Linear(units[1], classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, classes] of images [batch, 1, side, side]."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm, and the input added (He et al. 2015)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.short = (
            nn.Identity()
            if stride == 1 and channels_in == channels
            else nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels_in, h, w] to [batch, channels, h / stride, w / stride]."""
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return F.relu(out + self.short(x))


class ResNet(nn.Module):
    """The CIFAR residual network: three stages of `blocks` blocks; ResNet-20 has 3 of 16, 32, 64 channels."""

    def __init__(self, *, blocks: int = 3, widths: Sequence[int] = (16, 32, 64), classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        stages: list[nn.Module] = []
        before = widths[0]
        for number, width in enumerate(widths):
            for block in range(blocks):
                stages.append(ResidualBlock(before, width, 2 if number and not block else 1))
                before = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, classes] of images [batch, 3, side, side]."""
        h = self.stages(self.stem(images))
        logits: Tensor = self.head(F.adaptive_avg_pool2d(h, 1).flatten(1))
        return logits


VGG11 = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")


class VGG(nn.Module):
    """Simonyan and Zisserman 2014, configuration A, with one linear layer as usual on 32 x 32 images."""

    def __init__(self, *, plan: Sequence[int | str] = VGG11, classes: int = 10, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for entry in plan:
            if isinstance(entry, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, entry, 3, padding=1), nn.ReLU(inplace=True)]
                channels = entry
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, classes] of images [batch, 3, 32, 32] (2 ** pools on each side)."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


class MobileBlocks(nn.Module):
    """Depthwise separable convolutions (Howard et al. 2017) and a grouped one."""

    def __init__(self, *, channels: int = 8, groups: int = 2, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, 2 * channels, 1)
        self.grouped = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=groups)
        self.norm = nn.GroupNorm(groups, 2 * channels)
        self.head = nn.Linear(2 * channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, classes] of images [batch, 3, side, side]."""
        h = F.hardswish(self.depthwise(F.relu6(self.stem(images))))
        h = F.silu(self.norm(self.grouped(self.pointwise(h))))
        logits: Tensor = self.head(h.mean((2, 3)))
        return logits


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. 2020: patches by a strided convolution, a class token, a torch encoder."""

    def __init__(
        self,
        *,
        side: int = 8,
        patch: int = 4,
        width: int = 16,
        heads: int = 2,
        layers: int = 1,
        classes: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, classes] of images [batch, 3, side, side]."""
        h = self.patches(images).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(h.shape[0], -1, -1), h], 1) + self.positions
        logits: Tensor = self.head(self.norm(self.encoder(h))[:, 0])
        return logits


class Autoencoder(nn.Module):
    """Strided convolutions down, transposed convolutions up."""

    def __init__(self, *, channels: tuple[int, int] = (8, 16)) -> None:
        super().__init__()
        first, second = channels
        self.encoder = nn.Sequential(
            nn.Conv2d(1, first, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(second, first, 3, stride=2, padding=1, output_padding=1),
            nn.ELU(),
            nn.ConvTranspose2d(first, 1, 4, stride=2, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """The logits of pixels, of the shape of images [batch, 1, side, side]."""
        rebuilt: Tensor = self.decoder(self.encoder(images))
        return rebuilt
