"""Runs the stream's pipeline beside the service, again and again where a camera is lost, and says how it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from typing import Any

from runtime.errors import InlocoError
from runtime.heartbeat import Heartbeat
from runtime.pipeline import Pipeline
from runtime.service.pictures import LivePictures
from runtime.sources.reconnect import pause_s
from runtime.stats import STAGES, Passage, StreamStats

STALE_S = 1.0  # a newest picture that is older is called so
_COUNTERS = ("captured", "dropped", "refused", "unfinished", "no_signal", "losses")
log = logging.getLogger("inloco.serve")


class LiveStats(StreamStats):
    """Over all runs of the pipeline; it also remembers where the time of the newest frame went."""

    def __init__(self) -> None:
        super().__init__()
        self.newest_ms: dict[str, float] = {}

    def record(self, passage: Passage) -> None:
        before = {name: self.stages[name].total for name in STAGES}
        super().record(passage)
        self.newest_ms = {name: round(self.stages[name].total - before[name], 3) for name in STAGES}


@dataclass(frozen=True)
class Ladder:
    """Where a deadline ladder stands: 0 is the best engine."""

    level: int
    name: str


def ladder_of(pipeline: Pipeline | None) -> Ladder | None:
    """The ladder's level, where the pipeline has one; the only place of the service that knows where it stands."""
    level: Any = getattr(getattr(pipeline, "stats", None), "ladder_level", None)
    if level is None:
        return None
    return Ladder(int(level), str(getattr(pipeline.stats, "ladder_name", "") or f"level {level}"))  # type: ignore[union-attr]


class LiveStream:
    """A thread that runs pipelines made by `build`, all with the same sink and statistics.

    `is_camera`: it may be away at the start and come back; anything else that fails before its first frame is an error,
    told by calling `failed`.
    """

    def __init__(self, build: Callable[[], Pipeline], pictures: LivePictures, is_camera: bool) -> None:
        self.stats = LiveStats()
        self.error: InlocoError | None = None  # that ended it for good
        self.reason = ""  # why there is no picture now
        self.failed: Callable[[], None] = lambda: None
        self._build, self._pictures, self._is_camera = build, pictures, is_camera
        self._stopping = Event()
        self._ended = False
        self._began = 0.0
        self._pipeline: Pipeline | None = None
        self._heart: Heartbeat | None = None
        self._tries = self._tries_seen = 0
        self._before = dict.fromkeys(_COUNTERS, 0)  # of the runs before this one
        self._thread = Thread(target=self._run, name="inloco live", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Take no further frame; `join` waits for those on their way."""
        self._stopping.set()
        if self._pipeline is not None:
            self._pipeline.stop()

    def join(self, seconds: float) -> bool:
        """Wait for the end, but not for ever: a driver may hang. Whether it ended."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def counters(self) -> dict[str, int]:
        """Frames dropped, NO SIGNAL pictures and losses of the camera, over all runs."""
        now = self._pipeline
        return {name: self._before[name] + (getattr(now, name) if now else 0) for name in _COUNTERS}

    @property
    def backend(self) -> str:
        """Of the engine that runs, with its version; empty before it is open."""
        return self._pipeline.backend if self._pipeline else ""

    def beats(self) -> bool:
        """Whether frames moved or a lost camera was looked for since this was last True; an end is no hang."""
        if self.error is not None or self._ended:
            return True
        if self._tries != self._tries_seen:
            self._tries_seen = self._tries
            return True
        return self._heart is not None and self._heart.beats()

    def ladder(self) -> Ladder | None:
        """See `ladder_of`."""
        return ladder_of(self._pipeline)

    def state(self) -> str:
        """One of starting, live, playing (a file), stale, frozen, no signal, engine hung, ended, failed."""
        pair = self._pictures.newest
        if self.error is not None:
            return "failed"
        if self._pictures.lost:
            return self._pictures.lost
        if self._ended:
            return "ended"
        if self._pictures.frozen:
            return "frozen"
        if pair is None:
            return "starting"
        # What is read from a file waits in queues on purpose; a camera's picture must be young.
        if monotonic() - (pair.captured if self._is_camera else pair.delivered) > STALE_S:
            return "stale"
        return "live" if self._is_camera else "playing"

    def _run(self) -> None:
        self._began, attempt = monotonic(), 0
        while not self._stopping.is_set():
            frames = self.stats.frames
            self._tries += 1
            again = self._run_once()
            if not again or self._stopping.is_set():
                return
            attempt = 0 if self.stats.frames > frames else attempt + 1
            self._stopping.wait(pause_s(attempt))

    def _run_once(self) -> bool:
        """Run one pipeline to its end; whether there should be another."""
        try:
            pipeline = self._build()
            pipeline.stats = self.stats
            self._pipeline, self._heart = pipeline, Heartbeat(pipeline)
            if self._stopping.is_set():
                return False
            pipeline.run(self._look)
        except InlocoError as error:
            return self._note(error)
        except Exception as error:
            log.exception("the stream failed")
            return self._note(InlocoError(f"the stream failed ({error}); the service's log says more"))
        finally:
            self._before, self._pipeline = self.counters(), None
        self._ended = not self._is_camera
        return self._is_camera

    def _note(self, error: InlocoError) -> bool:
        self.reason = str(error)
        log.warning("%s", error)
        if self._is_camera:
            self._pictures.lose()
            return True
        self.error = error
        if not self.stats.frames:
            self.failed()
        return False

    def _look(self) -> None:
        """Four times a second: a camera that never gave a picture has no signal; one that does needs no reason."""
        if self._is_camera and self._pictures.newest is None and monotonic() - self._began > STALE_S:
            self._pictures.lose()
        if self.reason and not self._pictures.lost:
            self.reason = ""
