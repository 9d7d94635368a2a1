"""Divergences of an encoder's Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) ‖ N(0, I)), summed over the batch and all dimensions (Kingma & Welling, ICLR 2014)."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()


def sampled(mean: Tensor, log_variance: Tensor) -> Tensor:
    """mean + σ·ε with ε from torch's generator: a draw that lets gradients through."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
