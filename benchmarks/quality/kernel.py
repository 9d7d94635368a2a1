"""The kernel distance of two sets of feature vectors: KID of Inception's features, KID-SqueezeNet of SqueezeNet's.

The unbiased estimate of the squared maximum mean discrepancy with the kernel (x·y / D + 1)³ (Bińkowski et al.,
"Demystifying MMD GANs", 2018), over all pictures at once and not over random subsets of them: no further randomness.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.image.kid import poly_kernel

from benchmarks.quality.bootstrap import LEVEL
from benchmarks.quality.frechet import Vectors


class Kernels(NamedTuple):
    """The kernel between all vectors; the diagonals of the first two are 0, since no vector is compared with itself."""

    one: Vectors  # (N, N)
    other: Vectors  # (M, M)
    across: Vectors  # (N, M)


def kernels_of(one: Vectors, other: Vectors) -> Kernels:
    """Of (N, D) and (M, D) vectors."""
    first, second = torch.from_numpy(one), torch.from_numpy(other)
    within = [poly_kernel(x, x).fill_diagonal_(0).numpy() for x in (first, second)]
    return Kernels(within[0], within[1], poly_kernel(first, second).numpy())


def kernel_distance(one: Vectors, other: Vectors) -> float:
    """Of (N, D) and (M, D) vectors, N and M at least 2; about 0, and often below, for sets of one kind."""
    return _weighted(kernels_of(one, other), np.ones(len(one)), np.ones(len(other)))


def kernel_interval(one: Vectors, other: Vectors, seed: int, resamples: int) -> tuple[float, float]:
    """Bootstrap percentiles. Pictures count as often as they are drawn, but two copies of one picture are no pair."""
    kernels, rng = kernels_of(one, other), np.random.default_rng(seed)
    found = [
        _weighted(kernels, *(rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64) for n in map(len, (one, other))))
        for _ in range(resamples)
    ]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _weighted(kernels: Kernels, first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    within = sum(
        float(weights @ kernel @ weights) / float(weights.sum() ** 2 - np.square(weights).sum())
        for kernel, weights in ((kernels.one, first), (kernels.other, second))
    )
    return within - 2 * float(first @ kernels.across @ second) / float(first.sum() * second.sum())
