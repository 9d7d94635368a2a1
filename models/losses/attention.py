"""Where a layer looks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def attention_map(features: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) → (N, h·w) of length one: the channels' mean square, resized (Zagoruyko & Komodakis, ICLR 2017)."""
    energy = F.adaptive_avg_pool2d(features.square().mean(1, keepdim=True), size)
    return F.normalize(energy.flatten(1), dim=1)


def attention_distance(features: Tensor, guides: Sequence[Tensor]) -> Tensor:
    """Mean squared difference between a layer's map and the mean of its guides' maps (DMAD's co-attention)."""
    size = (features.shape[2], features.shape[3])
    wanted = torch.stack([attention_map(guide, size) for guide in guides]).mean(0)
    return F.mse_loss(attention_map(features, size), F.normalize(wanted, dim=1))
