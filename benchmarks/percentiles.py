"""Latencies in numbers: trtexec's vocabulary, exact (numpy's linear interpolation between order statistics)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENTILES = {"median": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}
SUMMARY = ("min", "mean", *PERCENTILES, "max")


def summarise(latencies_ms: Sequence[float]) -> dict[str, float]:
    """min, mean, median, p90, p95, p99, p99.9 and max; there must be at least one latency.

    A percentile needs about 1 / (1 - share) values to be more than the maximum: p99.9 a thousand.
    """
    values = np.asarray(latencies_ms, dtype=np.float64)
    shares = np.percentile(values, list(PERCENTILES.values()))
    figures = {"min": values.min(), "mean": values.mean(), **dict(zip(PERCENTILES, shares, strict=True))}
    return {name: round(float(ms), 4) for name, ms in (figures | {"max": values.max()}).items()}


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median of a few repetitions and how far they lie apart."""
    return {
        "median": round(float(np.median(values)), 4),
        "low": round(float(min(values)), 4),
        "high": round(float(max(values)), 4),
    }
