"""The context of instances: what is outside all masks shall stay (InstaGAN)."""

from __future__ import annotations

from torch import Tensor


def outside(*masks: Tensor) -> Tensor:
    """Sets of masks (N, S, H, W) in [-1, 1] → (N, 1, H, W): 0 inside any, 1 outside all. Detached."""
    inside = sum(((m.detach() + 1) / 2).sum(dim=1, keepdim=True) for m in masks)
    assert isinstance(inside, Tensor)
    return 1 - inside.clamp(max=1)


def context_loss(image: Tensor, translated: Tensor, weight: Tensor) -> Tensor:
    """Mean of weight · |image - translated|, weight (N, 1, H, W)."""
    return (weight * (image - translated).abs()).mean()
