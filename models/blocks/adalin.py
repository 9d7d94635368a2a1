"""Adaptive layer-instance normalisation: a learned mix of instance and layer norm per channel (Kim et al., ICLR 2020).

The papers' code takes the unbiased variance. With n values per statistic that is exactly √((n-1)/n) times the ordinary
norm with ε·(n-1)/n, so two standard operators do it, in training and in the exported graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import ConfigError

EPS = 1e-5
CAPTURE = 4  # H and W of an image per H and W of its code
SMALLEST = 96  # px that leave something to judge for a 286-px critic


def unbiased_instance_norm(x: Tensor) -> Tensor:
    """(x - mean) / √(var + ε) over H·W, with the unbiased variance."""
    return _unbiased(F.instance_norm, x, x.shape[2] * x.shape[3])


def unbiased_layer_norm(x: Tensor) -> Tensor:
    """(x - mean) / √(var + ε) over C·H·W, with the unbiased variance."""

    def layer_norm(x: Tensor, eps: float) -> Tensor:
        # As the instance norm of one long channel: the operator that every backend has.
        return F.instance_norm(x.reshape(x.shape[0], 1, -1), eps=eps).reshape(x.shape)

    return _unbiased(layer_norm, x, x.shape[1] * x.shape[2] * x.shape[3])


def _unbiased(norm: Callable[..., Tensor], x: Tensor, count: int) -> Tensor:
    share = (count - 1) / count
    return math.sqrt(share) * norm(x, eps=EPS * share)


class SoftmaxMix(nn.Module):
    """Instance and layer norm of (N, C, H, W), weighted per channel by the softmax of two learned logits (NICE-GAN)."""

    def __init__(self, channels: int, instance: float, layer: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([instance, layer]).repeat(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        share = self.logits.softmax(dim=1)[None, :, :, None, None]
        return share[:, :, 0] * unbiased_instance_norm(x) + share[:, :, 1] * unbiased_layer_norm(x)


class RhoMix(nn.Module):
    """ρ · instance norm + (1 - ρ) · layer norm of (N, C, H, W); ρ per channel, kept in [0, 1] by `clip_` (U-GAT-IT)."""

    def __init__(self, channels: int, rho: float) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), rho))

    def forward(self, x: Tensor) -> Tensor:
        rho = self.rho[:, None, None]
        return rho * unbiased_instance_norm(x) + (1 - rho) * unbiased_layer_norm(x)

    @torch.no_grad()
    def clip_(self) -> None:
        self.rho.clamp_(0, 1)


class AdaLin(nn.Module):
    """γ · mix(x) + β with γ, β (N, C) from outside."""

    def __init__(self, mix: nn.Module) -> None:
        super().__init__()
        self.mix = mix

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        mixed: Tensor = self.mix(x)
        return gamma[:, :, None, None] * mixed + beta[:, :, None, None]


class LayerInstanceNorm(nn.Module):
    """γ · mix(x) + β with learned γ, β (C)."""

    def __init__(self, mix: nn.Module, channels: int) -> None:
        super().__init__()
        self.mix = mix
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(x)
        return self.gamma[:, None, None] * mixed + self.beta[:, None, None]


class AdaLinBlock(nn.Module):
    """x + AdaLIN(conv(ReLU(AdaLIN(conv(x))))), each AdaLIN with a mix of its own. (N, C, H, W) → same."""

    def __init__(self, channels: int, mix: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.conv1, self.conv2 = (
            nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=False)) for _ in range(2)
        )
        self.norm1, self.norm2 = AdaLin(mix()), AdaLin(mix())

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        y: Tensor = F.relu(self.norm1(self.conv1(x), gamma, beta))
        y = self.norm2(self.conv2(y), gamma, beta)
        return x + y


class AffineFromMap(nn.Module):
    """(N, C, H, W) → γ, β (N, C), from every position (`map_size` = H·W) or, with 0, from the channels' means."""

    def __init__(self, channels: int, map_size: int = 0) -> None:
        super().__init__()
        self.pool = nn.Flatten() if map_size else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.mlp = nn.Sequential(
            nn.Linear(channels * (map_size or 1), channels, bias=False), nn.ReLU(),
            nn.Linear(channels, channels, bias=False), nn.ReLU(),
        )  # fmt: skip
        self.gamma, self.beta = (nn.Linear(channels, channels, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        style = self.mlp(self.pool(x))
        return self.gamma(style), self.beta(style)


def code_positions(size: int, light: bool, system: str) -> int:
    """How many positions of a code of `size` px images set γ and β one by one; 0 in the light form, which averages.

    Raises:
        ConfigError: the size leaves nothing to judge for the widest critic, or is no multiple of CAPTURE.
    """
    if size < SMALLEST or size % CAPTURE:
        raise ConfigError(f"size = {size}: {system} takes multiples of {CAPTURE} px, from {SMALLEST}")
    return 0 if light else (size // CAPTURE) ** 2
