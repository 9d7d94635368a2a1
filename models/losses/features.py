"""How far two sets of features are apart: in themselves, in their correlations, in their channels' weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def gram_matrix(features: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, C): products of the channels, summed over pixels, over C·H·W (Johnson et al. 2016).

    In full precision: sums over pixels leave the range of FP16.
    """
    flat = features.float().flatten(2)
    with torch.autocast(features.device.type, enabled=False):
        return flat @ flat.mT / (flat.shape[1] * flat.shape[2])


def style_distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of Gram matrices, summed over the layers."""
    pairs = zip(features, wanted, strict=True)
    return torch.stack([F.l1_loss(gram_matrix(one), gram_matrix(other)) for one, other in pairs]).sum()


def feature_distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the features, summed over the layers."""
    return torch.stack([F.l1_loss(one, other) for one, other in zip(features, wanted, strict=True)]).sum()


def unit_distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Squared difference of every pixel's feature vector, each of length one; averaged over pixels, summed over layers.

    What LPIPS measures, with all its channels' weights equal (Zhang et al., CVPR 2018).
    """
    return torch.stack([
        (_unit(one) - _unit(other)).square().sum(1).mean() for one, other in zip(features, wanted, strict=True)
    ]).sum()  # fmt: skip


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features, dim=1, eps=1e-6)


def channel_distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of the channels' means over the image, summed over the layers (OMGD)."""
    pairs = zip(features, wanted, strict=True)
    return torch.stack([F.mse_loss(one.mean((2, 3)), other.mean((2, 3))) for one, other in pairs]).sum()
