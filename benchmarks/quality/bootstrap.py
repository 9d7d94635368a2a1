"""95 % intervals by the bootstrap (Efron & Tibshirani 1993): pictures are drawn again, with replacement.

They say how much a figure would move with other pictures of the same kind. Consecutive frames of a video resemble each
other: intervals over them are too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap
from tqdm import tqdm

LEVEL = 0.95
Indices = NDArray[np.int64]
Interval = tuple[float, float]


def mean_interval(values: Sequence[float], seed: int, resamples: int) -> Interval:
    """Of the mean of numbers, one for each picture: percentiles; nan for fewer than two."""
    if len(values) < 2:
        return nan, nan
    if len(set(values)) == 1:
        return values[0], values[0]
    found = bootstrap(
        (np.asarray(values, np.float64),), np.mean, confidence_level=LEVEL, n_resamples=resamples,
        method="percentile", rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def set_interval(
    statistic: Callable[[Indices, Indices], float], sizes: tuple[int, int], value: float, seed: int, resamples: int
) -> Interval:
    """Of a statistic of two sets of pictures, drawn independently: the basic interval, 2 · value - percentile.

    A picture that is drawn twice makes two sets more unlike than fresh pictures would; the basic interval takes that
    shift out again to first order, the percentile interval would not even hold the value.
    """
    rng = np.random.default_rng(seed)
    found = [
        statistic(*(rng.integers(size, size=size) for size in sizes))
        for _ in tqdm(range(resamples), desc="bootstrap", leave=False)
    ]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(2 * value - high), float(2 * value - low)
