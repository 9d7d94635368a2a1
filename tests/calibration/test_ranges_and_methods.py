"""Histograms and the three methods, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.methods import BINS, LEVELS, Histogram, minmax, mse, percentile, quantised


def histogram(*parts: np.ndarray) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


def test_minmax_is_the_largest_magnitude_of_either_sign() -> None:
    assert minmax(histogram(np.array([0.5, -3.0]), np.array([2.0]))) == 3.0


def test_a_histogram_grows_without_losing_a_count() -> None:
    made = histogram(np.linspace(0, 1, 1001), np.full(7, 5.5), np.full(3, 1000.0))
    assert made.counts.sum() == 1011
    assert made.counts.shape == (BINS,)
    assert made.limit == 1024.0
    assert made.counts[int(1000 / made.limit * BINS)] == 3


def test_frames_in_parts_count_like_all_at_once() -> None:
    values = np.random.default_rng(0).exponential(size=30000).astype(np.float32)
    whole = histogram(values[values.argsort()[::-1]])
    parts = histogram(values[:100], values[100:])
    assert whole.largest == parts.largest
    assert abs(percentile(whole) - percentile(parts)) < 2 * parts.limit / BINS


def test_percentile_of_a_uniform_distribution_is_that_share_of_its_range() -> None:
    values = (np.arange(100_000) + 0.5) / 100_000
    assert percentile(histogram(values), 0.9) == pytest.approx(0.9, abs=2 / BINS)
    assert percentile(histogram(values), 1.0) == pytest.approx(1.0, abs=2 / BINS)


def test_mse_keeps_a_uniform_range_and_weighs_an_outlier_against_it() -> None:
    """Rounding n values costs n·r² / (12·127²), clipping one outlier at o costs (o − r)²: their sum
    decides."""
    count, outlier = 200_000, 20.0
    uniform = (np.arange(count) + 0.5) / count
    assert mse(histogram(uniform)) > 0.98
    rounding = count / (12 * LEVELS**2)
    assert mse(histogram(uniform, np.array([outlier]))) == pytest.approx(outlier / (1 + rounding), rel=0.1)


def test_mse_finds_the_best_range_of_a_laplace_distribution() -> None:
    """Against exhaustive search on the values themselves."""
    values = np.random.default_rng(1).laplace(size=100_000).astype(np.float32)
    found = mse(histogram(values))
    limits = np.linspace(0.05, 1, 60) * np.abs(values).max()
    errors = [float(((values - quantised(values, limit)) ** 2).mean()) for limit in limits]
    assert float(((values - quantised(values, found)) ** 2).mean()) < 1.02 * min(errors)


def test_zeros_have_range_zero_under_every_method() -> None:
    zeros = histogram(np.zeros(10), np.zeros(5))
    assert minmax(zeros) == percentile(zeros) == mse(zeros) == 0.0


def test_infinite_values_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        histogram(np.array([1.0, np.inf]))
    with pytest.raises(ValueError, match="not finite"):
        histogram(np.array([1.0, np.nan]))


def test_quantised_values_stand_on_the_grid_and_within_the_range() -> None:
    values = np.linspace(-2, 2, 999)
    codes = quantised(values, 1.0) * LEVELS
    np.testing.assert_allclose(codes, np.round(codes), atol=1e-9)
    assert np.abs(codes).max() == LEVELS
