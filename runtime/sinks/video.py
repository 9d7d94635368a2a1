"""An H.264 video that browsers play: 4:2:0, BT.709, the index in front; under a temporary name until it is whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import av
from av.error import FFmpegError

from runtime.errors import SinkError
from runtime.frames import Frame
from runtime.h264 import CLOCK, H264Stream
from runtime.sinks.sink import Mark

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_QUALITY = {"crf": "20", "preset": "veryfast"}


class VideoSink:
    """Opens at the first frame, whose size the video keeps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._container: av.container.OutputContainer | None = None
        self._origin_s = 0.0
        self._last_tick = -1
        try:
            self._partial.touch()
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror or error}") from error

    def _open(self, frame: Frame, mark: Mark) -> None:
        self._container = av.open(
            str(self._partial), "w", format=FORMATS[self._path.suffix.lower()],
            container_options={"movflags": "+faststart"},
        )
        self._video = H264Stream(self._container, (frame.shape[0], frame.shape[1]), _QUALITY)
        self._origin_s = mark.media_s

    def write(self, frame: Frame, mark: Mark) -> None:
        try:
            if self._container is None:
                self._open(frame, mark)
            self._encode(frame, mark)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _encode(self, frame: Frame, mark: Mark) -> None:
        self._last_tick = max(self._last_tick + 1, round((mark.media_s - self._origin_s) * CLOCK))
        picture = self._video.picture(frame, self._last_tick)
        assert self._container is not None
        self._container.mux(self._video.stream.encode(picture))

    def close(self) -> None:
        """Write what the encoder holds back and the index, then give the file its name."""
        if self._container is None:
            self._partial.unlink(missing_ok=True)
            return
        try:
            self._container.mux(self._video.stream.encode())
            self._container.close()
            self._container = None
            os.replace(self._partial, self._path)
        except (FFmpegError, OSError) as error:
            self.abort()
            raise self._failure(error) from error

    def abort(self) -> None:
        if self._container is not None:
            container, self._container = self._container, None
            with suppress(FFmpegError, OSError):  # a full disk: the file goes anyway
                container.close()
        self._partial.unlink(missing_ok=True)

    def _failure(self, error: FFmpegError | OSError) -> SinkError:
        return SinkError(f"cannot write {self._path}: {error.strerror or error}")


def open_video_file(where: str) -> VideoSink:
    """Prepare the file. Raises SinkError when its folder is missing or not writable."""
    return VideoSink(Path(where))
