"""Structural similarity as a loss (Wang et al., "Image Quality Assessment: From Error Visibility to …", TIP 2004)."""

from __future__ import annotations

import torch
from torch import Tensor

from models.errors import ConfigError

SIGMA = 1.5  # px, of the Gaussian window
RADIUS = 5  # px, at which it ends: 11×11
K1, K2 = 0.01, 0.03  # of the constants that steady the quotients


def ssim(image: Tensor, reference: Tensor, value_range: float = 2.0) -> Tensor:
    """Mean structural similarity of (N, C, H, W) images, over all windows that lie inside; at most 1.

    `value_range` is white less black: 2 for images in [-1, 1]. In full precision whatever the rest of the training runs
    in, for a variance is a small difference of large moments.

    Raises:
        ConfigError: the images are smaller than the 11×11 window.
    """
    size = 2 * RADIUS + 1
    if min(image.shape[2:]) < size:
        raise ConfigError(f"structural similarity needs images of {size}×{size} px or more, not {image.shape[2:]}")
    c1, c2 = (K1 * value_range) ** 2, (K2 * value_range) ** 2
    image, reference = image.float(), reference.float()
    moments = torch.cat([image, reference, image * image, reference * reference, image * reference])
    with torch.autocast(image.device.type, enabled=False):
        x, y, xx, yy, xy = blurred(moments).chunk(5)
    variances = (xx - x * x) + (yy - y * y)
    similarity = ((2 * x * y + c1) * (2 * (xy - x * y) + c2)) / ((x * x + y * y + c1) * (variances + c2))
    return similarity.mean()


def blurred(image: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, H - 10, W - 10), weighted means over the Gaussian window.

    As two products with banded matrices: convolutions of single planes are several times slower on a CPU.
    """
    height, width = image.shape[2:]
    blurred: Tensor = _window(height, image).T @ image @ _window(width, image)
    return blurred


def _window(size: int, like: Tensor) -> Tensor:
    """(size, size - 10): column k holds the window's weights from row k on."""
    at = torch.arange(size, dtype=like.dtype, device=like.device)
    distance = at[:, None] - at[None, : size - 2 * RADIUS] - RADIUS
    weight = torch.exp(-(distance / SIGMA).square() / 2) * (distance.abs() <= RADIUS)
    return weight / weight.sum(0)
