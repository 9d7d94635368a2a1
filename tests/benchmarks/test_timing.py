"""Turns, ratios and the camera's cadence, on a clock of our own."""

from __future__ import annotations

import pytest

from benchmarks.timing import BackToBack, Cadence, Plan, feed, measure_back_to_back, measure_cadence, ratios, warm_up


class FakeEngine:
    """Takes the durations that it is told (ms), on a clock that only it and `wait` move."""

    def __init__(self, name: str, durations_ms: list[float]) -> None:
        self.name = name
        self.now = 0.0
        self.calls = 0
        self._durations = durations_ms

    def time_ms(self) -> float:
        ms = self._durations[min(self.calls, len(self._durations) - 1)]
        self.calls += 1
        self.now += ms / 1e3
        return ms

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def fed(durations_ms: list[float], frames: int, fps: float = 10.0) -> Cadence:
    engine, result = FakeEngine("e", durations_ms), Cadence()
    feed(engine, result, fps, frames, clock=engine.clock, wait=engine.wait)
    return result


def test_an_engine_in_time_misses_nothing_and_latency_is_its_own_time() -> None:
    result = fed([40.0], frames=20)
    assert (result.offered, result.late, result.skipped) == (20, 0, 0)
    assert result.latencies_ms == pytest.approx([40.0] * 20)
    assert result.missed_share == 0


def test_a_frame_after_a_short_hiccup_waits_and_is_not_lost() -> None:
    result = fed([40.0, 130.0, 40.0], frames=6)
    assert (result.late, result.skipped) == (1, 0)
    assert result.latencies_ms == pytest.approx([40, 130, 70, 40, 40, 40])
    assert result.compute_ms[2] == pytest.approx(40)


def test_the_newest_frame_wins_after_a_long_hiccup() -> None:
    result = fed([40.0, 350.0, 40.0], frames=8)  # frames 2 and 3 have been replaced by 4 at 450 ms
    assert (result.offered, result.late, result.skipped) == (8, 1, 2)
    assert len(result.latencies_ms) == 6
    assert result.latencies_ms[2] == pytest.approx(90)
    assert result.missed_share == pytest.approx(3 / 8)


def test_an_engine_that_is_far_too_slow_accounts_for_every_frame() -> None:
    result = fed([1000.0], frames=25)
    assert result.late == len(result.latencies_ms) == 3
    assert result.late + result.skipped == 25
    assert result.missed_share == 1


def test_engines_take_turns_and_every_round_has_a_block() -> None:
    first, second = FakeEngine("first", [1.0]), FakeEngine("second", [2.0])
    blocks: list[None] = []
    results = measure_back_to_back([first, second], Plan(1e-6, rounds=3), lambda: blocks.append(None))
    assert list(results) == ["first", "second"]
    assert [len(result.rounds) for result in results.values()] == [3, 3]
    assert len(blocks) == 6
    starts = results["first"].started_s + results["second"].started_s
    assert len(starts) == sum(len(result.latencies_ms) for result in results.values())
    assert results["second"].started_s[0] < results["first"].started_s[3], "blocks alternate"
    assert results["second"].throughput == pytest.approx(500)


def test_cadence_offers_what_the_plan_says() -> None:
    engine = FakeEngine("e", [0.01])
    result = measure_cadence([engine], Plan(seconds=0.02, rounds=2, fps=400))["e"]
    assert result.offered == 8


def test_warming_up_is_not_counted() -> None:
    engine = FakeEngine("e", [1.0])
    warm_up([engine], frames=4)
    assert engine.calls == 4


def test_a_ratio_is_taken_within_a_round_so_a_slow_round_does_not_change_it() -> None:
    quiet_then_busy = BackToBack(rounds=[[60.0, 60.0, 61.0], [600.0, 590.0, 610.0], [63.0]])
    fast = BackToBack(rounds=[[1.0, 1.0, 9.0], [10.0, 10.0], [1.0]])
    found = ratios({"slow": quiet_then_busy, "fast": fast})
    assert found["slow"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert found["fast"] == {"median": 60.0, "low": 60.0, "high": 63.0}
