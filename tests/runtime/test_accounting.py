"""Every frame that a source gave is delivered, dropped, refused or, where the stream was cut off, unfinished."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from runtime.errors import FrameError, SourceError
from runtime.frames import Frame
from runtime.pipeline import Mode, Pipeline, Stages
from runtime.sinks import Mark, SinkClosed
from runtime.sources import Shot
from tests.runtime.test_pipeline import PORT, Album, Camera, SlowEngine

SMALL = (2, 2, 1)  # a frame that this engine does not take


class Faulty(Camera):
    """Every third frame is none: it cannot be decoded, or it is of another kind."""

    def read(self) -> Shot | None:
        shot = super().read()
        if self._read % 3 != 0 or shot is None:
            return shot
        if self._read % 2:
            raise FrameError("rubbish")
        return Shot(np.zeros(SMALL, np.uint8), time.monotonic(), 0.0)


class Window(Album):
    """Closed by its user after five pictures."""

    def write(self, frame: Frame, mark: Mark) -> None:
        super().write(frame, mark)
        if len(self.frames) == 5:
            raise SinkClosed


def check(frame: Frame) -> Frame:
    if frame.shape == SMALL:
        raise FrameError("too small")
    return frame


def pipeline_of(camera: Camera, album: Album, mode: Mode, engine: Callable[[], SlowEngine] = SlowEngine) -> Pipeline:
    return Pipeline(Stages(lambda: camera, check, engine, album), mode)


def account(pipeline: Pipeline) -> int:
    return pipeline.stats.frames + pipeline.dropped + pipeline.refused + pipeline.unfinished


@pytest.mark.parametrize("realtime", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_camera_that_ends_leaves_nothing_unfinished(realtime: bool, depth: int) -> None:
    pipeline = pipeline_of(
        Faulty(60, live=True), Album(0.002), Mode(realtime), lambda: SlowEngine(depth=depth, seconds=0.003)
    )
    pipeline.run()
    assert (pipeline.captured, pipeline.refused, pipeline.unfinished) == (60, 20, 0)
    assert account(pipeline) == 60
    assert (pipeline.dropped > 0) == realtime


@pytest.mark.parametrize("mode", [Mode(frames=7), Mode(True, frames=7), Mode(frames=7, compare=True)])
@pytest.mark.parametrize("album", [Album, Window])
def test_a_stream_that_is_cut_off_says_how_many_were_on_their_way(mode: Mode, album: type[Album]) -> None:
    pipeline = pipeline_of(Camera(500, pause_s=0.001), album(0.002), mode, lambda: SlowEngine(depth=2, seconds=0.002))
    pipeline.run()
    # The window took the picture with which it was closed, and nobody saw it.
    assert pipeline.stats.frames == (4 if album is Window else 7)
    assert account(pipeline) == pipeline.captured
    assert pipeline.unfinished > 0


@pytest.mark.parametrize(("camera", "size"), [(Faulty(9, live=False), 4), (Camera(9, live=True), 2)])
def test_only_a_camera_may_send_rubbish_and_not_as_its_first_frame(camera: Camera, size: int) -> None:
    stages = Stages(lambda: camera, lambda frame: check(frame[:size, :size]), SlowEngine, Album())
    with pytest.raises(FrameError):
        Pipeline(stages, Mode()).run()


def test_a_camera_of_rubbish_alone_has_no_signal(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Camera):
        def read(self) -> Shot | None:
            if self._read < 20:  # enough to know its pace by
                return super().read()
            time.sleep(0.02)
            self._read += 1
            if self._read > 120:
                raise SourceError("enough")
            raise FrameError("rubbish")

    album = Album()
    pipeline = pipeline_of(Broken(1000, live=True, pause_s=0.01), album, Mode(True))
    with pytest.raises(SourceError, match="enough"):
        pipeline.run()
    assert PORT.shape == album.frames[0].shape
    assert pipeline.no_signal >= 1
    told = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert [line.split()[1] for line in told] == ["1:", "2:", "4:", "8:", "16:", "32:", "64:"]
