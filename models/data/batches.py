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
class LabelledImage(Batch):
    """Generation by class, and classification."""

    image: Tensor  # (N, C, H, W)
    label: Tensor  # (N,) int64


@dataclass(frozen=True)
class Adaptation(Batch):
    """A labelled source and an unlabelled target, which have nothing to do with each other."""

    source: Tensor  # (N, C, H, W)
    label: Tensor  # (N,) int64, of the source
    target: Tensor  # (N, C, H, W)


@dataclass(frozen=True)
class TwoImages(Batch):
    """Unpaired translation: `a` and `b` have nothing to do with each other."""

    a: Tensor  # (N, C, H, W)
    b: Tensor  # (N, C, H, W)


@dataclass(frozen=True)
class TwoBoxed(TwoImages):
    """Unpaired translation of images with boxes around their instances, the greatest first; empty slots are all 0."""

    boxes_a: Tensor  # (N, S, 5): x1 y1 x2 y2 in pixels from the image's corner, and 1
    boxes_b: Tensor  # (N, S, 5)


@dataclass(frozen=True)
class Bridged(TwoImages):
    """`a` and `b` are of a domain or its bridge; the second domain is segmented by labels of the first."""

    source: Tensor  # (N, C, H, W), of the first
    label: Tensor  # (N, H, W) int64, the class of each of its pixels; 255 = unknown
    target: Tensor  # (N, C, H, W), of the second


@dataclass(frozen=True)
class Pair(Batch):
    """Paired translation: `target` is registered with `source`, which may be a fraction of its size."""

    source: Tensor  # (N, C, H, W), or h × w where the target is enlarged
    target: Tensor  # (N, C, H, W)


@dataclass(frozen=True)
class DomainImages(Batch):
    """Translation between many domains: an image, and two references of the domain to translate it to."""

    image: Tensor  # (N, C, H, W)
    domain: Tensor  # (N,) int64
    reference: Tensor  # (N, C, H, W)
    reference_2: Tensor  # (N, C, H, W)
    target: Tensor  # (N,) int64, domain of both references


@dataclass(frozen=True)
class LabelledBy(Batch):
    """Images of several data sets, each with labels of its own; those of the other sets are unknown, and 0."""

    image: Tensor  # (N, C, H, W)
    label: Tensor  # (N, K) in {0, 1}, the labels of all data sets side by side
    target: Tensor  # (N, K), the labels of another image of the same data set
    source: Tensor  # (N,) int64, the data set


@dataclass(frozen=True)
class TwoSets(Batch):
    """Unpaired translation of images with the masks of their instances, the greatest first; empty slots are all -1."""

    a: Tensor  # (N, C, H, W)
    masks_a: Tensor  # (N, S, H, W) of -1 and 1
    b: Tensor  # (N, C, H, W)
    masks_b: Tensor  # (N, S, H, W)
