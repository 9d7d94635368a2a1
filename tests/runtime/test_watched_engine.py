"""An engine that hangs is left behind, another one goes on, and too many end the stream."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import ImagePort, Manifest
from runtime.watchdog import Watchdog
from runtime.watched_engine import FrameLost, WatchedEngine


class Negative:
    """255 − frame; hangs on a frame of 13 until released, fails on one of 14."""

    backend = "negative"

    def __init__(self, release: threading.Event, depth: int = 1) -> None:
        self.manifest = Manifest("n", {"engine": ""}, frame=ImagePort("frame", 2, 2, 1))
        self.depth, self.closed = depth, False
        self._release, self._owner = release, threading.get_ident()
        self._pending: deque[Array] = deque()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        assert threading.get_ident() == self._owner
        self._pending.append(inputs["frame"])

    def collect(self) -> dict[str, Array]:
        assert threading.get_ident() == self._owner
        frame = self._pending.popleft()
        if frame.max() == 13:
            self._release.wait(20)
        if frame.max() == 14:
            raise EngineError("the device is gone")
        return {"translated": 255 - frame}

    def close(self) -> None:
        assert threading.get_ident() == self._owner
        self.closed = True


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def translate(engine: WatchedEngine, level: int) -> int:
    engine.submit({"frame": np.full((1, 2, 2, 1), level, np.uint8)})
    return int(engine.collect()["translated"].max())


def test_frames_go_through_the_engines_own_thread(release: threading.Event) -> None:
    made = []

    def open_engine() -> Negative:
        made.append(Negative(release, depth=2))
        return made[-1]

    engine = WatchedEngine(open_engine, 5.0, Watchdog())
    assert (engine.backend, engine.depth) == ("negative", 2)
    assert [translate(engine, level) for level in range(5)] == [255, 254, 253, 252, 251]
    for level in (20, 21):
        engine.submit({"frame": np.full((1, 2, 2, 1), level, np.uint8)})
    with pytest.raises(EngineError, match="2 frames are in flight"):
        engine.submit({"frame": np.zeros((1, 2, 2, 1), np.uint8)})
    assert [int(engine.collect()["translated"].max()) for _ in range(2)] == [235, 234]
    engine.close()
    assert made[0].closed
    assert len(made) == 1


def test_a_hung_engine_is_replaced_and_its_frames_are_lost(
    release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    made = []

    def open_engine() -> Negative:
        made.append(Negative(release, depth=2))
        return made[-1]

    dog = Watchdog()
    engine = WatchedEngine(open_engine, 0.1, dog)
    assert translate(engine, 1) == 254
    for level in (13, 2):
        engine.submit({"frame": np.full((1, 2, 2, 1), level, np.uint8)})
    for _ in range(2):
        with pytest.raises(FrameLost):
            engine.collect()
    assert translate(engine, 3) == 252, "its successor's, not what the hung one had taken"
    assert (len(made), dog.restarts) == (2, 1)
    assert "the engine hangs: no result after" in caplog.text
    release.set()
    while not made[0].closed:
        time.sleep(0.01)
    engine.close()
    assert made[1].closed


def test_an_engine_that_hangs_too_often_ends_the_stream(release: threading.Event) -> None:
    engine = WatchedEngine(lambda: Negative(release), 0.02, Watchdog(limit=1))
    with pytest.raises(FrameLost):
        translate(engine, 13)
    with pytest.raises(EngineError, match="after 1 restarts in 600 s; start this process again"):
        translate(engine, 13)


def test_an_error_of_the_engine_is_its_own(release: threading.Event) -> None:
    engine = WatchedEngine(lambda: Negative(release), 5.0, Watchdog())
    with pytest.raises(EngineError, match="the device is gone"):
        translate(engine, 14)
    engine.close()


def test_an_engine_that_cannot_open_says_why() -> None:
    def refuse() -> Negative:
        raise EngineError("no such backend")

    with pytest.raises(EngineError, match="no such backend"):
        WatchedEngine(refuse, 5.0, Watchdog())


def test_a_slow_engine_does_not_hang(release: threading.Event) -> None:
    class Slow(Negative):
        def collect(self) -> dict[str, Array]:
            time.sleep(0.05)
            return super().collect()

    engine = WatchedEngine(lambda: Slow(release), 0.02, Watchdog())
    limits = []
    engine._slowest_s = 0.05
    for level in range(3):
        limits.append(engine.limit_s)
        translate(engine, level)
    assert limits[0] == pytest.approx(6 * 0.5)
    assert limits[1] >= 0.5
    engine.close()
