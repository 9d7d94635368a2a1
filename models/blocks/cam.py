"""Attention by class activation maps: channels weighted by what a small classifier looks at (U-GAT-IT, NICE-GAN)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def fold_attention(weight: Tensor, attention: Tensor) -> Tensor:
    """The 1×1 convolution (O, 2C) of [x·a₁, x·a₂], attention a (2C), as one of x alone: (O, C)."""
    channels = weight.shape[1] // 2
    return weight[:, :channels] * attention[:channels] + weight[:, channels:] * attention[channels:]


class ResidualCam(nn.Module):
    """LeakyReLU(x + λ·attended(x)) with λ = 0 at first; (N, C, H, W) → same.

    `attention` is the un-normalised weight of the classifier, as in the paper's code. The logit divides it by its
    spectral norm, which for one row is its length.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(2 * channels)  # torch's default for a linear layer
        self.attention = nn.Parameter(torch.empty(2 * channels).uniform_(-bound, bound))
        self.conv = nn.Conv2d(2 * channels, channels, 1)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        # The identity is folded in too: one convolution is all that is left of the attention.
        folded = self.strength * fold_attention(self.conv.weight[:, :, 0, 0], self.attention)
        weight = folded + torch.eye(x.shape[1], dtype=folded.dtype, device=folded.device)
        assert self.conv.bias is not None
        return F.leaky_relu(F.conv2d(x, weight[:, :, None, None], self.strength * self.conv.bias), 0.2)

    def logits(self, x: Tensor) -> Tensor:
        """(N, 1): the classifier on average- and max-pooled features."""
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        return F.linear(pooled, (self.attention / self.attention.norm())[None])


class Cam(nn.Module):
    """act(conv([x·a₁, x·a₂])), (N, C, H, W) → same; a₁ and a₂ are the weights of classifiers on averages and maxima.

    `logits` divides the weights by their lengths, which are their spectral norms, in critics (`normalise`); the picture
    takes them as they are in either case, as in the authors' code.
    """

    def __init__(self, channels: int, act: nn.Module, normalise: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(channels)  # torch's default for a linear layer
        self.attention = nn.Parameter(torch.empty(2 * channels).uniform_(-bound, bound))
        self.conv = nn.Conv2d(2 * channels, channels, 1)
        self.act, self.normalise = act, normalise

    def forward(self, x: Tensor) -> Tensor:
        weight = fold_attention(self.conv.weight[:, :, 0, 0], self.attention)
        y: Tensor = self.act(F.conv2d(x, weight[:, :, None, None], self.conv.bias))
        return y

    def logits(self, x: Tensor) -> Tensor:
        """(N, 2): one classifier on average-pooled features, one on max-pooled ones."""
        weights = self.attention.view(2, -1)
        if self.normalise:
            weights = weights / weights.norm(dim=1, keepdim=True)
        pooled = torch.stack([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)  # (N, 2, C)
        return (pooled * weights).sum(dim=2)
