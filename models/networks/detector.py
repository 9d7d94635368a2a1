"""Who finds the instances of an image, and where they are in its translation.

`Detector` is all that DUNIT asks; `AnnotatedDetector` answers with the annotated boxes and needs to learn only how to
move a rough box onto the instance it is near, as the second stage of Faster R-CNN does (Ren et al., NIPS 2015).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from models.blocks.norm import norm
from models.blocks.roi import is_box, roi_align
from models.losses.boxes import moved, offset_loss

STRIDE = 4
CONTEXT = 1.5  # the sides of what is looked at, in sides of the proposal: edges stand inside
BINS = 7


class Detector(Protocol):
    """Anything that finds boxes; images are (N, C, H, W) in [-1, 1], boxes (N, S, 5) as in models/blocks/roi.py."""

    def detect(self, image: Tensor, known: Tensor) -> Tensor:
        """Boxes of an image, as many slots as `known`, the annotated ones, which it need not look at."""

    def refine(self, image: Tensor, proposals: Tensor) -> Tensor:
        """Where the instances near the proposals are: (N, S, 4); gradients reach the image."""


class AnnotatedDetector(nn.Module):
    """The annotated boxes, and a small network that moves proposals onto instances."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sides = [(channels, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2), (4 * width, 4 * width, 1)]
        self.backbone = nn.Sequential(*(
            layer for inner, outer, stride in sides
            for layer in (nn.Conv2d(inner, outer, 3, stride, 1), norm("layer", outer), nn.ReLU())
        ))  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(4 * width * BINS * BINS, 16 * width), nn.ReLU(), nn.Linear(16 * width, 4)
        )

    def detect(self, image: Tensor, known: Tensor) -> Tensor:
        """The annotated boxes."""
        return known

    def refine(self, image: Tensor, proposals: Tensor) -> Tensor:
        """Proposals, moved."""
        return moved(proposals, self.offsets(image, proposals))

    def offsets(self, image: Tensor, proposals: Tensor) -> Tensor:
        """(N, S, 4), as in models/losses/boxes.py."""
        seen = roi_align(self.backbone(image), enlarged(proposals), BINS, 1 / STRIDE)
        offsets: Tensor = self.head(seen.flatten(0, 1))
        return offsets.view(*proposals.shape[:2], 4)

    def loss(self, image: Tensor, boxes: Tensor) -> Tensor:
        """To find annotated boxes again from proposals near them."""
        proposals = jittered(boxes)
        return offset_loss(self.offsets(image, proposals), proposals, boxes, is_box(boxes))


def enlarged(boxes: Tensor) -> Tensor:
    """The boxes with context around them."""
    low, high = boxes[..., :2], boxes[..., 2:4]
    margin = (high - low) * (CONTEXT - 1) / 2
    return torch.cat([low - margin, high + margin, boxes[..., 4:]], dim=-1)


def jittered(boxes: Tensor, shift: float = 0.15, scale: float = 0.2) -> Tensor:
    """The boxes, their centres moved by up to `shift` of their sides and their sides by up to a factor e^±`scale`."""
    drawn = torch.rand(*boxes.shape[:-1], 4, device=boxes.device) * 2 - 1
    factors = torch.tensor([shift, shift, scale, scale], device=boxes.device)
    return torch.cat([moved(boxes, drawn * factors), boxes[..., 4:]], dim=-1)
