"""An image as content, a map without a style, and style, a vector: MUNIT's encoders and decoder, which TUNIT shares.

Huang et al., "Multimodal Unsupervised Image-to-Image Translation", ECCV 2018.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.adain import adain
from models.blocks.sample_norm import SampleNorm
from models.networks.resnet import ResidualBlock


def _stem(channels: int, width: int, downs: int, norms: bool) -> list[nn.Module]:
    """7×7, then `downs` 4×4 stride-2 convolutions with twice the channels each."""

    def normed(outer: int) -> list[nn.Module]:
        return [nn.InstanceNorm2d(outer), nn.ReLU()] if norms else [nn.ReLU()]

    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), *normed(width)]
    for inner, outer in pairwise(width << k for k in range(downs + 1)):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(inner, outer, 4, 2), *normed(outer)]
    return layers


class SharedSum(ResidualBlock):
    """x + share · conv(conv(x)): TUNIT adds a tenth."""

    def __init__(self, channels: int, share: float) -> None:
        super().__init__(channels)
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + self.share * y


def content_encoder(
    channels: int = 3, width: int = 64, downs: int = 2, blocks: int = 4, share: float = 1.0
) -> nn.Sequential:
    """(N, channels, H, W) → content (N, width·2^downs, H/2^downs, W/2^downs); instance norm takes the style away."""
    body = (SharedSum(width << downs, share) for _ in range(blocks))
    return nn.Sequential(*_stem(channels, width, downs, norms=True), *body)


def style_encoder(channels: int = 3, width: int = 64, style_dim: int = 8) -> nn.Sequential:
    """(N, channels, H, W) → style (N, style_dim); no norm, which would take away what a style is."""
    layers = _stem(channels, width, 2, norms=False)
    for _ in range(2):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(4 * width, 4 * width, 4, 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * width, style_dim, 1), nn.Flatten())


def style_mlp(style_dim: int, width: int, outputs: int) -> nn.Sequential:
    """style (N, style_dim) → what it sets in a decoder (N, outputs)."""
    return nn.Sequential(
        nn.Linear(style_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
    )


class AdaInConv(nn.Module):
    """Reflection pad, convolution, AdaIN by shifts and scales (N, 2·outer). (N, inner, H, W) → (N, outer, H, W)."""

    def __init__(self, inner: int, outer: int, kernel: int) -> None:
        super().__init__()
        self.affine = 2 * outer  # numbers that it takes of a style
        self.conv = nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inner, outer, kernel))

    def forward(self, x: Tensor, affine: Tensor) -> Tensor:
        shift, scale = affine.chunk(2, dim=1)  # in this order, and the scale without + 1, as published
        return adain(self.conv(x), scale, shift)


class AdaInBlock(nn.Module):
    """x + share · two convolutions with AdaIN; `affine` (N, 4·channels)."""

    def __init__(self, channels: int, share: float) -> None:
        super().__init__()
        self.share = share
        self.conv1, self.conv2 = (AdaInConv(channels, channels, 3) for _ in range(2))
        self.affine = self.conv1.affine + self.conv2.affine

    def forward(self, x: Tensor, affine: Tensor) -> Tensor:
        first, second = affine.chunk(2, dim=1)
        y: Tensor = self.conv2(F.relu(self.conv1(x, first)), second)
        return x + self.share * y


class UpStage(nn.Module):
    """Nearest ×2, 5×5 convolution to half the channels, a norm, ReLU; AdaIN where `styled`, else MUNIT's own norm."""

    def __init__(self, inner: int, styled: bool) -> None:
        super().__init__()
        outer = inner // 2
        plain = [nn.ReflectionPad2d(2), nn.Conv2d(inner, outer, 5), SampleNorm(outer)]
        self.conv = AdaInConv(inner, outer, 5) if styled else nn.Sequential(*plain)
        self.affine = 2 * outer if styled else 0

    def forward(self, x: Tensor, affine: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        y: Tensor = self.conv(x, affine) if self.affine else self.conv(x)
        return F.relu(y)


class StyleDecoder(nn.Module):
    """content (N, width·2^ups, h, w), style (N, style_dim) → image (N, channels, h·2^ups, w·2^ups) in [-1, 1]."""

    def __init__(
        self, channels: int, width: int, ups: int, blocks: int, style: tuple[int, int],
        *, share: float = 1.0, styled_ups: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        stages: list[AdaInBlock | UpStage] = [AdaInBlock(width << ups, share) for _ in range(blocks)]
        stages += [UpStage(width << k, styled_ups) for k in range(ups, 0, -1)]
        self.affines = [stage.affine for stage in stages]
        style_dim, mlp_width = style
        self.mlp = style_mlp(style_dim, mlp_width, sum(self.affines))
        self.stages = nn.ModuleList(stages)
        self.head = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        return self.decode(content, self.mlp(style))

    def decode(self, content: Tensor, affine: Tensor) -> Tensor:
        """The image of a content under shifts and scales (N, Σ affines) that a style was turned into before."""
        for stage, own in zip(self.stages, torch.split(affine, self.affines, dim=1), strict=True):
            content = stage(content, own)
        image: Tensor = self.head(content)
        return image


class PlainDecoder(nn.Sequential):
    """content (N, width·2^ups, h, w) → image (N, channels, h·2^ups, w·2^ups) in [-1, 1]; no style (UNIT of 2018)."""

    def __init__(self, channels: int, width: int, ups: int, blocks: int) -> None:
        stages: list[nn.Module] = [ResidualBlock(width << ups) for _ in range(blocks)]
        for inner in (width << k for k in range(ups, 0, -1)):
            conv = nn.Conv2d(inner, inner // 2, 5)
            stages += [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(2), conv, SampleNorm(inner // 2), nn.ReLU()]
        super().__init__(*stages, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())


class Restyle(nn.Module):
    """What ships: image (N, C, H, W), style (N, style_dim) → image; one domain's content encoder, another's decoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        translated: Tensor = self.decoder(self.encoder(image), style)
        return translated
