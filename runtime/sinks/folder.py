"""A folder of PNG pictures, each written whole; they keep the names of the pictures they were made from."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import SinkError
from runtime.frames import Frame
from runtime.images import write_image
from runtime.sinks.sink import Mark


class FolderSink:
    """One picture per frame, there to be seen at once; after an error they are taken away again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: set[Path] = set()
        try:
            self._is_ours = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            self._probe()
        except OSError as error:
            raise SinkError(f"cannot write into {folder}: {error.strerror or error}") from error

    def _probe(self) -> None:
        if any(self._folder.iterdir()):
            raise SinkError(f"{self._folder} is not empty; name a new folder, so that nothing is overwritten")
        probe = self._folder / ".probe.tmp"
        probe.touch()
        probe.unlink()

    def write(self, frame: Frame, mark: Mark) -> None:
        path = self._folder / f"{mark.name or f'{mark.sequence:06d}'}.png"
        if path in self._written:  # a.png and a.jpg, or NO SIGNAL pictures
            path = path.with_name(f"{path.stem}_{len(self._written):06d}.png")
        write_image(path, frame)
        self._written.add(path)

    def close(self) -> None:
        """Every picture is already whole."""
        self._written.clear()
        self._is_ours = False

    def abort(self) -> None:
        for path in self._written:
            path.unlink(missing_ok=True)
        if self._is_ours:
            self._folder.rmdir()
        self.close()


def open_folder(where: str) -> FolderSink:
    """Make the folder. Raises SinkError when it cannot be written or holds something."""
    return FolderSink(Path(where))
