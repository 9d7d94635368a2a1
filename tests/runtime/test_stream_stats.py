"""Latency figures against numpy, and charts that are well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from runtime.charts import line_chart
from runtime.stats import Distribution, Passage, StreamStats


def test_figures_agree_with_numpy() -> None:
    durations = np.random.default_rng(0).lognormal(2, 0.7, 4999)
    kept = Distribution()
    for duration in durations:
        kept.add(float(duration))
    figures = kept.summary()
    assert figures["mean"] == pytest.approx(durations.mean(), rel=1e-4)
    assert figures["max"] == pytest.approx(durations.max(), rel=1e-4)
    for name, share in {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "p99.9": 99.9}.items():
        exact = np.percentile(durations, share, method="inverted_cdf")
        assert figures[name] == pytest.approx(exact, rel=0.006), name


def test_stages_add_up_to_the_age() -> None:
    stats = StreamStats()
    for index in range(10):
        stats.record(Passage(index, index + 0.001, index + 0.003, index + 0.010, index + 0.011))
    latency = stats.latency_ms()
    assert latency["compute"]["mean"] == pytest.approx(7)
    assert sum(latency[name]["mean"] for name in ("capture", "queue", "compute", "sink")) == pytest.approx(11)
    assert latency["age"]["max"] == pytest.approx(11)
    assert stats.fps == pytest.approx(1)


def test_memory_does_not_grow_with_the_stream() -> None:
    stats = StreamStats()
    rng = np.random.default_rng(0)
    for index, ms in enumerate(rng.lognormal(1, 0.5, 20_000)):
        stats.record(Passage(index, index, index, index + float(ms) / 1e3, index + float(ms) / 1e3))
    assert len(stats.timeline) < 2048
    assert stats.timeline[0][0] == 0
    assert stats.timeline[-1][0] > 17_000, "the time line still spans the whole stream"
    assert sum(len(stage.cumulative()) for stage in stats.stages.values()) < 3000


@pytest.mark.parametrize("log_x", [True, False])
def test_a_chart_is_xml_with_every_point_inside(log_x: bool) -> None:
    series = {"a & b": [(0.5, 0.0), (70.0, 12.3)], "flat": [(3.0, 1.0)]}
    chart = ElementTree.fromstring(line_chart(series, "x <ms>", "y", log_x))
    lines = [element for element in chart.iter() if element.tag == "polyline"]
    assert len(lines) == 2
    for line in lines:
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 62 <= x <= 844
            assert 30 <= y <= 256
