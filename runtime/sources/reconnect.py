"""A camera that comes back: exponential back-off with jitter, until it answers or the stream is stopped."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from runtime.errors import SourceError
from runtime.sources.freeze import FreezeWatch
from runtime.sources.reader import Hung, Reader
from runtime.sources.source import Shot, Source
from runtime.sources.watch import Watch

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0  # a camera that is there again is seen within two seconds
log = logging.getLogger("inloco.camera")


class ReconnectingSource:
    """Starts with an open camera, so that a wrong address is an error, unless it may be away; opens it again when it is
    lost or hangs.

    What it sees goes into `watch`: losses, frames that were missed, and frames that repeat the one before.
    """

    live = True

    def __init__(self, open_camera: Callable[[], Source], name: str, watch: Watch) -> None:
        self._open_camera, self._name, self._watch = open_camera, name, watch
        self._freeze = FreezeWatch(watch.frozen_after_s)
        self._was_frozen = False
        self._number: int | None = None  # the camera's own, of the frame before
        self._attempts, self._lost_at = 0, 0.0  # since it was lost; a frame that is refused does not bring it back
        self._reader: Reader | None = None
        try:
            self._reader = self._open()
        except SourceError:  # then the first read looks for it, and counts it as lost
            if not watch.may_be_away:
                raise

    @property
    def is_triggered(self) -> bool:
        """Whether the camera waits for something else than time before each frame."""
        return self._reader is not None and self._reader.is_triggered

    def read(self) -> Shot | None:
        """The next frame, however long the camera is away; None when stopped meanwhile.

        Raises SourceError when the camera hung so often that only another process can help.
        """
        while not self._watch.stopping.is_set():
            try:
                self._reader = self._reader or self._open()
                shot = self._reader.read()
            except SourceError as error:
                self._lose(error)
                self._watch.stopping.wait(pause_s(self._attempts))
                self._attempts += 1
                continue
            if self._attempts and shot is not None:
                away_s = monotonic() - self._lost_at
                log.warning("%s is back after %.1f s, %d attempts", self._name, away_s, self._attempts)
                self._watch.reconnects += 1
                self._attempts = 0
            return shot and self._inspect(shot)
        return None

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _open(self) -> Reader:
        reader = Reader(self._open_camera, self._name, self._watch)
        try:
            reader.wait_open()
        except SourceError:
            reader.close(wait_s=0)
            raise
        return reader

    def _lose(self, error: SourceError) -> None:
        self._watch.turns += 1
        if self._attempts == 0:
            self._lost_at = monotonic()
            self._watch.losses += 1
            log.warning("%s", error)
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close(wait_s=0)
        if isinstance(error, Hung):
            self._watch.watchdog.restart(str(error), SourceError)
        self._freeze.forget()
        self._number = None

    def _inspect(self, shot: Shot) -> Shot:
        """The shot, marked where the camera is frozen; repeats and gaps in the camera's numbers are counted."""
        frozen = self._freeze.look(shot.frame, shot.captured)
        self._watch.repeated = self._freeze.repeated
        if shot.number is not None:
            if self._number is not None:
                self._watch.missed += max(0, shot.number - self._number - 1)
            self._number = shot.number
        if frozen != self._was_frozen:
            self._was_frozen = frozen
            log.warning("%s %s", self._name, "is frozen: it repeats its frames" if frozen else "moves again")
        return replace(shot, frozen=True) if frozen else shot


def pause_s(attempt: int) -> float:
    """Doubling from 0.05 s to 1 s, times 0.5 to 1 so that the clients of one camera do not meet again."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.0)
