"""The load on the service, in its short form: no error but 429, every kind of client served, memory in bounds."""

from __future__ import annotations

from pathlib import Path

from benchmarks.c_api import write_identity
from benchmarks.serve_load import Tally, describe, measure


def test_sixty_four_clients_meet_no_error(tmp_path: Path) -> None:
    figures = measure(write_identity(tmp_path), clients=64, seconds=4)
    assert figures["errors"] == {}
    assert figures["statuses"]["200"] >= 16  # eight viewers at their end, and some of each other kind
    assert figures["pictures_per_s"] > 0
    latency = figures["latency_ms"]
    assert set(latency) == {"translate", "read"}
    assert 0 < latency["translate"]["median"] <= latency["translate"]["p99"] <= latency["translate"]["max"]
    assert 20 < figures["rss_mib"]["start"] <= figures["rss_mib"]["highest"] < 1000


def test_what_is_no_200_or_429_is_an_error_and_growth_is_seen() -> None:
    tally = Tally(rss_mib=[50.0, 90.0] + [100.0 + step for step in range(30)])
    tally.statuses.update({"200": 5, "429": 7, "503": 1, "ReadError": 2})
    figures = describe(tally, 2.0)
    assert figures["errors"] == {"503": 1, "ReadError": 2}
    assert figures["answered_per_s"] == 2.5
    assert 10 < figures["rss_mib"]["growth"] < 25
