"""Percentiles against numpy and against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.percentiles import PERCENTILES, SUMMARY, spread, summarise


@pytest.mark.parametrize("count", [1, 2, 10, 5000])
def test_a_summary_is_numpys(count: int) -> None:
    values = np.random.default_rng(count).gamma(2.0, 5.0, count).tolist()
    figures = summarise(values)
    assert tuple(figures) == SUMMARY
    for name, share in PERCENTILES.items():
        assert figures[name] == pytest.approx(np.percentile(values, share), abs=1e-4)
    assert (figures["min"], figures["max"]) == pytest.approx((min(values), max(values)), abs=1e-4)
    assert figures["mean"] == pytest.approx(sum(values) / count, abs=1e-4)


def test_the_tail_is_found_among_a_thousand_and_one() -> None:
    figures = summarise([*[1.0] * 1000, 100.0])
    assert figures["p99"] == 1.0
    assert figures["p99.9"] == pytest.approx(1.0)
    assert figures["max"] == 100.0
    assert summarise([*[1.0] * 997, *[100.0] * 4])["p99.9"] == 100.0


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}
