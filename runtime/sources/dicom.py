"""A folder of DICOM files, or one file: every frame of every image, series by series in the order of their numbers."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from time import monotonic

from runtime.dicom.reader import read_header, read_instance
from runtime.dicom.translate import frames_of
from runtime.dicom.values import WINDOW
from runtime.errors import DicomError, SourceError
from runtime.frames import Frame
from runtime.manifest import ImagePort
from runtime.sources.source import Shot

_NOMINAL_FPS = 25.0  # where the frames become a video
_MAGIC = b"DICM"  # behind a preamble of 128 bytes


class DicomSource:
    """Reads one file at a time, with the gray levels of its window over the whole range of the engine."""

    live = False

    def __init__(self, paths: list[Path], port: ImagePort) -> None:
        self._paths = deque(paths)
        self._port = port
        self._waiting: deque[tuple[str, Frame]] = deque()
        self._sequence = 0

    def read(self) -> Shot | None:
        captured = monotonic()
        if not self._waiting and self._paths:
            self._open(self._paths.popleft())
        if not self._waiting:
            return None
        name, frame = self._waiting.popleft()
        self._sequence += 1
        return Shot(frame, captured, self._sequence / _NOMINAL_FPS, name)

    def _open(self, path: Path) -> None:
        try:
            instance = read_instance(path)
        except DicomError as error:
            raise SourceError(f"{path} cannot be translated: {error}; take it out of the folder") from error
        frames = list(frames_of(instance, WINDOW, self._port))
        for index, frame in enumerate(frames):
            self._waiting.append((f"{path.stem}_{index:04d}" if len(frames) > 1 else path.stem, frame))

    def close(self) -> None:
        """Nothing to free."""
        self._waiting.clear()


def open_dicom(where: str, port: ImagePort) -> DicomSource:
    """A folder (not its sub-folders) or one file. Raises SourceError when there is no DICOM file, or a broken one."""
    path = Path(where)
    if not path.exists():
        raise SourceError(f"there is no {where}; dicom: takes a folder or a file")
    paths = [path] if path.is_file() else [found for found in path.iterdir() if _is_dicom(found)]
    if not paths:
        raise SourceError(f"{where} holds no DICOM file")
    return DicomSource(sorted(paths, key=_order), port)


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == _MAGIC


def _order(path: Path) -> tuple[str, int, str]:
    """Series, number in it, file name. Broken headers are found here, before the first frame is translated."""
    try:
        header = read_header(path, pixels=False)
        return str(header.get("SeriesInstanceUID", "")), int(header.get("InstanceNumber") or 0), path.name
    except (DicomError, ValueError, TypeError) as error:
        fact = str(error) if isinstance(error, DicomError) else "its instance number is not a number"
        raise SourceError(f"{path} cannot be translated: {fact}; take it out of the folder") from error
