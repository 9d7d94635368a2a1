"""A video file, frame by frame at the pace of the engine; one that ends before its time is an error."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from av.error import FFmpegError

from runtime.errors import SourceError
from runtime.manifest import ImagePort
from runtime.sources.decoder import Decoder, reason
from runtime.sources.source import Shot

_NOMINAL_FPS = 25.0  # where the file does not say when a frame is shown


class VideoSource:
    """Every frame once; the time line is the file's own."""

    live = False

    def __init__(self, path: Path, port: ImagePort) -> None:
        self._path = path
        self._decoder = Decoder(str(path), port)
        self._frames = self._decoder.frames()
        self._read = 0
        self._rate = float(self._decoder.stream.average_rate or _NOMINAL_FPS)

    def read(self) -> Shot | None:
        captured = monotonic()
        try:
            picture, _ = next(self._frames)
        except StopIteration:
            self._check_whole()
            return None
        except (FFmpegError, OSError, SourceError) as error:
            raise SourceError(
                f"{self._path} is damaged after frame {self._read} ({reason(error)}); copy it again"
            ) from error
        media_s = picture.time if picture.time is not None else self._read / self._rate
        self._read += 1
        return Shot(self._decoder.to_frame(picture), captured, media_s)

    def _check_whole(self) -> None:
        expected = self._decoder.stream.frames  # 0 where the container does not say
        if self._read < expected:
            raise SourceError(
                f"{self._path} is truncated: {self._read} of {expected} frames are there; copy it again"
            )
        if self._read == 0:
            raise SourceError(f"{self._path} holds no frame")

    def close(self) -> None:
        self._decoder.close()


def open_video(where: str, port: ImagePort) -> VideoSource:
    """Open a file. Raises SourceError when it is missing, not a video, or without its index (truncated)."""
    path = Path(where.removeprefix("file://"))
    if not path.is_file():
        raise SourceError(f"there is no source {where}; give a video, a folder, a glob, a camera or a URL")
    return VideoSource(path, port)
