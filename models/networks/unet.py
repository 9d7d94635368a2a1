"""The U-Net generator of Pix2Pix (Isola et al., CVPR 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks.norm import norm
from models.blocks.tile import with_vector


class UNetLevel(nn.Module):
    """One level: down, the level below (None at the bottom), up, and the skip around all three.

    A latent vector (N, latent), if the network was built for one, is spread over the map and enters at every level.
    """

    def __init__(self, down: nn.Module, below: nn.Module | None, up: nn.Module) -> None:
        super().__init__()
        self.down, self.below, self.up = down, below, up

    def forward(self, x: Tensor, latent: Tensor | None = None) -> Tensor:
        inner = self.down(x if latent is None else with_vector(x, latent))
        if self.below is not None:
            inner = torch.cat([inner, self.below(inner, latent)], dim=1)
        up: Tensor = self.up(inner)
        return up


def unet_generator(
    channels_in: int = 3, channels_out: int = 3, width: int = 64, levels: int = 8, norm_kind: str = "batch",
    dropout: float = 0.5, latent: int = 0,
) -> UNetLevel:  # fmt: skip
    """(N, channels_in, H, W) → (N, channels_out, H, W) in [-1, 1]; H and W multiples of 2^levels.

    4×4 stride-2 convolutions width-2·width-4·width-8·width…; no norm in the first and the innermost encoder layer;
    dropout in the 8·width-channel decoder levels above the innermost one (three of them at 8 levels). With `latent` > 0
    a vector of that length is the second argument and joins the input of every encoder layer (BicycleGAN).
    """
    bias = norm_kind != "batch"

    def channels(level: int) -> int:  # of what level `level` receives from above; level 0 is the image
        return min(8, 1 << (level - 1)) * width

    below: nn.Module | None = None
    for level in reversed(range(levels)):
        outer = channels(level) if level else channels_out
        inner = channels(level + 1)
        innermost, outermost = level == levels - 1, level == 0
        down: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
        plain = innermost or outermost
        down += [nn.Conv2d((channels_in if outermost else outer) + latent, inner, 4, 2, 1, bias=bias or plain)]
        down += [] if plain else [norm(norm_kind, inner)]
        fed = inner if innermost else 2 * inner
        up: list[nn.Module] = [nn.ReLU(), nn.ConvTranspose2d(fed, outer, 4, 2, 1, bias=bias or outermost)]
        up += [nn.Tanh()] if outermost else [norm(norm_kind, outer)]
        if dropout and 4 <= level < levels - 1:
            up += [nn.Dropout(dropout)]
        below = UNetLevel(nn.Sequential(*down), below, nn.Sequential(*up))
    assert isinstance(below, UNetLevel)
    return below
