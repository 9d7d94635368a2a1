"""The discrete wavelet transform with Haar's wavelet: averages and three kinds of detail, level by level."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import ConfigError


def haar(image: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) → low (N, C, H/2, W/2) and high (N, C, 3, H/2, W/2): horizontal, vertical and diagonal detail.

    Orthonormal: the sum of squares is kept.

    Raises:
        ConfigError: H or W is odd.
    """
    if image.shape[2] % 2 or image.shape[3] % 2:
        raise ConfigError(f"Haar's transform halves the image: {tuple(image.shape[2:])} has an odd side")
    a, b = image[:, :, ::2, ::2], image[:, :, ::2, 1::2]
    c, d = image[:, :, 1::2, ::2], image[:, :, 1::2, 1::2]
    details = torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], dim=2)
    return (a + b + c + d) / 2, details / 2


def details(image: Tensor, levels: int) -> list[Tensor]:
    """The high bands of `levels` levels, the finest first."""
    bands = []
    for _ in range(levels):
        image, high = haar(image)
        bands.append(high)
    return bands


def detail_distance(image: Tensor, wanted: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute difference of the high bands, summed over the levels; blind to what all levels average away."""
    pairs = zip(details(image, levels), details(wanted, levels), strict=True)
    return torch.stack([F.l1_loss(one, other) for one, other in pairs]).sum()
