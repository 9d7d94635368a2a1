"""How much neighbouring pixels differ."""

from __future__ import annotations

from torch import Tensor


def total_variation(image: Tensor) -> Tensor:
    """Anisotropic: mean absolute difference of neighbours, down and across. (N, C, H, W)."""
    return (image[:, :, 1:] - image[:, :, :-1]).abs().mean() + (image[..., 1:] - image[..., :-1]).abs().mean()
