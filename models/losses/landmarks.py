"""What landmarks should be: apart, sharp, and where the image says they are."""

from __future__ import annotations

import torch
from torch import Tensor

from models.losses.features import gram_matrix


def separation(positions: Tensor, sigma: float) -> Tensor:
    """Mean over images of the mean over pairs of exp(-distance² / 2σ²), positions (N, K, 2) (Zhang et al., CVPR
    2018)."""
    count = positions.shape[1]
    apart = (positions[:, :, None] - positions[:, None]).square().sum(dim=3)
    near = (-apart / (2 * sigma**2)).exp()
    return (near.sum(dim=(1, 2)) - count).mean() / (count * (count - 1))


def concentration(variances: Tensor) -> Tensor:
    """Mean variance of heat-maps around their means, (N, K)."""
    return variances.mean()


def gram(image: Tensor) -> Tensor:
    """(N, C, H, W) → (N, 3C, 3C): mean products of the channels and of their differences to the right and below."""
    here = image[:, :, :-1, :-1]
    features = torch.cat([here, image[:, :, :-1, 1:] - here, image[:, :, 1:, :-1] - here], dim=1)
    return features.shape[1] * gram_matrix(features)
