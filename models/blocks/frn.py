"""Filter response normalisation (Singh & Krishnan, CVPR 2020): by the mean square of a map, without its mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-6


class FilterResponseNorm(nn.Module):
    """max(γ · x / √(mean x² + ε) + β, τ), mean over H·W; γ, β, τ per channel. (N, C, H, W) → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta, self.tau = (nn.Parameter(torch.zeros(1, channels, 1, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        scaled = x * torch.rsqrt(x.square().mean(dim=(2, 3), keepdim=True) + EPS)
        return torch.maximum(self.gamma * scaled + self.beta, self.tau)
