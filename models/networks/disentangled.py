"""DRIT's networks: content encoders, attribute encoders, and generators that hear of the attribute in two ways.

Lee et al., "Diverse Image-to-Image Translation via Disentangled Representations", ECCV 2018.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.gaussian_noise import GaussianNoise
from models.blocks.norm import norm
from models.blocks.tile import with_vector
from models.networks.content_style import style_mlp
from models.networks.resnet import ResidualBlock

SLOPE = 0.01  # torch's default LeakyReLU, which the authors took


def content_path(channels: int, width: int, blocks: int) -> nn.Sequential:
    """One domain's own part: (N, channels, H, W) → (N, 4·width, H/4, W/4)."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.LeakyReLU(SLOPE)]
    for inner in (width, 2 * width):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(inner, 2 * inner, 3, 2), norm("instance", 2 * inner), nn.ReLU()]
    return nn.Sequential(*layers, *(ResidualBlock(4 * width) for _ in range(blocks)))


def content_critic(channels: int, layers: int, classes: int = 1) -> nn.Sequential:
    """Content (N, channels, h, w) → logits of its domain; `layers` 7×7 stride-2 convolutions, then 4×4. No norm."""
    body: list[nn.Module] = []
    for _ in range(layers):
        body += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 7, 2), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*body, nn.Conv2d(channels, channels, 4), nn.LeakyReLU(SLOPE), nn.Conv2d(channels, classes, 1))


class MeanPoolBlock(nn.Module):
    """Pre-activation residual block without norm that halves the map. (N, inner, H, W) → (N, outer, H/2, W/2)."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv2 = nn.Conv2d(inner, outer, 3, padding=1)
        self.shortcut = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2))
        total: Tensor = F.avg_pool2d(residual, 2) + self.shortcut(F.avg_pool2d(x, 2))
        return total


class VariationalAttribute(nn.Module):
    """(N, channels, H, W) → mean and log-variance of an attribute, each (N, latent). Colour and texture."""

    def __init__(self, channels: int, width: int, latent: int) -> None:
        super().__init__()
        sides = [width, 2 * width, 3 * width, 4 * width]
        self.features = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, width, 4, 2),
            *(MeanPoolBlock(inner, outer) for inner, outer in pairwise(sides)),
            nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.mean, self.log_variance = (nn.Linear(sides[-1], latent) for _ in range(2))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(image)
        return self.mean(features), self.log_variance(features)


def _up(inner: int) -> nn.Sequential:
    """Transposed convolution to half the channels and twice the size, layer norm over (C, H, W), ReLU."""
    outer = inner // 2
    return nn.Sequential(nn.ConvTranspose2d(inner, outer, 3, 2, 1, 1), norm("layer", outer), nn.ReLU())


class ConcatDecoder(nn.Module):
    """content (N, 4·width, h, w), z (N, latent) → image; z enters four times as constant maps.

    Only the last three reach the picture: instance norm removes a constant map in the residual blocks. The layer norm
    of the upsampling must therefore stay what it is.
    """

    def __init__(self, channels: int, width: int, latent: int, blocks: int) -> None:
        super().__init__()
        inner = 4 * width + latent
        self.body = nn.Sequential(*(ResidualBlock(inner) for _ in range(blocks)))
        self.up1 = _up(inner + latent)
        self.up2 = _up((inner + latent) // 2 + latent)
        self.head = nn.ConvTranspose2d(((inner + latent) // 2 + latent) // 2 + latent, channels, 1)

    def forward(self, content: Tensor, z: Tensor) -> Tensor:
        x = self.body(with_vector(content, z))
        for up in (self.up1, self.up2):
            x = up(with_vector(x, z))
        return torch.tanh(self.head(with_vector(x, z)))


class ModulatedBlock(nn.Module):
    """x + two times (convolution, instance norm, then 1×1 convolutions that see a code (N, codes) at every pixel)."""

    def __init__(self, channels: int, codes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm("instance", channels))
            for _ in range(2)
        )
        both = channels + codes
        self.mixes = nn.ModuleList(
            nn.Sequential(nn.Conv2d(both, both, 1), nn.ReLU(), nn.Conv2d(both, channels, 1), nn.ReLU())
            for _ in range(2)
        )

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        y = x
        for conv, mix in zip(self.convs, self.mixes, strict=True):
            y = mix(with_vector(conv(y), code))
        return x + y


class ModulatedDecoder(nn.Module):
    """content, z → image as `ConcatDecoder`, for changes of shape: an MLP turns z into one code for each block."""

    def __init__(self, channels: int, width: int, latent: int, blocks: int) -> None:
        super().__init__()
        inner = 4 * width
        self.mlp = style_mlp(latent, inner, blocks * inner)
        self.blocks = nn.ModuleList(ModulatedBlock(inner, inner) for _ in range(blocks))
        self.head = nn.Sequential(_up(inner), _up(inner // 2), nn.ConvTranspose2d(width, channels, 1), nn.Tanh())

    def forward(self, content: Tensor, z: Tensor) -> Tensor:
        for block, code in zip(self.blocks, self.mlp(z).chunk(len(self.blocks), dim=1), strict=True):
            content = block(content, code)
        image: Tensor = self.head(content)
        return image


class SharedEncoders(nn.Module):
    """image, domain → content; the last block is one and the same for both domains."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.own = nn.ModuleDict({domain: content_path(channels, width, blocks) for domain in "ab"})
        self.shared = nn.Sequential(ResidualBlock(4 * width), GaussianNoise())

    def forward(self, image: Tensor, domain: str) -> Tensor:
        content: Tensor = self.shared(self.own[domain](image))
        return content


class SharedDecoders(nn.Module):
    """content, z, domain → image; the first part is one and the same for both domains."""

    def __init__(self, shared: nn.Module, decoder_a: nn.Module, decoder_b: nn.Module) -> None:
        super().__init__()
        self.shared = shared
        self.own = nn.ModuleDict({"a": decoder_a, "b": decoder_b})

    def forward(self, content: Tensor, z: Tensor, domain: str) -> Tensor:
        image: Tensor = self.own[domain](self.shared(content), z)
        return image


class Route(nn.Module):
    """What ships: image, z → image of the other domain."""

    def __init__(self, encoders: SharedEncoders, decoders: SharedDecoders, source: str, target: str) -> None:
        super().__init__()
        self.encoder = nn.Sequential(encoders.own[source], encoders.shared)
        self.shared, self.decoder = decoders.shared, decoders.own[target]

    def forward(self, image: Tensor, z: Tensor) -> Tensor:
        translated: Tensor = self.decoder(self.shared(self.encoder(image)), z)
        return translated


class MeanAttribute(nn.Module):
    """What ships of an attribute encoder: the mean, so that nothing is drawn."""

    def __init__(self, encoder: nn.Module, variational: bool) -> None:
        super().__init__()
        self.encoder, self.variational = encoder, variational

    def forward(self, *given: Tensor) -> Tensor:
        output = self.encoder(*given)
        mean: Tensor = output[0] if self.variational else output
        return mean
