"""An H.264 video that browsers play: 4:2:0, BT.709, the index in front; under a temporary name until it is whole."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from runtime.chroma import EXACT
from runtime.errors import SinkError
from runtime.frames import Frame, to_8bit
from runtime.sinks.sink import Mark

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_CLOCK = 90_000  # ticks per second; a live stream has no even rate
_BT709 = 1  # as ISO/IEC 23091-2 numbers the primaries and the transfer function
_QUALITY = {"crf": "20", "preset": "veryfast"}


class VideoSink:
    """Opens at the first frame, whose size the video keeps; odd sizes gain a row or column, as 4:2:0 asks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._container: av.container.OutputContainer | None = None
        self._reformatter = VideoReformatter()
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
        self._stream = self._container.add_stream("libx264", rate=30, options=_QUALITY)
        self._stream.height, self._stream.width = (size + size % 2 for size in frame.shape[:2])
        codec = self._stream.codec_context
        codec.pix_fmt = "yuv420p"
        codec.time_base = Fraction(1, _CLOCK)
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = ColorRange.MPEG
        self._origin_s = mark.media_s

    def write(self, frame: Frame, mark: Mark) -> None:
        try:
            if self._container is None:
                self._open(frame, mark)
            self._encode(frame, mark)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _encode(self, frame: Frame, mark: Mark) -> None:
        picture = self._reformatter.reformat(
            _picture(frame),
            self._stream.width,
            self._stream.height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=EXACT,
        )
        self._last_tick = max(self._last_tick + 1, round((mark.media_s - self._origin_s) * _CLOCK))
        picture.pts, picture.time_base = self._last_tick, Fraction(1, _CLOCK)
        assert self._container is not None
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write what the encoder holds back and the index, then give the file its name."""
        if self._container is None:
            self._partial.unlink(missing_ok=True)
            return
        try:
            self._container.mux(self._stream.encode())
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


def _picture(frame: Frame) -> av.VideoFrame:
    """FFmpeg's picture of a frame, its last row or column repeated where a size is odd."""
    pixels = to_8bit(frame)
    height, width, channels = pixels.shape
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    if channels == 1:
        return av.VideoFrame.from_ndarray(pixels[:, :, 0], format="gray")
    return av.VideoFrame.from_ndarray(pixels, format="bgr24")


def open_video_file(where: str) -> VideoSink:
    """Prepare the file. Raises SinkError when its folder is missing or not writable."""
    return VideoSink(Path(where))
