"""The FCN score: does a segmenter of real pictures see in a translation what the label map asked for?

Pixel accuracy, mean class accuracy and mean class IoU (Long et al., "Fully Convolutional Networks", 2015; as a score of
translations: Isola et al., "Image-to-Image Translation", 2017).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_confusion_matrix

from runtime.frames import Array

IGNORED = 255  # level of a label map that belongs to no class

Counts = NDArray[np.int64]  # (classes, classes): true class, seen class


class Scores(NamedTuple):
    """Shares in 0…1."""

    pixel_accuracy: float
    class_accuracy: float  # mean over the classes that the labels hold
    class_iou: float  # mean over the classes that the labels or the segmenter hold


def counted(seen: Array, labels: Array, classes: int) -> Counts:
    """Confusion of one picture's (H, W) classes."""
    found = multiclass_confusion_matrix(
        torch.from_numpy(seen.astype(np.int64)), torch.from_numpy(labels.astype(np.int64)), classes,
        ignore_index=IGNORED,
    )  # fmt: skip
    return np.asarray(found.numpy(), np.int64)


def scores(counts: Counts) -> Scores:
    """Of the summed confusion of all pictures."""
    right, true, seen = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    there, any_ = true > 0, (true + seen) > 0
    return Scores(
        float(right.sum() / max(1, counts.sum())),
        float((right[there] / true[there]).mean()) if there.any() else float("nan"),
        float((right[any_] / (true + seen - right)[any_]).mean()) if any_.any() else float("nan"),
    )
