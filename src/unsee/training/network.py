"""The face recogniser's network: a small residual convolutional net, photo to unit vector. Imports torch, so import it late."""

from __future__ import annotations

import torch
from torch import nn


class _Halving(nn.Module):
    """Two 3 × 3 convolutions with batch norm, and a shortcut; the sides are halved.

    The shortcut is averaged, then convolved (ResNet-D, arXiv 1812.01187, section 4.2). The plain way, a 1 × 1 convolution of
    stride 2, writes beyond its buffer in backward passes on CPUs where it has fewer than 16 channels (oneDNN issue 6035).
    """

    def __init__(self, wide_in: int, wide_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(wide_in, wide_out, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(wide_out)
        self.conv2 = nn.Conv2d(wide_out, wide_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(wide_out)
        self.short = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(wide_in, wide_out, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, wide_in, h, w) to (n, wide_out, h / 2, w / 2)."""
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.short(x))


class Backbone(nn.Module):
    """From (n, 3, side, side) float32 in -1..1 to (n, dimension) embeddings of unit norm.

    Args:
        side: pixels to a side of the input, a multiple of 16.
        dimension: length of an embedding.
        width: channels of the stem; the stages have two and four times as many.
    """

    def __init__(self, *, side: int, dimension: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.stages = nn.Sequential(
            _Halving(width, 2 * width), _Halving(2 * width, 4 * width), _Halving(4 * width, 4 * width)
        )
        # Flattened, not pooled: where a feature lies is what tells one face from another.
        self.out = nn.Linear(4 * width * (side // 16) ** 2, dimension)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        y = self.stages(torch.relu(self.norm(self.stem(x))))
        return nn.functional.normalize(self.out(y.flatten(1)))
