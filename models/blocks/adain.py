"""Adaptive instance normalisation (Huang & Belongie, ICCV 2017): a style sets each channel's mean and deviation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def adain(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Instance norm of x (N, C, H, W), times `scale`, plus `shift`, each (N, C)."""
    return F.instance_norm(x) * scale[:, :, None, None] + shift[:, :, None, None]


class StyledNorm(nn.Module):
    """AdaIN whose scale 1 + γ and shift β are linear in the style (N, style_dim): StarGAN v2."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gamma, beta = self.affine(style).chunk(2, dim=1)
        return adain(x, 1 + gamma, beta)
