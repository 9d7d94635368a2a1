"""Losses on boxes x1 y1 x2 y2, of shape (…, 4), with a mask (…) of which there are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-6  # px²


def iou(first: Tensor, second: Tensor) -> Tensor:
    """(…, 4), (…, 4) → (…): the shared area over the joint one."""
    shared, joint, _ = _areas(first, second)
    return shared / joint.clamp(min=EPS)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU less the share of the smallest box around both that neither fills; in (-1, 1], 1 for equal boxes.

    Unlike IoU it pulls boxes together that do not meet (Rezatofighi et al., CVPR 2019).
    """
    shared, joint, hull = _areas(first, second)
    return shared / joint.clamp(min=EPS) - (hull - joint) / hull.clamp(min=EPS)


def box_loss(found: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
    """Mean 1 - generalised IoU of the boxes that there are; 0 for equal ones, and where there is none."""
    return _mean(1 - generalised_iou(found, wanted), there)


def offset_loss(offsets: Tensor, proposals: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
    """Smooth L1 of offsets (…, 4) against those that move the proposals onto the wanted boxes."""
    return _mean(F.smooth_l1_loss(offsets, offsets_to(proposals, wanted), reduction="none").sum(dim=-1), there)


def offsets_to(proposals: Tensor, boxes: Tensor) -> Tensor:
    """Shifts of the centre in sizes of the proposal, and logarithms of how sizes change (Girshick et al., 2014)."""
    (x, y, width, height), (to_x, to_y, to_width, to_height) = _centred(proposals), _centred(boxes)
    shifts = (to_x - x) / width, (to_y - y) / height
    return torch.stack([*shifts, (to_width / width).log(), (to_height / height).log()], dim=-1)


def moved(proposals: Tensor, offsets: Tensor) -> Tensor:
    """The inverse of `offsets_to`; sizes change by a factor of e at most."""
    x, y, width, height = _centred(proposals)
    x, y = x + offsets[..., 0] * width, y + offsets[..., 1] * height
    width, height = (side * offsets[..., k].clamp(-1, 1).exp() for k, side in ((2, width), (3, height)))
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=-1)


def _centred(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes[..., :4].unbind(dim=-1)
    return (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1).clamp(min=EPS), (y2 - y1).clamp(min=EPS)


def _areas(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shared, joint and surrounding area."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:4], second[..., 2:4])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    joint = _area(first) + _area(second) - shared
    low, high = torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:4], second[..., 2:4])
    return shared, joint, (high - low).prod(dim=-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:4] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def _mean(values: Tensor, there: Tensor) -> Tensor:
    return (values * there).sum() / there.sum().clamp(min=1)
