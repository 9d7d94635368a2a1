"""A vector beside every pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def with_vector(x: Tensor, vector: Tensor) -> Tensor:
    """x (N, C, H, W) and the vector (N, D), the same at every pixel → (N, C + D, H, W)."""
    return torch.cat([x, vector[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])], dim=1)
