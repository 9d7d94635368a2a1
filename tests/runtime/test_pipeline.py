"""The threads between source, engine and sink, with doubles that remember who called them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping

import numpy as np
import pytest

from runtime.errors import EngineError, FrameError, SinkError, SourceError
from runtime.frames import Array, Frame
from runtime.mailbox import Mailbox
from runtime.manifest import ImagePort, Manifest
from runtime.no_signal import draw_no_signal
from runtime.pipeline import Mode, Pipeline, Stages
from runtime.sinks import Mark, SinkClosed
from runtime.sources import Shot, Watch
from runtime.watched_engine import WatchedEngine

PORT = ImagePort("frame", 4, 4, 1)


class Camera:
    """Frames filled with their number; then what `then` does."""

    def __init__(self, count: int, live: bool = False, pause_s: float = 0.0) -> None:
        self.live = live
        self.closed_by: str = ""
        self._count, self._pause_s, self._read = count, pause_s, 0

    def read(self) -> Shot | None:
        time.sleep(self._pause_s)
        if self._read == self._count:
            return self.then()
        self._read += 1
        return Shot(np.full(PORT.shape, self._read, np.uint8), time.monotonic(), self._read / 25)

    def then(self) -> Shot | None:
        return None

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


class LostCamera(Camera):
    def then(self) -> Shot | None:
        raise SourceError("lost")


class SilentCamera(Camera):
    def then(self) -> Shot | None:
        time.sleep(1.6)
        return None


class SlowEngine:
    """Negates frames, `depth` in flight, and checks that one thread does everything."""

    backend = "slow"

    def __init__(self, depth: int = 1, seconds: float = 0.0, fail_at: int = -1) -> None:
        self.manifest = Manifest("slow", {"engine": ""}, frame=PORT)
        self.depth, self.most, self.closed = depth, 0, False
        self._seconds, self._fail_at, self._collected = seconds, fail_at, 0
        self._pending: deque[Array] = deque()
        self._owner = threading.get_ident()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        assert threading.get_ident() == self._owner
        self._pending.append(inputs["frame"])
        self.most = max(self.most, len(self._pending))
        assert self.most <= self.depth

    def collect(self) -> dict[str, Array]:
        assert threading.get_ident() == self._owner
        time.sleep(self._seconds)
        self._collected += 1
        if self._collected == self._fail_at:
            raise EngineError("the device is gone")
        return {"translated": 255 - self._pending.popleft()}

    def close(self) -> None:
        assert threading.get_ident() == self._owner
        self.closed = True


class Album:
    """A sink that keeps everything."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.frames: list[Frame] = []
        self.marks: list[Mark] = []
        self.times: list[float] = []
        self.ends: list[str] = []
        self._seconds, self._error = seconds, error

    def write(self, frame: Frame, mark: Mark) -> None:
        time.sleep(self._seconds)
        self.frames.append(frame)
        self.marks.append(mark)
        self.times.append(time.monotonic())
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")


def run(camera: Camera, album: Album, mode: Mode | None = None, **engine: float) -> tuple[Pipeline, SlowEngine | None]:
    made: list[SlowEngine] = []

    def open_engine() -> SlowEngine:
        made.append(SlowEngine(**engine))  # type: ignore[arg-type]
        return made[0]

    pipeline = Pipeline(Stages(lambda: camera, lambda frame: frame, open_engine, album), mode or Mode())
    try:
        pipeline.run()
    finally:
        assert camera.closed_by != "MainThread"
        assert made[0].closed
    return pipeline, made[0]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_lossless_delivers_every_frame_in_order_with_the_engine_kept_full(depth: int) -> None:
    album = Album(seconds=0.001)
    pipeline, engine = run(Camera(30), album, depth=depth, seconds=0.002)
    assert [255 - int(frame.max()) for frame in album.frames] == list(range(1, 31))
    assert [mark.sequence for mark in album.marks] == list(range(30))
    assert engine is not None
    assert engine.most == depth
    assert pipeline.dropped == 0
    assert pipeline.stats.frames == 30
    assert album.ends == ["close", "abort"], "abort after close is harmless, and comes always"


def test_realtime_keeps_the_newest_and_counts_the_others() -> None:
    album = Album()
    pipeline, _ = run(Camera(60, pause_s=0.002), album, Mode(realtime=True), seconds=0.02)
    numbers = [255 - int(frame.max()) for frame in album.frames]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 60, "the last frame is never the one that is dropped"
    assert pipeline.dropped == 60 - len(numbers) > 0


def test_frames_ends_the_stream() -> None:
    album = Album()
    pipeline, _ = run(Camera(1000), album, Mode(frames=7))
    assert len(album.frames) == pipeline.stats.frames == 7
    assert album.ends[0] == "close"


