"""Is what a generator makes nearer to its training images than real images are that it never saw?

The distance of each made picture to its nearest training image is compared with that of held-out real pictures: the
Mann-Whitney statistic as a standard score, strongly negative where training images are copied (Meehan et al., "A
Non-Parametric Test to Detect Data-Copying in Generative Models", AISTATS 2020, with one cell).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.quality.frechet import Vectors

COPIED = -3.0  # standard score below which chance is no explanation


def nearest(points: Vectors, among: Vectors) -> Vectors:
    """Root mean square difference of each of the (N, D) points to its nearest of (M, D): (N)."""
    squares = np.square(points).sum(1)[:, None] + np.square(among).sum(1) - 2 * points @ among.T
    distances: Vectors = np.sqrt(squares.min(axis=1).clip(0) / points.shape[1])
    return distances


def nearest_index(points: Vectors, among: Vectors) -> NDArray[np.int64]:
    """Which of (M, D) is the nearest to each of the (N, D) points: (N)."""
    return np.asarray((np.square(among).sum(1) - 2 * points @ among.T).argmin(axis=1), np.int64)


def spacing(points: Vectors) -> Vectors:
    """Root mean square difference of each of (N, D) vectors to its nearest other one: (N)."""
    squares = np.square(points).sum(1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    found: Vectors = np.sqrt(distances.min(axis=1).clip(0) / points.shape[1])
    return found


def copying_score(made: Vectors, held_out: Vectors) -> float:
    """Of distances (N) and (M) to the nearest training image: the standard score of made ones being the larger."""
    n, m = len(made), len(held_out)
    ranks = rankdata(np.concatenate([made, held_out]))
    larger = ranks[:n].sum() - n * (n + 1) / 2  # pairs in which the made one is farther; half for a tie
    return float((larger - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
