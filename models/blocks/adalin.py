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

EPS = 1e-5


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
