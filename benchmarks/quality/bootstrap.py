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
    """Of a statistic of two sets of pictures, drawn independently: percentiles, shifted so that their mean is `value`.

    A picture that is drawn twice makes two sets more unlike than fresh pictures would: the resampled statistic lies
    higher, but it scatters as the statistic does. What bias the statistic has with so few pictures stays in it.
    """
    rng = np.random.default_rng(seed)
    found = np.array([
        statistic(*(rng.integers(size, size=size) for size in sizes))
        for _ in tqdm(range(resamples), desc="bootstrap", leave=False)
    ])  # fmt: skip
    low, high = np.quantile(found - found.mean() + value, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
