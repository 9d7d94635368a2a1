"""MobileResNet-9: the published student of GAN compression, a ResNet generator with depthwise-separable blocks.

Li et al., "GAN Compression: Efficient Architectures for Interactive Conditional GANs", CVPR 2020; OMGD and DCD take the
same network, narrowed. Only the residual blocks are separable; what surrounds them is CycleGAN's. At 256², three
channels: width 64 has 1.987 M parameters and 11.07 exact GMAC, 32 0.514 M and 3.117, 16 0.137 M and 0.955.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks.norm import norm
from models.networks.resnet import strided_down, transposed_up


class MobileBlock(nn.Module):
    """x + twice (depthwise 3×3, norm, 1×1, norm), ReLU in between; edges reflected. (N, C, H, W) → same."""

    def __init__(self, channels: int, norm_kind: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_separable(channels, norm_kind), nn.ReLU(), *_separable(channels, norm_kind)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


def _separable(channels: int, norm_kind: str) -> list[nn.Module]:
    bias = norm_kind != "batch"
    return [
        nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, groups=channels, bias=bias), norm(norm_kind, channels),
        nn.Conv2d(channels, channels, 1, bias=bias), norm(norm_kind, channels),
    ]  # fmt: skip


def mobile_resnet_generator(
    channels_in: int = 3, channels_out: int = 3, width: int = 64, blocks: int = 9, norm_kind: str = "instance"
) -> nn.Sequential:
    """(N, channels_in, H, W) → (N, channels_out, H, W) in [-1, 1]; H and W multiples of 4."""
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(channels_in, width, 7, bias=norm_kind != "batch"), norm(norm_kind, width),
        nn.ReLU(), *strided_down(width, norm_kind), *strided_down(2 * width, norm_kind),
        *(MobileBlock(4 * width, norm_kind) for _ in range(blocks)),
        *transposed_up(4 * width, norm_kind), *transposed_up(2 * width, norm_kind),
        nn.ReflectionPad2d(3), nn.Conv2d(width, channels_out, 7), nn.Tanh(),
    )  # fmt: skip