def test_side_by_side_has_the_original_to_the_left() -> None:
    album = Album()
    run(Camera(1), album, Mode(compare=True))
    assert np.array_equal(album.frames[0][:, :4], np.full(PORT.shape, 1))
    assert np.array_equal(album.frames[0][:, 4:], np.full(PORT.shape, 254))


def test_a_silent_camera_shows_no_signal_within_a_second() -> None:
    album = Album()
    pipeline, _ = run(SilentCamera(5, live=True), album, Mode(realtime=True, frames=100), seconds=0.001)
    words = [mark.name == "no_signal" for mark in album.marks]
    assert words.count(True) == pipeline.no_signal >= 2
    first = words.index(True)
    assert np.array_equal(album.frames[first], draw_no_signal(PORT.shape, "uint8"))
    assert pipeline.stats.frames == len(words) - pipeline.no_signal, "NO SIGNAL is no translated frame"


@pytest.mark.parametrize(
    ("camera", "album", "engine", "error"),
    [
        (LostCamera(5), Album(), {}, SourceError),
        (Camera(50), Album(), {"fail_at": 3}, EngineError),
        (Camera(50), Album(error=SinkError("disk full")), {}, SinkError),
    ],
)
def test_an_error_anywhere_aborts_the_sink(
    camera: Camera, album: Album, engine: dict[str, float], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(camera, album, **engine)
    assert album.ends == ["abort"]


def test_a_frame_that_does_not_fit_is_an_error_of_the_stream() -> None:
    def refuse(frame: Frame) -> Frame:
        raise FrameError("too large")

    album = Album()
    with pytest.raises(FrameError, match="too large"):
        Pipeline(Stages(lambda: Camera(3), refuse, SlowEngine, album), Mode()).run()
    assert album.ends == ["abort"]


def test_a_closed_window_ends_the_stream_well() -> None:
    album = Album(error=SinkClosed())
    run(Camera(1000), album)
    assert album.ends[0] == "close"


def test_a_mailbox_gives_up_waiting_and_drains_after_closing() -> None:
    box: Mailbox[int] = Mailbox(2, newest_wins=False)
    assert box.get(timeout_s=0.01) is None
    assert not box.finished
    assert box.put(1)
    box.close()
    assert not box.put(2)
    assert not box.finished
    assert box.get() == 1
    assert box.get() is None
    assert box.finished


def test_a_full_mailbox_waits_or_drops_the_oldest() -> None:
    newest: Mailbox[int] = Mailbox(1, newest_wins=True)
    assert all(newest.put(number) for number in range(5))
    assert (newest.get(), newest.dropped) == (4, 4)
    patient: Mailbox[int] = Mailbox(1, newest_wins=False)
    patient.put(1)
    putter = threading.Thread(target=patient.put, args=(2,))
    putter.start()
    assert patient.get() == 1
    assert patient.get() == 2
    putter.join()
    assert patient.dropped == 0


def test_a_hung_engine_is_said_in_the_picture_and_replaced() -> None:
    release, made = threading.Event(), []

    class Hanging(SlowEngine):
        def collect(self) -> dict[str, Array]:
            if len(made) == 1 and self._collected == 3:
                release.wait(30)
            return super().collect()

    def open_engine() -> WatchedEngine:
        return WatchedEngine(lambda: made.append(Hanging()) or made[-1], 1.5, watch.watchdog)  # type: ignore[func-returns-value]

    album, watch = Album(), Watch()
    stages = Stages(lambda: Camera(400, live=True, pause_s=0.02), lambda frame: frame, open_engine, album)
    pipeline = Pipeline(stages, Mode(realtime=True, frames=20), watch)
    pipeline.run()
    release.set()
    names = [mark.name for mark in album.marks]
    words = [index for index, name in enumerate(names) if name == "engine_hung"]
    first = words[0]
    assert 1 <= first <= 3, "after the three pictures before it hung, or those of them that a newer one left over"
    assert words == list(range(first, first + pipeline.no_signal))
    assert np.array_equal(album.frames[first], draw_no_signal(PORT.shape, "uint8", "ENGINE HUNG"))
    shown = [255 - int(frame.max()) for frame, name in zip(album.frames, names, strict=True) if not name]
    assert shown == sorted(set(shown)), "none twice"
    assert shown[first] > 20, "the frame after it is a new one"
    assert (len(made), watch.watchdog.restarts, pipeline.stats.frames) == (2, 1, 20)
    numbers = [mark.sequence for mark in album.marks if mark.sequence >= 0]
    assert pipeline.dropped >= numbers[-1] + 1 - len(numbers)
