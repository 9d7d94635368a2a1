"""TuiGAN's networks: a pyramid of small ones, each of which translates its scale and keeps what it may of the coarser.

Lin et al., "TuiGAN: Learning Versatile Image-to-Image Translation with Two Unpaired Images", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.blocks.cubic_resize import resized


def _block(inner: int, outer: int) -> list[nn.Module]:
    return [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2)]


def _stack(inner: int, width: int, blocks: int, outer: int) -> list[nn.Module]:
    inside = [layer for _ in range(blocks) for layer in _block(width, width)]
    return [*_block(inner, width), *inside, nn.Conv2d(width, outer, 3, padding=1)]


def pixel_critic(channels: int, width: int, blocks: int) -> nn.Sequential:
    """(N, channels, H, W) → (N, 1, H, W) scores, each of the patch around a pixel: 11×11 with three blocks."""
    return nn.Sequential(*_stack(channels, width, blocks, 1))


class Stage(nn.Module):
    """image (N, C, H, W) and the coarser stage's output, enlarged to it → image in [-1, 1].

    The stage's own translation y₁ and the enlarged output y₂ are mixed by a mask a in (0, 1) for each value:
    a · y₂ + (1 - a) · y₁. The first stage has no y₂ and no mask.
    """

    def __init__(self, channels: int, width: int, blocks: int, mask_blocks: int, *, first: bool) -> None:
        super().__init__()
        self.translate = nn.Sequential(*_stack(channels, width, blocks, channels), nn.Tanh())
        self.mask = None
        if not first:
            self.mask = nn.Sequential(*_stack(3 * channels, width, mask_blocks, channels), nn.Sigmoid())

    def forward(self, image: Tensor, coarser: Tensor | None = None) -> Tensor:
        own: Tensor = self.translate(image)
        if self.mask is None or coarser is None:
            return own
        keep: Tensor = self.mask(torch.cat([image, own, coarser], dim=1))
        return own + keep * (coarser - own)


class Pyramid(nn.Module):
    """What ships: an image of any size → the same size, through all stages, the coarsest first.

    `factors`: the side of each stage's image as a share of the whole image's, the last one 1.
    """

    def __init__(self, stages: Sequence[Stage], factors: Sequence[float]) -> None:
        super().__init__()
        self.stages, self.factors = nn.ModuleList(stages), tuple(factors)

    def forward(self, image: Tensor) -> Tensor:
        return self.outputs([self.at(image, k) for k in range(len(self.factors))])[-1]

    def outputs(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Of as many stages as there are images, the coarsest first."""
        made: list[Tensor] = []
        for image in images:
            made.append(self.next(image, made))
        return made

    def next(self, image: Tensor, made: Sequence[Tensor]) -> Tensor:
        """The output of the stage behind those that made these."""
        coarser = _fitted(made[-1], (image.shape[2], image.shape[3])) if made else None
        output: Tensor = self.stages[len(made)](image, coarser)
        return output

    def at(self, image: Tensor, k: int) -> Tensor:
        """The whole image at the size of stage k."""
        return _fitted(image, self.sizes(image)[k])

    def sizes(self, image: Tensor) -> list[tuple[int, int]]:
        """Height and width of the image at each stage."""
        height, width = image.shape[2:]
        return [(max(1, round(height * factor)), max(1, round(width * factor))) for factor in self.factors]


def _fitted(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resized within [-1, 1], which a cubic may leave."""
    return image if image.shape[2:] == size else resized(image, size).clamp(-1, 1)
