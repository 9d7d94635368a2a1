"""Landmarks of heat-maps, and heat-maps of landmarks; always in full precision, since half loses the sub-pixel.

Positions are (N, K, 2), x and y from -1 at the middle of the first pixel to 1 at the middle of the last. Everything is
sums, products and exponentials: no operator here is one that a lower precision would take.
"""

from __future__ import annotations

import torch
from torch import Tensor


def soft_argmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K, h, w) → the mean position (N, K, 2) under each map's softmax, and the variance around it (N, K)."""
    height, width = logits.shape[2:]
    share = logits.float().flatten(2).softmax(dim=2).view(logits.shape)
    x, y = grid(width, logits.device), grid(height, logits.device)
    columns, rows = share.sum(dim=2), share.sum(dim=3)
    # Divisions by the whole share keep this exact, and in full precision.
    at_x = (columns * x).sum(dim=2) / columns.sum(dim=2)
    at_y = (rows * y).sum(dim=2) / rows.sum(dim=2)
    spread_x = (columns * (x - at_x[..., None]).square()).sum(dim=2)
    spread_y = (rows * (y - at_y[..., None]).square()).sum(dim=2)
    return torch.stack([at_x, at_y], dim=2), spread_x + spread_y


def rendered(positions: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """(N, K, 2) → one Gaussian of height 1 and deviation `sigma` (in the same unit) per landmark: (N, K, *size)."""
    at = positions.float()
    x, y = grid(size[1], at.device), grid(size[0], at.device)
    rows = (-(y - at[..., 1:]).square() / (2 * sigma**2)).exp()
    columns = (-(x - at[..., :1]).square() / (2 * sigma**2)).exp()
    return rows[..., :, None] * columns[..., None, :]


def grid(count: int, device: torch.device | None = None) -> Tensor:
    """Positions of `count` pixels."""
    return torch.linspace(-1, 1, count, device=device)
