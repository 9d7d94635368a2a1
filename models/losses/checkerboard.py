"""A penalty on the grid that sub-pixel heads leave."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

WINDOW = 5  # cells over which a phase is averaged: a grid repeats there, an edge does not


def checkerboard(images: Tensor, period: int = 4) -> Tensor:
    """Mean absolute difference, over windows of WINDOW² cells, of the period² phases of the detail in (N, C, H, W).

    Detail is what the bilinearly enlarged period×period means lack, so smooth shading costs nothing. A picture with the
    same small pattern in every period×period cell has all of it counted; noise and edges average out.
    """
    smooth = F.interpolate(F.avg_pool2d(images, period), scale_factor=period, mode="bilinear")
    phases = F.pixel_unshuffle(images - smooth, period)  # (N, C·period², H / period, W / period)
    return F.avg_pool2d(phases, WINDOW, stride=1).abs().mean()
