"""`replay:clip.mp4` plays a video or a folder over and over at its own pace: a camera for demonstrations and tests."""

from __future__ import annotations

from time import monotonic, sleep

from runtime.errors import SourceError
from runtime.manifest import ImagePort
from runtime.sources import open_source
from runtime.sources.source import Shot, Source

_LONGEST_S = 1.0  # between two frames: a gap in a recording is not waited for
_PAUSE_S = 0.04  # between the last frame and the first


class ReplaySource:
    """The recording's frames, each captured when its time has come."""

    live = True

    def __init__(self, where: str, port: ImagePort) -> None:
        self._where, self._port = where, port
        self._recording: Source | None = open_source(where, port)
        if self._recording is not None and self._recording.live:
            raise SourceError(f"{where} is live already; leave out 'replay:'")
        self._due = monotonic()
        self._media_s: float | None = None

    def read(self) -> Shot:
        shot = self._next()
        gap = _PAUSE_S if self._media_s is None else min(max(0.0, shot.media_s - self._media_s), _LONGEST_S)
        self._media_s = shot.media_s
        # What is late stays late by no more than a frame: the recording does not hurry to catch up.
        self._due = max(self._due + gap, monotonic() - _PAUSE_S)
        sleep(max(0.0, self._due - monotonic()))
        now = monotonic()
        return Shot(shot.frame, now, now, shot.name)

    def _next(self) -> Shot:
        for _ in range(2):  # the second time from the start
            if self._recording is None:
                self._recording, self._media_s = open_source(self._where, self._port), None
            shot = self._recording.read()
            if shot is not None:
                return shot
            self.close()
        raise SourceError(f"{self._where} holds no frame")

    def close(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.close()


def open_replay(where: str, port: ImagePort) -> ReplaySource:
    """Open a video, a folder or a glob. Raises SourceError as those do, or for what is live."""
    return ReplaySource(where, port)
