"""A camera that comes back: exponential back-off with jitter, until it answers or the stream is stopped."""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Event

from runtime.errors import SourceError
from runtime.sources.source import Shot, Source

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0


class ReconnectingSource:
    """Starts with an open camera, so that a wrong address is an error; opens it again when it is lost."""

    live = True

    def __init__(self, open_camera: Callable[[], Source], camera: Source, stopping: Event) -> None:
        self.losses = 0
        self._open_camera = open_camera
        self._stopping = stopping
        self._camera: Source | None = camera

    def read(self) -> Shot | None:
        """The next frame, however long the camera is away; None when stopped meanwhile."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                if self._camera is None:
                    self._camera = self._open_camera()
                return self._camera.read()
            except SourceError:
                self.losses += self._camera is not None
                self.close()
                self._stopping.wait(pause_s(attempt))
                attempt += 1
        return None

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


def pause_s(attempt: int) -> float:
    """Doubling from 0.25 s to 15 s, times 0.5 to 1 so that the clients of one camera do not meet again."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**min(attempt, 16)) * random.uniform(0.5, 1.0)
