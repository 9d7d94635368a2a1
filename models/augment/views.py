"""Another view of the same picture: what a clustering network must not mind (TUNIT)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def random_view(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1], turned up to 20°, shifted a tenth, sheared 10°, cut, mirrored, recoloured."""
    return recoloured(_moved(images)).clamp(-1, 1)


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    return torch.rand(len(images), device=images.device) * (high - low) + low


def _moved(images: Tensor) -> Tensor:
    angle, shear = (math.radians(1) * _uniform(images, -d, d) for d in (20.0, 10.0))
    side = _uniform(images, 0.9, 1.1).sqrt()  # of the part that is cut out
    mirror = torch.where(torch.rand(len(images), device=images.device) < 0.5, -1.0, 1.0)
    shift_x, shift_y = (_uniform(images, -0.2, 0.2) for _ in range(2))  # of a side of 2
    cos, sin = angle.cos(), angle.sin()
    top = torch.stack([side * mirror * cos, side * (cos * shear.tan() - sin), shift_x], dim=1)
    bottom = torch.stack([side * mirror * sin, side * (sin * shear.tan() + cos), shift_y], dim=1)
    grid = F.affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


def recoloured(images: Tensor) -> Tensor:
    """Brightness and contrast 0.6 to 1.4, and for colour saturation 0.6 to 1.4 and hue up to an eighth of a turn."""
    unit = (images + 1) / 2
    brightness, contrast, saturation = (_uniform(images, 0.6, 1.4)[:, None, None, None] for _ in range(3))
    unit = unit * brightness
    unit = torch.lerp(unit.mean(dim=(1, 2, 3), keepdim=True).expand_as(unit), unit, contrast)
    if images.shape[1] == 3:
        gray = unit.mean(dim=1, keepdim=True)
        unit = gray + _hue_turned((unit - gray) * saturation, _uniform(images, -0.125, 0.125))
    return unit * 2 - 1


def _hue_turned(colour: Tensor, turns: Tensor) -> Tensor:
    """Rotate colours (N, 3, H, W) about the gray axis (Rodrigues)."""
    angle = (2 * math.pi * turns)[:, None, None, None]
    r, g, b = colour.unbind(dim=1)
    across = torch.stack([g - b, b - r, r - g], dim=1) / math.sqrt(3)  # colour × axis; the sign is drawn either way
    return colour * angle.cos() + across * angle.sin()
