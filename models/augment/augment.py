"""What stands in front of a critic: an augmentation of images, or none."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Augment(Protocol):
    """Augments what a critic sees, real and fake alike, and lets gradients through. Images are NCHW in [-1, 1]."""

    def __call__(self, image: Tensor) -> Tensor:
        """Augment each sample independently."""

    def pair(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Augment a conditional critic's two inputs: the same geometry for both, colour only for `image`."""


class NoAugment:
    """The identity."""

    def __call__(self, image: Tensor) -> Tensor:
        return image

    def pair(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        return condition, image


no_augment = NoAugment()
