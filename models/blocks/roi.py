"""Features of boxes, cut from a map and put back into it: RoIAlign (He et al., ICCV 2017) and its inverse.

Both are bilinear, so they are products with two small matrices per box, of its rows and of its columns. As plain
products they are differentiable in the boxes too, and every backend runs them; ONNX's RoiAlign, whose half-pixel rule
changed between opsets, is not needed.

Boxes are (N, S, 5): x1 y1 x2 y2 in pixels from the image's corner, and 1 where there is one. What is marked 0, or has
no area, counts as absent.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLES = 2  # per bin and axis


def is_box(boxes: Tensor) -> Tensor:
    """(N, S) of 1 where a slot holds a box and 0 where it is empty."""
    there = (boxes[..., 4] > 0.5) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    return there.to(boxes.dtype)


def roi_align(features: Tensor, boxes: Tensor, side: int, scale: float = 1.0) -> Tensor:
    """(N, C, h, w), boxes (N, S, 5) → (N, S, C, side, side); `scale` is h over the image's height.

    torchvision's roi_align with aligned=True (pixel centres at halves) and sampling_ratio=2: a bin is the mean of 2×2
    bilinear samples; a sample within one pixel outside the map takes its edge, one further out is 0. Empty slots: 0.
    """
    height, width = features.shape[2:]
    x1, y1, x2, y2 = (boxes[..., k] * scale - 0.5 for k in range(4))
    rows = _bin_weights(y1, y2, side, height) * is_box(boxes)[..., None, None]
    columns = _bin_weights(x1, x2, side, width)
    return rows[:, :, None] @ features[:, None] @ columns[:, :, None].mT


def paste(instances: Tensor, boxes: Tensor, size: tuple[int, int], scale: float = 1.0) -> Tensor:
    """(N, S, C, side, side) maps of boxes (N, S, 5) → (N, C, *size): each stretched over its box, 0 elsewhere.

    A pixel that a box covers in part takes that part; where boxes overlap, it takes their mean.
    """
    side = instances.shape[-1]
    x1, y1, x2, y2 = (boxes[..., k] * scale for k in range(4))
    rows, row_share = _pixel_weights(y1, y2, side, size[0])
    columns, column_share = _pixel_weights(x1, x2, side, size[1])
    there = is_box(boxes)[..., None, None]
    cover = (row_share[..., :, None] * column_share[..., None, :] * there).sum(dim=1)
    placed = (rows * there)[:, :, None] @ instances @ columns[:, :, None].mT
    return placed.sum(dim=1) / cover.clamp(min=1.0)[:, None]


def _bin_weights(low: Tensor, high: Tensor, bins: int, pixels: int) -> Tensor:
    """Edges (N, S) in pixel indices → (N, S, bins, pixels): how much each pixel counts in each bin."""
    steps = (torch.arange(bins * SAMPLES, dtype=low.dtype, device=low.device) + 0.5) / (bins * SAMPLES)
    at = low[..., None] + (high - low)[..., None] * steps
    inside = ((at >= -1) & (at <= pixels)).to(low.dtype)
    weights = _hats(at.clamp(0, pixels - 1), pixels) * inside[..., None]
    return weights.reshape(*low.shape, bins, SAMPLES, pixels).mean(dim=-2)


def _pixel_weights(low: Tensor, high: Tensor, bins: int, pixels: int) -> tuple[Tensor, Tensor]:
    """Edges (N, S), in pixels from the corner → (N, S, pixels, bins), how much each bin counts in each pixel, and the
    covered share of each pixel (N, S, pixels)."""
    edges = torch.arange(pixels, dtype=low.dtype, device=low.device)
    overlap = torch.minimum(edges + 1, high[..., None]) - torch.maximum(edges, low[..., None])
    share = overlap.clamp(0, 1)
    length = (high - low).clamp(min=1e-3)[..., None]
    at = (edges + 0.5 - low[..., None]) * bins / length - 0.5
    return _hats(at.clamp(0, bins - 1), bins) * share[..., None], share


def _hats(at: Tensor, count: int) -> Tensor:
    """Positions (…) in [0, count - 1] → (…, count): linear interpolation between whole numbers."""
    whole = torch.arange(count, dtype=at.dtype, device=at.device)
    return F.relu(1 - (at[..., None] - whole).abs())
