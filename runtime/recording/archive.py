"""A folder of segments: held by one process, and its oldest segments removed by size and age."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runtime.errors import SinkError
from runtime.recording.options import Keep
from runtime.recording.segment import began_at, recover

_LOCK = ".lock"
log = logging.getLogger("inloco.record")


class Archive:
    """Open until `close`. Only files that are named as segments are ever removed.

    Raises:
        SinkError: the folder cannot be written, or another process records into it.
    """

    def __init__(self, folder: Path, keep: Keep, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.removed = folder, 0
        self._keep, self._clock = keep, clock
        self._segments: deque[tuple[float, str, int]] = deque()  # (began, stem, bytes), the oldest first
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SinkError(f"cannot record into {folder}: {error.strerror or error}; name another folder") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in recover(folder):
                log.warning("%s was cut off while it was recorded; it plays up to the cut", folder / name)
            self.look()
        except BlockingIOError:
            self.close()
            raise SinkError(f"another stream records into {folder}; give each its own folder") from None
        except OSError as error:
            self.close()
            raise SinkError(f"cannot record into {folder}: {error.strerror or error}; name another folder") from error

    def look(self) -> None:
        """See which finished segments there are; somebody else may have taken some away."""
        sizes: dict[str, int] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                stem = Path(entry.name).stem
                if entry.name.endswith((".mp4", ".jsonl")) and began_at(stem) is not None:
                    with suppress(FileNotFoundError):
                        sizes[stem] = sizes.get(stem, 0) + entry.stat().st_size
        self._segments = deque(sorted((began_at(stem) or 0.0, stem, size) for stem, size in sizes.items()))

    def prune(self, writing: int = 0) -> None:
        """Remove the oldest until what is left, and the `writing` bytes of an unfinished one, is within the limits."""
        total = writing + sum(size for _, _, size in self._segments)
        while self._segments:
            began, stem, size = self._segments[0]
            too_old = self._keep.age_s is not None and began < self._clock() - self._keep.age_s
            too_much = self._keep.size is not None and total > self._keep.size
            if not (too_old or too_much):
                return
            self._segments.popleft()
            total -= size
            self._remove(stem)

    def _remove(self, stem: str) -> None:
        try:
            for suffix in (".mp4", ".jsonl"):
                (self.folder / f"{stem}{suffix}").unlink(missing_ok=True)
            self.removed += 1
        except OSError as error:
            log.error("cannot remove %s: %s", self.folder / stem, error.strerror or error)

    def close(self) -> None:
        """Let others record here; calling it twice is harmless."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)
