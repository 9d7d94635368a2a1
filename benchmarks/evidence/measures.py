"""Figures that need no network: closed forms on numbers, vectors and pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.metrics import ssim
from runtime.frames import Array

Vectors = NDArray[np.float64]


def edge_ssim(one: Array, other: Array) -> float:
    """SSIM of the edges of two pictures (H, W, C) uint8: whether things are where they were, whatever their colour."""
    return ssim(edges(one), edges(other))


def edges(picture: Array) -> Array:
    """(H, W, C) uint8 → (H, W, 1) uint8: the length of the luminance's gradient (Scharr), 255 = its 99th percentile."""
    gray = picture[:, :, 0] if picture.shape[2] == 1 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    across, down = (cv2.Scharr(gray.astype(np.float32), cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))
    length = np.hypot(across, down)
    scaled = length * (255 / max(1e-6, float(np.percentile(length, 99))))
    return np.asarray(scaled.clip(0, 255).round(), np.uint8)[:, :, None]


def frechet(one: Vectors, other: Vectors) -> float:
    """Fréchet distance of the Gaussians that fit two sets of vectors (N, D) and (M, D):
    |μ₁ - μ₂|² + tr(C₁ + C₂ - 2 (C₁C₂)^½). Of Inception's features it would be FID; of others it is not."""
    means = [vectors.mean(axis=0) for vectors in (one, other)]
    first, second = (np.atleast_2d(np.cov(vectors, rowvar=False)) for vectors in (one, other))
    root = _square_root(first)
    # (C₁C₂)^½ has the trace of (C₁^½ C₂ C₁^½)^½, which is symmetric.
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(np.square(means[0] - means[1]).sum() + np.trace(first) + np.trace(second) - 2 * shared)


def _square_root(symmetric: Vectors) -> Vectors:
    values, vectors = np.linalg.eigh(symmetric)
    root: Vectors = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root


def nearest(points: Vectors, among: Vectors) -> Vectors:
    """Root mean square difference of each of the (N, D) points to its nearest of (M, D): (N)."""
    squares = np.square(points).sum(1)[:, None] + np.square(among).sum(1) - 2 * points @ among.T
    distances: Vectors = np.sqrt(squares.min(axis=1).clip(0) / points.shape[1])
    return distances


def mutual_information(counts: Vectors) -> float:
    """Bits that one class says of the other, from how often each two came together: (C, C)."""
    return entropy(counts.sum(axis=0)) + entropy(counts.sum(axis=1)) - entropy(counts.ravel())


def entropy(shares: Vectors) -> float:
    """Of a distribution, in bits; counts will do."""
    p = shares[shares > 0] / shares.sum()
    return float(-(p * np.log2(p)).sum())


def cluster_accuracy(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Share of samples whose cluster stands for their label, under the one-to-one naming of clusters that is best."""
    counts = np.zeros((int(clusters.max()) + 1, int(labels.max()) + 1), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    rows, columns = linear_sum_assignment(-counts)
    return float(counts[rows, columns].sum() / len(labels))
