"""Distances between images, which a translation should keep (Benaim & Wolf, NIPS 2017)."""

from __future__ import annotations

import torch
from torch import Tensor


def pair_distances(images: Tensor) -> Tensor:
    """Mean absolute differences of all pairs i < j of (N, C, H, W) images: (N·(N - 1)/2,)."""
    i, j = torch.triu_indices(len(images), len(images), 1, device=images.device)
    return (images[i] - images[j]).abs().mean(dim=(1, 2, 3))


def half_distances(images: Tensor) -> Tensor:
    """Mean absolute difference of the upper and the lower half of each image: (N,)."""
    half = images.shape[2] // 2
    return (images[:, :, :half] - images[:, :, half : 2 * half]).abs().mean(dim=(1, 2, 3))


def normalised_difference(before: Tensor, after: Tensor, spreads: tuple[Tensor, Tensor]) -> Tensor:
    """Mean |z(before) - z(after)|; each z by the mean and deviation (2,) of real distances in its own domain."""
    (mean_a, std_a), (mean_b, std_b) = spreads
    difference: Tensor = (before - mean_a) / std_a - (after - mean_b) / std_b
    return difference.abs().mean()
