"""DIAT's networks: what the image becomes, where it may change, and who judges it.

Li et al., "Deep Identity-aware Transfer of Facial Attributes", 2016; sizes are those of the authors' code.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import ConfigError

CELL = 4  # px of a mask cell
HALVINGS = 5  # of the transform
SIGMA_CELLS, SIGMA_PIXELS = 2.0, 4.0  # of the Gaussians on the mask's cells and on its pixels


def _normalised(conv: nn.Conv2d) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels), nn.PReLU(conv.out_channels)]


class Transform(nn.Module):
    """(N, channels, H, W) → same in [-1, 1]; H and W multiples of 32; encoder maps are added to the decoder's."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sides = [channels, width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.down = nn.ModuleList(
            nn.Sequential(*_normalised(nn.Conv2d(inner, outer, 4, 2, 1, bias=False)))
            for inner, outer in pairwise(sides)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.PixelShuffle(2), *_normalised(nn.Conv2d(inner // 4, outer, 3, padding=1, bias=False)))
            for inner, outer in pairwise(sides[:0:-1])
        )
        self.head = nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(width // 4, channels, 5, padding=2), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        maps = [image]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps[-1]
        for up, skip in zip(self.up, maps[-2:0:-1], strict=True):
            x = up(x) + skip
        transformed: Tensor = self.head(x)
        return transformed


class ChangeMask(nn.Module):
    """image (N, channels, H, W) → where it may change, (N, 1, H, W) in [0, 1]: cells that are on or off, blurred."""

    fine: Tensor
    coarse: Tensor

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(4 * width, 2 * width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(2 * width, 1, 3, padding=1), nn.Sigmoid(),
        )  # fmt: skip
        self.register_buffer("coarse", gaussian(5, SIGMA_CELLS), persistent=False)
        self.register_buffer("fine", gaussian(9, SIGMA_PIXELS), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.spread(self.cells(image))

    def cells(self, image: Tensor) -> Tensor:
        """(N, 1, H/4, W/4) of 0 and 1; in training the gradient passes the threshold as if it were not there."""
        soft = blurred(self.layers(image), self.coarse)
        hard = (soft > 0.5).to(soft.dtype)
        return hard + (soft - soft.detach()) if self.training else hard

    def spread(self, cells: Tensor) -> Tensor:
        """Cells → pixels, with soft edges."""
        return blurred(F.interpolate(cells, scale_factor=float(CELL), mode="nearest"), self.fine)


def gaussian(side: int, sigma: float) -> Tensor:
    """(1, 1, side, side) that sums to one."""
    row = torch.exp(-0.5 * ((torch.arange(side) - side // 2) / sigma) ** 2)
    kernel = torch.outer(row, row)
    return (kernel / kernel.sum())[None, None]


def blurred(x: Tensor, kernel: Tensor) -> Tensor:
    """(N, 1, H, W) → same, edges repeated."""
    edge = kernel.shape[2] // 2
    return F.conv2d(F.pad(x, (edge,) * 4, "replicate"), kernel)


class MaskedTransform(nn.Module):
    """What ships: m · transformed + (1 - m) · image; where the mask m is 0, the image is what it was."""

    def __init__(self, transform: nn.Module, mask: nn.Module) -> None:
        super().__init__()
        self.transform, self.mask = transform, mask

    def forward(self, image: Tensor) -> Tensor:
        return masked(image, self.transform(image), self.mask(image))


def masked(image: Tensor, transformed: Tensor, mask: Tensor) -> Tensor:
    """The transformed image inside the mask, the image itself outside."""
    return mask * transformed + (1 - mask) * image


class Enhanced(nn.Module):
    """What ships with the second stage in the same graph: `enhance` (N, 1) is its share, 0 = off, 1 = on."""

    def __init__(self, first: nn.Module, enhancer: nn.Module) -> None:
        super().__init__()
        self.first, self.enhancer = first, enhancer

    def forward(self, image: Tensor, enhance: Tensor) -> Tensor:
        plain = self.first(image)
        share = enhance[:, :, None, None]
        mixed: Tensor = share * self.enhancer(plain) + (1 - share) * plain
        return mixed


class AttributeCritic(nn.Module):
    """(N, channels, size, size) → (N, 1) scores; `features` are those of its fourth convolution."""

    def __init__(self, channels: int, width: int, hidden: int, size: int) -> None:
        super().__init__()
        if size % 64:
            raise ConfigError(f"DIAT's critic takes crops of a multiple of 64 px, not size = {size}")
        sides = [channels, width, 2 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for inner, outer in pairwise(sides):
            layers += [nn.Conv2d(inner, outer, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers[:-1])
        normed = [
            layer for _ in range(2)
            for layer in (nn.Conv2d(4 * width, 4 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(4 * width),
                          nn.LeakyReLU(0.2))
        ]  # fmt: skip
        flat = 4 * width * (size // 64) ** 2
        self.judge = nn.Sequential(
            layers[-1], *normed, nn.Flatten(), nn.Linear(flat, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        score: Tensor = self.judge(self.features(image))
        return score
