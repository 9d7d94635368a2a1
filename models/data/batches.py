"""What datasets yield and systems train on: frozen dataclasses of tensors, images float NCHW RGB in [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.system import Batch


@dataclass(frozen=True)
class OneImage(Batch):
    """Unconditional generation."""

    image: Tensor  # (N, C, H, W)


@dataclass(frozen=True)
class TwoImages(Batch):
    """Unpaired translation: `a` and `b` have nothing to do with each other."""

    a: Tensor  # (N, C, H, W)
    b: Tensor  # (N, C, H, W)


@dataclass(frozen=True)
class Pair(Batch):
    """Paired translation: `target` is registered with `source`."""

    source: Tensor  # (N, C, H, W)
    target: Tensor  # (N, C, H, W)


@dataclass(frozen=True)
class DomainImages(Batch):
    """Translation between many domains: an image, and two references of the domain to translate it to."""

    image: Tensor  # (N, C, H, W)
    domain: Tensor  # (N,) int64
    reference: Tensor  # (N, C, H, W)
    reference_2: Tensor  # (N, C, H, W)
    target: Tensor  # (N,) int64, domain of both references
