"""The Fréchet distance of two sets of feature vectors. Of Inception's features it is FID; of others it is not.

|μ₁ - μ₂|² + tr(C₁ + C₂ - 2 (C₁C₂)^½) of the Gaussians that fit the two sets (Heusel et al., "GANs Trained by a Two
Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]  # (N, D)


def frechet(one: Vectors, other: Vectors) -> float:
    """Of (N, D) and (M, D) vectors, N and M at least 2.

    With C₁ = AᵀA and C₂ = BᵀB the trace of (C₁C₂)^½ is the sum of the singular values of ABᵀ, which is N × M: no D × D
    matrix is needed where there are few vectors, and no square root of a matrix that is singular then.
    """
    means = [vectors.mean(axis=0) for vectors in (one, other)]
    first, second = (_deviations(vectors) for vectors in (one, other))
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    spread = np.square(first).sum() + np.square(second).sum()
    return float(np.square(means[0] - means[1]).sum() + spread - 2 * shared)


def _deviations(vectors: Vectors) -> Vectors:
    """A with AᵀA = the covariance; no more rows than columns."""
    centred = (vectors - vectors.mean(axis=0)) / np.sqrt(len(vectors) - 1)
    return centred if len(centred) <= centred.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"), np.float64)


def few(pictures: int, dimensions: int) -> str:
    """What has to be said of a Fréchet distance over few pictures; "" over enough."""
    if pictures >= 2 * dimensions:
        return ""
    return (
        f"biased upward: {pictures} pictures for {dimensions} dimensions, where twice as many pictures are wanted; "
        "compare columns of one run only, and use KID, which is unbiased"
    )
