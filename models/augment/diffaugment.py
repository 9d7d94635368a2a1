"""DiffAugment: differentiable augmentation of everything a critic sees.

Paper: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020.
Differs from the paper: nothing; policies are applied in the order listed, always, with random numbers per sample.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import ConfigError

Op = Callable[[Tensor], Tensor]  # a drawn augmentation: (N, C, H, W) -> (N, C, H, W)


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    return torch.rand(images.shape[0], 1, 1, 1, device=images.device, dtype=images.dtype) * (high - low) + low


def draw_color(images: Tensor) -> Op:
    """Brightness x + U(-0.5, 0.5), then saturation U(0, 2), then contrast U(0.5, 1.5) about the image's mean."""
    brightness, saturation, contrast = (_uniform(images, *r) for r in ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5)))

    def color(x: Tensor) -> Tensor:
        x = x + brightness
        gray = x.mean(dim=1, keepdim=True)
        x = (x - gray) * saturation + gray
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        return (x - mean) * contrast + mean

    return color


def draw_translation(images: Tensor, ratio: float = 0.125) -> Op:
    """Shift by whole pixels, uniform in ±ratio of each side; zeros enter."""
    n, _, height, width = images.shape
    shift_y, shift_x = round(height * ratio), round(width * ratio)
    dy = torch.randint(-shift_y, shift_y + 1, (n, 1, 1), device=images.device)
    dx = torch.randint(-shift_x, shift_x + 1, (n, 1, 1), device=images.device)
    rows = torch.arange(height, device=images.device).view(1, height, 1) + dy + shift_y
    columns = torch.arange(width, device=images.device).view(1, 1, width) + dx + shift_x
    sample = torch.arange(n, device=images.device).view(n, 1, 1)

    def translate(x: Tensor) -> Tensor:
        padded = F.pad(x, (shift_x, shift_x, shift_y, shift_y)).permute(0, 2, 3, 1)
        return padded[sample, rows, columns].permute(0, 3, 1, 2)

    return translate


def draw_cutout(images: Tensor, ratio: float = 0.5) -> Op:
    """Zero a square of half the image's side, centred anywhere."""
    n, _, height, width = images.shape
    size_y, size_x = round(height * ratio), round(width * ratio)
    top = torch.randint(0, height + (1 - size_y % 2), (n, 1, 1), device=images.device) - size_y // 2
    left = torch.randint(0, width + (1 - size_x % 2), (n, 1, 1), device=images.device) - size_x // 2
    y = torch.arange(height, device=images.device).view(1, height, 1)
    x_axis = torch.arange(width, device=images.device).view(1, 1, width)
    inside = (y >= top) & (y < top + size_y) & (x_axis >= left) & (x_axis < left + size_x)
    keep = (~inside).unsqueeze(1)

    return lambda x: x * keep


POLICIES: dict[str, Callable[[Tensor], Op]] = {
    "color": draw_color,
    "translation": draw_translation,
    "cutout": draw_cutout,
}
GEOMETRIC = ("translation", "cutout")


class DiffAugment:
    """Applies the named policies; see `models.augment.augment.Augment`."""

    def __init__(self, policy: str = "color,translation,cutout") -> None:
        self.names = tuple(name.strip() for name in policy.split(",") if name.strip())
        for name in self.names:
            if name not in POLICIES:
                raise ConfigError(f"DiffAugment has no policy {name!r}; it has {', '.join(POLICIES)}")

    def __call__(self, image: Tensor) -> Tensor:
        for name in self.names:
            image = POLICIES[name](image)(image)
        return image

    def pair(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        for name in self.names:
            op = POLICIES[name](image)
            image = op(image)
            if name in GEOMETRIC:
                condition = op(condition)
        return condition, image
