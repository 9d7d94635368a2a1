"""Figures that need no network: closed forms on numbers, vectors and pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional as F

from benchmarks.evidence.pictures import to_frames

BLACK = -0.95  # tensor level below which a pixel is air
RIM = 2  # px around a subject that still count
Vectors = NDArray[np.float64]


def mutual_information(counts: Vectors) -> float:
    """Bits that one class says of the other, from how often each two came together: (C, C)."""
    return entropy(counts.sum(axis=0)) + entropy(counts.sum(axis=1)) - entropy(counts.ravel())


def entropy(shares: Vectors) -> float:
    """Of a distribution, in bits; counts will do."""
    p = shares[shares > 0] / shares.sum()
    return float(-(p * np.log2(p)).sum())


def cluster_accuracy(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Share of samples whose cluster stands for their label, under the one-to-one naming of clusters that is best."""
    counts = _met(clusters, labels)
    rows, columns = linear_sum_assignment(-counts)
    return float(counts[rows, columns].sum() / len(labels))


def purity(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Share of samples whose cluster's most frequent label is theirs: several clusters may stand for one label."""
    return float(_met(clusters, labels).max(axis=1).sum() / len(labels))


def _met(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each cluster came with each label."""
    counts = np.zeros((int(clusters.max()) + 1, int(labels.max()) + 1), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    return counts


def ssim_where(one: Tensor, other: Tensor, where: Tensor) -> float:
    """Mean over N images (N, C, H, W) of the SSIM map's mean over the pixels of `where` (N, H, W)."""
    found = []
    for a, b, kept in zip(to_frames(one), to_frames(other), where.numpy(), strict=True):
        _, map_ = structural_similarity(  # type: ignore[no-untyped-call]
            a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        found.append(float(map_.mean(axis=2)[kept].mean()))
    return float(np.mean(found))


def grown(inside: Tensor, by: int) -> Tensor:
    """(N, H, W) bool, `by` px wider on all sides."""
    wide = F.max_pool2d(inside[:, None].float(), 2 * by + 1, 1, by)
    return wide[:, 0] > 0


def subject(one: Tensor, other: Tensor) -> Tensor:
    """(N, H, W) bool: where images (N, C, H, W) are not both black. Air fills most of a slice of a head."""
    return grown(((one > BLACK) | (other > BLACK)).any(dim=1), RIM)
