"""A folder or glob of pictures, or one picture: every one is a frame, in the order of the names."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from runtime.errors import SourceError
from runtime.images import IMAGE_SUFFIXES, list_images, read_image
from runtime.manifest import ImagePort
from runtime.sources.source import Shot

_NOMINAL_FPS = 25.0  # where the pictures become a video


class PictureSource:
    """Reads one picture at a time; nothing is held but the names."""

    live = False

    def __init__(self, paths: list[Path], port: ImagePort) -> None:
        self._paths = paths
        self._port = port
        self._sequence = 0

    def read(self) -> Shot | None:
        if self._sequence == len(self._paths):
            return None
        captured = monotonic()
        path = self._paths[self._sequence]
        frame = read_image(path, self._port.channels, self._port.dtype)
        self._sequence += 1
        return Shot(frame, captured, self._sequence / _NOMINAL_FPS, path.stem)

    def close(self) -> None:
        """Nothing to free."""


def open_pictures(where: str, port: ImagePort) -> PictureSource:
    """A folder, a glob or one picture. Raises SourceError when there is none, or an empty file among them."""
    path = Path(where)
    paths = [path] if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() else list_images(where)
    # Found before the first frame is translated, not after hours.
    if empty := next((path for path in paths if path.stat().st_size == 0), None):
        raise SourceError(f"{empty} is empty (0 bytes); copy it again or take it out of the folder")
    return PictureSource(paths, port)
