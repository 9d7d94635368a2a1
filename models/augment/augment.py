"""What stands in front of a critic: an augmentation of images, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
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


@dataclass(frozen=True)
class InstanceNoise:
    """Gaussian noise on all that a critic sees, behind another augmentation (Sønderby et al., ICLR 2017).

    It makes the distributions of real and fake images overlap; the trainer lets `std` fall to 0 by the end.
    """

    before: Augment
    std: float

    def __call__(self, image: Tensor) -> Tensor:
        return self._noisy(self.before(image))

    def pair(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        condition, image = self.before.pair(condition, image)
        return condition, self._noisy(image)

    def _noisy(self, image: Tensor) -> Tensor:
        return image + self.std * torch.randn_like(image)


no_augment = NoAugment()
