"""The generator and critic of DCGAN (Radford et al., ICLR 2016) for square images of 2^k pixels.

4×4 transposed convolutions up from 4×4, and their mirror image; no pooling, no hidden fully connected layer.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks.norm import norm
from models.errors import ConfigError


def stages(size: int) -> int:
    """Doublings from 4 px to `size`; raises ConfigError where there is no such number."""
    if size < 8 or size & (size - 1):
        raise ConfigError(f"DCGAN makes images of 8, 16, 32, 64 … px, not size = {size}")
    return size.bit_length() - 3


class NoiseToImage(nn.Module):
    """(N, latent) → (N, channels, size, size) in [-1, 1]; width·2^k channels at 4 px, halved at each doubling."""

    def __init__(self, latent: int = 100, channels: int = 3, width: int = 64, size: int = 64) -> None:
        super().__init__()
        outer = width << (stages(size) - 1)
        layers: list[nn.Module] = _up(latent, outer, 1, 0)
        for _ in range(stages(size) - 1):
            layers += _up(outer, outer // 2, 2, 1)
            outer //= 2
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(outer, channels, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.layers(z[:, :, None, None])
        return image


def _up(inner: int, outer: int, stride: int, padding: int) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(inner, outer, 4, stride, padding, bias=False)
    return [conv, nn.BatchNorm2d(outer), nn.ReLU()]


def image_critic(channels: int = 3, width: int = 64, size: int = 64, norm_kind: str = "batch") -> nn.Sequential:
    """(N, channels, size, size) → (N, 1) logits; no norm in the first and the last layer, LeakyReLU 0.2."""
    bias = norm_kind != "batch"  # a bias in front of batch norm would be cancelled by its mean
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=bias), nn.LeakyReLU(0.2)]
    for _ in range(stages(size) - 1):
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=bias), norm(norm_kind, 2 * width), nn.LeakyReLU(0.2)]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 4, bias=bias), nn.Flatten())
