"""ADA's changes of what an image shows rather than where: colour, frequency bands, noise and a hole.

Paper: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, appendix B.
Differs from the paper: images that are not of three channels get its brightness, contrast and inversion only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from models.augment.ada_geometry import fires
from models.augment.diffaugment import Op

BRIGHTNESS, CONTRAST, SATURATION, GAIN, NOISE, HOLE = 0.2, 0.5, 1.0, 1.0, 0.1, 0.5
HALF_BAND = (-1 / 32, 0.0, 9 / 32, 0.5, 9 / 32, 0.0, -1 / 32)  # autocorrelation of the symlet of four taps
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural images in the four bands, the lowest first


def draw_color(images: Tensor, p: float) -> Op:
    """Brightness, contrast, inversion of the luminance, hue and saturation, each with probability p, as one map.

    Levels are in [-1, 1]: y = matrix · x + offset for each pixel's (R, G, B).
    """
    n, device = len(images), images.device

    def normal(std: float) -> Tensor:
        return (std * torch.randn(n, device=device) * fires(n, p, device)).view(n, 1, 1)

    gray = torch.full((3, 3), 1 / 3, device=device)  # projects on the axis of grays
    still = torch.eye(3, device=device)
    offset = normal(BRIGHTNESS)
    contrast = normal(CONTRAST).exp2()
    inverted = (fires(n, p, device) & fires(n, 0.5, device)).view(n, 1, 1)
    angle = (math.pi * (torch.rand(n, device=device) * 2 - 1) * fires(n, p, device)).view(n, 1, 1)
    saturation = normal(SATURATION).exp2()
    inversion = still - 2 * gray * inverted
    hue = angle.cos() * still + (1 - angle.cos()) * gray + angle.sin() * _across_grays(device)
    matrix = (gray + (still - gray) * saturation) @ hue @ inversion * contrast
    # The grays (1, 1, 1) stay grays: of them the map is a gain and an offset.
    gain = matrix.sum(dim=(1, 2), keepdim=True) / 3
    offset = (offset * gain).unsqueeze(3)

    def color(x: Tensor) -> Tensor:
        if x.shape[1] != 3:
            return x * gain.unsqueeze(3) + offset
        return torch.einsum("nij,njhw->nihw", matrix, x) + offset

    return color


def _across_grays(device: torch.device) -> Tensor:
    """The matrix of the cross product with the unit vector of grays."""
    return torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=device) / math.sqrt(3)


def draw_filter(images: Tensor, p: float) -> Op:
    """Each of four bands of frequencies (borders at 1/8, 1/4 and 1/2 of the highest) made weaker or stronger."""
    n, device = len(images), images.device
    power = torch.tensor(POWER, device=device)
    gains = torch.ones(n, 4, device=device)
    for band in range(4):
        own = torch.ones(n, 4, device=device)
        own[:, band] = (GAIN * torch.randn(n, device=device) * fires(n, p, device)).exp2()
        gains = gains * own / (own.square() @ power).sqrt()[:, None]  # the expected power stays
    taps = gains @ bands(device)

    def filtered(x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        flat = x.reshape(1, count * channels, height, width)
        kernel = taps.repeat_interleave(channels, dim=0).to(x.dtype)
        reach = kernel.shape[1] // 2
        for shape, pad in (((1, -1), (reach, reach, 0, 0)), ((-1, 1), (0, 0, reach, reach))):
            weight = kernel.view(count * channels, 1, *shape)
            flat = F.conv2d(F.pad(flat, pad, mode=_padding(x, reach)), weight, groups=count * channels)
        return flat.view_as(x)

    return filtered


def _padding(images: Tensor, reach: int) -> str:
    return "reflect" if min(images.shape[2:]) > reach else "replicate"


def bands(device: torch.device) -> Tensor:
    """(4, 43): zero-phase filters of four bands, the lowest first, whose sum is the identity."""
    length, low = 43, torch.zeros(43, dtype=torch.float64)
    low[length // 2] = 1.0
    found = []
    for level in range(3):
        step = 2**level
        spread = torch.zeros(6 * step + 1, dtype=torch.float64)
        spread[::step] = torch.tensor(HALF_BAND, dtype=torch.float64)
        lower = F.conv1d(low.view(1, 1, -1), spread.view(1, 1, -1), padding=3 * step).flatten()
        found.append(low - lower)
        low = lower
    return torch.stack([low, *reversed(found)]).to(device, torch.float32)


def draw_noise(images: Tensor, p: float) -> Op:
    """Gaussian noise whose strength is drawn too: std |N(0, 0.1²)|, with probability p."""
    n, device = len(images), images.device
    std = (NOISE * torch.randn(n, device=device).abs() * fires(n, p, device)).view(n, 1, 1, 1)
    noise = torch.randn(images.shape, device=device) * std
    return lambda x: x + noise


def draw_cutout(images: Tensor, p: float) -> Op:
    """A square of half the side, centred anywhere, becomes gray (0), with probability p."""
    n, _, height, width = images.shape
    device = images.device
    size = (HOLE * fires(n, p, device)).view(n, 1, 1)
    centre_y, centre_x = torch.rand(2, n, 1, 1, device=device)
    y, x = ((torch.arange(side, device=device) + 0.5) / side for side in (height, width))
    outside = ((y.view(1, -1, 1) - centre_y).abs() >= size / 2) | ((x.view(1, 1, -1) - centre_x).abs() >= size / 2)
    return lambda image: image * outside.unsqueeze(1)
