"""The change that a critic's verdict must not mind: mirrored, and shifted by a few pixels (CR-GAN's augmentation)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.augment.diffaugment import Op, draw_translation

REACH = 1 / 32  # of a side: below the stride of a PatchGAN's logits up to 256 px, so that the maps stay comparable


@dataclass(frozen=True)
class Mirrored:
    """A drawn change of a batch. Images (N, C, H, W)."""

    mirror: Tensor  # (N) bool
    shift: Op

    def __call__(self, images: Tensor) -> Tensor:
        flipped = torch.where(self.mirror.view(-1, 1, 1, 1), images.flip(3), images)
        return self.shift(flipped)

    def back(self, logits: Tensor) -> Tensor:
        """Logits of changed images; a map (N, 1, h, w) is mirrored back, other shapes are as they are."""
        if logits.ndim != 4:
            return logits
        return torch.where(self.mirror.view(-1, 1, 1, 1), logits.flip(3), logits)


def draw_mirrored(images: Tensor) -> Mirrored:
    """Mirrored with probability 1/2, shifted by up to a 32nd of each side; zeros enter."""
    mirror = torch.rand(len(images), device=images.device) < 0.5
    return Mirrored(mirror, draw_translation(images, REACH))
