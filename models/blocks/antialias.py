"""Resampling without aliasing (Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BlurDown(nn.Module):
    """(N, C, H, W) → (N, C, H/2, W/2): every second pixel after a blur with [1, 2, 1]², reflected at the edges."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(row, row).expand(channels, 1, 3, 3).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), self.kernel, stride=2, groups=x.shape[1])


def smooth_up() -> nn.Module:
    """(N, C, H, W) → (N, C, 2H, 2W) through [1, 3, 3, 1]² with replicated edges, which is bilinear interpolation."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
