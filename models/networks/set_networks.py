"""InstaGAN's networks: an image with any number of instance masks, whose order does not matter.

Mo et al., "InstaGAN: Instance-aware Image-to-Image Translation", ICLR 2019.
Masks are (N, S, H, W) in [-1, 1], S slots; `present` (N, S) is 1 where a slot holds an instance. Features of empty
slots are multiplied by 0, so that every slot can run without a condition in the graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.networks.resnet import ResidualBlock, strided_down, transposed_up

SLOPE = 0.2


def is_present(masks: Tensor) -> Tensor:
    """(N, S, H, W) → (N, S): 1 where any pixel is inside."""
    return (masks.amax(dim=(2, 3)) > 0).to(masks.dtype)


def each(network: nn.Module, sets: Tensor) -> Tensor:
    """The network on every slot: (N, S, C, H, W) → (N, S, C', H', W')."""
    out: Tensor = network(sets.flatten(0, 1))
    return out.reshape(-1, sets.shape[1], *out.shape[1:])


def _encoder(channels: int, width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU(),
        *strided_down(width, "instance"), *strided_down(2 * width, "instance"),
        *(ResidualBlock(4 * width) for _ in range(blocks)),
    )  # fmt: skip


def _decoder(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *transposed_up(4 * width, "instance"), *transposed_up(2 * width, "instance"),
        nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh(),
    )  # fmt: skip


class SetGenerator(nn.Module):
    """image (N, C, H, W), masks, present → translated image, translated masks (-1 in empty slots).

    With `skip` the decoder's picture, times what turns black into white, is added to the image: it starts near the
    identity, and what need not change keeps its grain from the first step on.
    """

    def __init__(self, channels: int, width: int, blocks: int, skip: bool = False) -> None:
        super().__init__()
        self.skip = skip
        self.image_encoder, self.mask_encoder = _encoder(channels, width, blocks), _encoder(1, width, blocks)
        self.image_decoder, self.mask_decoder = _decoder(channels, 2 * width), _decoder(1, 3 * width)

    def forward(self, image: Tensor, masks: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        held = present[:, :, None, None, None]
        own = each(self.mask_encoder, masks[:, :, None]) * held  # (N, S, 4·width, h, w)
        shared = torch.cat([self.image_encoder(image), own.sum(dim=1)], dim=1)
        beside = shared[:, None].expand(-1, masks.shape[1], -1, -1, -1)
        translated = each(self.mask_decoder, torch.cat([own, beside], dim=2)) * held - (1 - held)
        picture: Tensor = self.image_decoder(shared)
        return image + 2 * picture if self.skip else picture, translated[:, :, 0]

    @torch.no_grad()
    def start_still(self) -> None:
        """Make what is added small."""
        last = self.image_decoder[-2]
        assert isinstance(last, nn.Conv2d)
        last.weight.mul_(0.05)


class SetStep(nn.Module):
    """What ships: image and masks of a fixed number of slots → both translated; slots without a pixel are empty."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        translated: tuple[Tensor, Tensor] = self.generator(image, masks, is_present(masks))
        return translated


class SetCritic(nn.Module):
    """image, masks, present → (N, 1, h, w) logits; every convolution spectrally normalised."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.image_features, self.mask_features = _features(channels, width), _features(1, width)
        self.judge = nn.Sequential(*_conv(8 * width, 16 * width, 1), spectral_norm(nn.Conv2d(16 * width, 1, 4, 1, 1)))

    def forward(self, image: Tensor, masks: Tensor, present: Tensor) -> Tensor:
        own = each(self.mask_features, masks[:, :, None]) * present[:, :, None, None, None]
        logits: Tensor = self.judge(torch.cat([self.image_features(image), own.sum(dim=1)], dim=1))
        return logits


def _conv(inner: int, outer: int, stride: int, norms: bool = True) -> list[nn.Module]:
    conv = spectral_norm(nn.Conv2d(inner, outer, 4, stride, 1))
    return [conv, *([nn.InstanceNorm2d(outer)] if norms else []), nn.LeakyReLU(SLOPE)]


def _features(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *_conv(channels, width, 2, norms=False), *_conv(width, 2 * width, 2), *_conv(2 * width, 4 * width, 2)
    )
