"""From the magnitudes that a tensor takes on real frames to the range that INT8 should represent.

Quantisation is symmetric: q = round(x / scale) clamped to ±127 with scale = range / 127, so only |x|
matters. A histogram is kept per tensor, in bounded memory, however many frames are seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from runtime.frames import Array

BINS = 4096
LEVELS = 127  # of each sign; -128 is not used, so that negation is exact
# Share of magnitudes kept by `percentile`; the tail of 1 in 10,000 is clipped.
KEPT = 0.9999


class Histogram:
    """Counts of |x| in BINS equal bins over [0, limit]. Larger values double the limit: pairs of bins merge
    exactly."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.limit = 0.0
        self.largest = 0.0

    def add(self, values: Array) -> None:
        """Count further values.

        Raises:
            ValueError: a value is not finite.
        """
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if not np.isfinite(largest):
            raise ValueError("not finite")
        self.largest = max(self.largest, largest)
        self._reach(largest)
        if self.limit == 0.0:  # only zeros so far
            self.counts[0] += magnitudes.size
            return
        bins = np.minimum((magnitudes * np.float32(BINS / self.limit)).astype(np.int32), BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)

    def _reach(self, largest: float) -> None:
        if self.limit == 0.0:
            self.limit = largest
        while self.limit < largest:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.int64)])
            self.limit *= 2


def minmax(histogram: Histogram) -> float:
    """The largest magnitude seen: nothing is clipped."""
    return histogram.largest


def percentile(histogram: Histogram, kept: float = KEPT) -> float:
    """The smallest range that clips at most `1 - kept` of the values (to the width of a bin)."""
    reached = np.cumsum(histogram.counts) >= kept * histogram.counts.sum()
    edge = (int(np.argmax(reached)) + 1) / BINS * histogram.limit
    return min(edge, histogram.largest)


def mse(histogram: Histogram, candidates: int = 200) -> float:
    """The range whose rounding and clipping errors have the least sum of squares over the histogram."""
    if histogram.largest == 0.0:
        return 0.0
    centres = (np.arange(BINS) + 0.5) / BINS * histogram.limit
    centres[0] = 0.0  # the zeros of a ReLU are exact under any range
    filled = histogram.counts > 0
    values, weights = centres[filled], histogram.counts[filled].astype(np.float64)
    ranges = histogram.largest * np.linspace(0.05, 1.0, candidates)
    errors = [float(weights @ (values - quantised(values, limit)) ** 2) for limit in ranges]
    return float(ranges[int(np.argmin(errors))])


def quantised(values: Array, limit: float) -> Array:
    """`values` as INT8 with range ±limit represents them."""
    scale = limit / LEVELS
    return np.clip(np.round(values / scale), -LEVELS, LEVELS) * scale


METHODS: dict[str, Callable[[Histogram], float]] = {"minmax": minmax, "percentile": percentile, "mse": mse}
