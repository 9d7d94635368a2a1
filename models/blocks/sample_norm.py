"""MUNIT's layer norm: over a whole sample, with the unbiased deviation and ε beside it, not below the root."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5


class SampleNorm(nn.Module):
    """γ · (x - mean) / (deviation + ε) + β over C·H·W, γ and β per channel, γ from U(0, 1). (N, C, H, W) → same.

    The variance of a sample is the mean square of its 4 million centred values, taken in full precision: the sum of as
    many squares is beyond half precision's 65504. The operators are averages, products and roots, for every backend.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.rand(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[1] * x.shape[2] * x.shape[3]
        full = x.float()
        centred = full - full.mean(dim=(1, 2, 3), keepdim=True)
        deviation = math.sqrt(count / (count - 1)) * _root(centred.square().mean(dim=(1, 2, 3), keepdim=True))
        normalised = (centred / (deviation + EPS)).to(x.dtype)
        return normalised * self.gamma[:, None, None] + self.beta[:, None, None]


def _root(variance: Tensor) -> Tensor:
    """√variance, whose gradient stays finite at 0 (a map of one value)."""
    return F.relu(variance - 1e-20).add(1e-20).sqrt()
