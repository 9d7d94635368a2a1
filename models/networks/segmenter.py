"""A small network that says what each pixel shows: convolutions down to an eighth of the size and up again.

As a U-Net (Ronneberger et al., MICCAI 2015) whose skips are added instead of concatenated, which halves the decoder.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

DOWNS = 3


def _conv(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(),
        nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(),
    )  # fmt: skip


class Segmenter(nn.Module):
    """(N, channels, H, W) in [-1, 1] → logits (N, classes, H, W); H and W multiples of 8."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        widths = [width << k for k in range(DOWNS + 1)]
        self.stem = _conv(channels, width)
        self.down = nn.ModuleList(_conv(inner, outer, 2) for inner, outer in pairwise(widths))
        self.up = nn.ModuleList(_conv(inner, outer) for inner, outer in pairwise(widths[::-1]))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        skips = []
        for stage in self.down:
            skips.append(x)
            x = stage(x)
        for stage, skip in zip(self.up, skips[::-1], strict=True):
            x = skip + stage(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        logits: Tensor = self.head(x)
        return logits
