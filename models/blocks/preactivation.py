"""Pre-activation residual blocks whose sum keeps unit variance: (shortcut + residual) / √2 (StarGAN v2, TUNIT)."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.adain import StyledNorm

SLOPE = 0.2
UNIT = 1 / math.sqrt(2)


def affine_instance_norm(channels: int) -> nn.Module:
    """With learned scales and shifts."""
    return nn.InstanceNorm2d(channels, affine=True)


class PreActBlock(nn.Module):
    """(N, inner, H, W) → (N, outer, H, W), or half of H and W with `down`; with `normalise` norms, made by `norm`."""

    def __init__(
        self, inner: int, outer: int, *, normalise: bool, down: bool = False,
        norm: Callable[[int], nn.Module] = affine_instance_norm,
    ) -> None:  # fmt: skip
        super().__init__()
        self.down = down
        self.norm1, self.norm2 = (norm(inner) if normalise else nn.Identity() for _ in range(2))
        self.conv1 = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv2 = nn.Conv2d(inner, outer, 3, padding=1)
        self.shortcut = nn.Conv2d(inner, outer, 1, bias=False) if inner != outer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv1(F.leaky_relu(self.norm1(x), SLOPE))
        residual = self.conv2(F.leaky_relu(self.norm2(self._pooled(residual)), SLOPE))
        total: Tensor = self._pooled(self.shortcut(x)) + residual
        return total * UNIT

    def _pooled(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.down else x


class StyledBlock(nn.Module):
    """(N, inner, H, W) → (N, outer, H, W), or twice H and W with `up`, normalised as the style (N, style_dim) says."""

    def __init__(self, inner: int, outer: int, style_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.norm1, self.norm2 = StyledNorm(style_dim, inner), StyledNorm(style_dim, outer)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)
        self.shortcut = nn.Conv2d(inner, outer, 1, bias=False) if inner != outer else nn.Identity()

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        residual = self.conv1(self._doubled(F.leaky_relu(self.norm1(x, style), SLOPE)))
        residual = self.conv2(F.leaky_relu(self.norm2(residual, style), SLOPE))
        total: Tensor = self.shortcut(self._doubled(x)) + residual
        return total * UNIT

    def _doubled(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x
