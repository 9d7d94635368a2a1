"""source → mailbox → engine → mailbox → sink, each in its own thread; nobody spins and nothing grows.

In realtime the newest frame wins, in both mailboxes, and drops are counted; otherwise nothing is dropped.
The engine is opened, used and closed by one thread, as CUDA wants it; so is the source. Every frame is accounted for:
at the end, captured = delivered + dropped + refused + unfinished.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

from runtime.banner import draw_banner
from runtime.compare import side_by_side
from runtime.engine import Engine
from runtime.errors import FrameError, InlocoError
from runtime.frames import Frame
from runtime.mailbox import Mailbox
from runtime.no_signal import ENGINE_HUNG, NO_SIGNAL, draw_no_signal
from runtime.sinks import Mark, Sink, SinkClosed
from runtime.sources import Source, Watch
from runtime.sources.pace import Pace
from runtime.stages import Item, Mode, Stages
from runtime.stats import Passage, StreamStats
from runtime.watched_engine import FrameLost

__all__ = ["Mode", "Pipeline", "Stages"]

_POLL_S = 0.2  # how often a sink looks whether the camera is silent, and shows NO SIGNAL while it is
_GLANCE_S = 0.05  # the same while the next frame is not yet waited for
_QUEUE = 4  # frames between two threads where nothing is dropped
_PROGRESS_S = 0.25
_PATIENCE_S = 0.4  # with a thread that hangs in a call when the stream has ended
_DRAIN_S = 1.0  # for frames on their way when the stream is stopped; then they are left unfinished
log = logging.getLogger("inloco.stream")


class Pipeline:
    """Runs a stream once; `stats` may be read at any time, `stop` called from anywhere."""

    def __init__(self, stages: Stages, mode: Mode, watch: Watch | None = None) -> None:
        self.stats = StreamStats()
        self.backend = ""
        self.realtime = mode.realtime
        self.captured = 0  # frames that the source gave
        self.refused = 0  # of them, what the engine cannot take
        self.no_signal = 0  # pictures of words alone: the camera is lost, or the engine hangs
        self.frozen = 0  # pictures of a camera that repeats its frames, which say so
        self.watch = watch or Watch()
        self._stages = stages
        self._mode = mode
        self._stopping = self.watch.stopping
        capacity = 1 if mode.realtime else _QUEUE
        self._inbox: Mailbox[Item] = Mailbox(capacity, mode.realtime)
        self._outbox: Mailbox[Item] = Mailbox(capacity, mode.realtime)
        self._delivered = Event()
        self._error: BaseException | None = None
        self._live: bool | None = None  # whether the source is a camera, once it is open
        self._engine: Engine | None = None
        self._lost = 0  # frames inside an engine that hung
        self._broken_off = 0  # frames inside a sink that failed, or that came to it too late
        self._in_flight: deque[Item] = deque()
        self._stopped: float | None = None  # when `stop` was called
        self._reading_since: float | None = None
        self._pace = Pace()
        self._threads: list[Thread] = []
        self._last_translated = 0.0
        self._last_picture = stages.blank

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before they were translated or delivered, or that a hung engine took."""
        return self._inbox.dropped + self._outbox.dropped + self._lost

    @property
    def unfinished(self) -> int:
        """Frames on their way when the stream was cut off: by `frames`, a closed window, or an engine too slow."""
        in_engine = len(self._in_flight) if self._delivered.is_set() else 0
        return self._inbox.forgotten + self._outbox.forgotten + self._broken_off + in_engine

    @property
    def losses(self) -> int:
        """How often the camera was lost."""
        return self.watch.losses

    def run(self, progress: Callable[[], None] = lambda: None) -> None:
        """Stream until the source ends, `stop` is called or `frames` are delivered; `progress` four times a second.

        After `stop` it ends within two seconds. Raises the first error of any thread, after the sink was aborted.
        """
        jobs = {"inloco capture": self._capture, "inloco translate": self._translate, "inloco deliver": self._deliver}
        self._threads = [Thread(None, self._guard, name, (job,), daemon=True) for name, job in jobs.items()]
        for thread in self._threads:
            thread.start()
        try:
            while not self._delivered.wait(_PROGRESS_S):
                if self._stopped is not None and monotonic() - self._stopped > _DRAIN_S:
                    self._cancel()
                progress()
        except BaseException as error:  # a second Ctrl-C: nothing half-written stays even then
            self.fail(error)
            self._delivered.wait(_PATIENCE_S)
            raise
        self._join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Take no further frame and finish those on their way, as far as time allows."""
        self._stopped = self._stopped or monotonic()
        self._stopping.set()
        self._inbox.close()

    def _join(self) -> None:
        """After a stop nobody waits for a call that hangs; else the engine ends its frame before it is closed."""
        capture, *workers = self._threads
        until = monotonic() + _PATIENCE_S
        for thread in workers:
            thread.join(None if self._stopped is None else max(0.0, until - monotonic()))
        capture.join(max(0.1, until - monotonic()))

    def discard(self) -> None:
        """It will never run: leave nothing behind."""
        self._stages.sink.abort()

    def _guard(self, job: Callable[[], None]) -> None:
        """Run a thread's job; its error, if it is the first, ends all."""
        try:
            job()
        except BaseException as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End now, as if a thread had raised this error."""
        self._error = self._error or error
        self._cancel()

    def _capture(self) -> None:
        source = self._stages.open_source()
        try:
            self._live = source.live
            self._pace = Pace(getattr(source, "is_triggered", False))
            sequence = 0
            while not self._stopping.is_set() and self._capture_one(source, sequence):
                sequence += 1
        except InlocoError:
            if not self._stopping.is_set():  # what is read ahead of a stop is nobody's loss
                raise
        finally:
            source.close()
        self._inbox.close()  # not after an error: what follows must not take it for the end

    def _capture_one(self, source: Source, sequence: int) -> bool:
        self._reading_since = self._reading_since or monotonic()
        shot = None
        try:
            shot = source.read()
            if shot is None:
                return False
            frame = self._stages.prepare(shot.frame)
        except (FrameError, MemoryError) as error:
            if not self._live or (shot is not None and self.captured == self.refused):
                raise  # a damaged file; an engine that is not for this camera
            self._refuse(error)
            return True
        self._reading_since = None
        self._pace.take(shot.captured, self.watch.losses)
        mark = Mark(sequence, shot.media_s, shot.name, shot.captured, shot.frozen)
        taken = self._inbox.put(Item(mark, frame, shot.captured, monotonic()))
        self.captured += taken
        return taken

    def _refuse(self, error: FrameError | MemoryError) -> None:
        """Leave out one frame of a camera; where none follows that can be shown, there is soon no signal."""
        self.captured += 1
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:  # 1, 2, 4, …: a camera that sends rubbish must not fill the disk
            log.warning("refused %d: %s", self.refused, str(error) or "there is no memory for it")

    def _translate(self) -> None:
        engine = self._engine = self._stages.open_engine()
        in_flight = self._in_flight
        try:
            self.backend = engine.backend
            while in_flight or not self._inbox.finished:
                item = self._inbox.get(timeout_s=0 if in_flight else None)
                if item is not None:
                    item.submitted = monotonic()
                    in_flight.append(item)
                    frame = {"frame": item.frame[None]} if engine.manifest.frame else {}
                    engine.submit({**frame, **self._stages.controls(item.frame, item.mark.name)})
                if in_flight and (item is None or len(in_flight) >= engine.depth):
                    self._collect(engine, in_flight[0])
                    in_flight.popleft()
        finally:
            engine.close()
        self._outbox.close()

    def _collect(self, engine: Engine, item: Item) -> None:
        try:
            # The engine's buffer is used again while the sink still writes: the sink gets a copy.
            item.picture = engine.collect()["translated"][0].copy()
        except FrameLost:
            self._lost += 1
            return
        # An engine computes one frame after the other: behind another in flight, a frame still waits for its turn.
        item.submitted = max(item.submitted, self._last_translated)
        item.translated = self._last_translated = monotonic()
        if not self._outbox.put(item):
            self._broken_off += 1

    def _deliver(self) -> None:
        sink = self._stages.sink
        try:
            while not self._outbox.finished:
                item = self._outbox.get(None if self._live is False else self._look_s())
                if item is not None:
                    self._deliver_one(sink, item)
                elif words := self.silence():
                    self._show_words(sink, words)
            if self._error is None:
                sink.close()
        except SinkClosed:
            self._cancel()
            sink.close()
        finally:
            sink.abort()
            self._delivered.set()

    def _deliver_one(self, sink: Sink, item: Item) -> None:
        assert item.picture is not None
        picture = item.picture
        if self._mode.compare or self._stages.recorder is not None:
            original = self._stages.original(item.frame)
            self._record(original, picture, item.mark)
            picture = side_by_side(original, picture) if self._mode.compare else picture
        if item.mark.frozen:
            picture = draw_banner(picture, "FROZEN")
            self.frozen += 1
        try:
            sink.write(picture, item.mark)
        except BaseException:
            self._broken_off += 1
            raise
        self._last_picture = picture
        passage = Passage(item.captured, item.ready, item.submitted, item.translated, monotonic())
        self.stats.record(passage)
        if self._stages.ladder is not None:
            self.stats.climb(self._stages.ladder, passage)
        if self.stats.frames == self._mode.frames:
            self._cancel()

    def _cancel(self) -> None:
        """End now: forget the frames on their way."""
        self._stopping.set()
        self._inbox.clear()
        self._outbox.clear()

    def _look_s(self) -> float:
        """When to look again whether the camera is silent."""
        since = self._reading_since
        left = _GLANCE_S if since is None else since + self._pace.patience_s - monotonic()
        return min(_POLL_S, left + 1e-3) if left > 0 else _POLL_S

    def silence(self) -> str:
        """Why there is nothing to show; empty where there is, or will be in time. May be asked by any thread."""
        since = self._reading_since
        if self._live and since is not None and monotonic() - since > self._pace.patience_s:
            return NO_SIGNAL
        stalled = self._live and getattr(self._engine, "is_stalled", False)  # of engines that are watched
        return ENGINE_HUNG if stalled else ""

    def _show_words(self, sink: Sink, words: str) -> None:
        """In the size of the pictures before it, at the time it is: a video shows how long there was none."""
        if self._last_picture is not None and not self._stopping.is_set():
            height, width, channels = self._last_picture.shape
            picture = draw_no_signal((height, width, channels), str(self._last_picture.dtype), words)
            now = monotonic()
            mark = Mark(-1, now, words.lower().replace(" ", "_"), now)
            self._record(None, picture, mark)
            sink.write(picture, mark)
            self.no_signal += 1

    def _record(self, original: Frame | None, picture: Frame, mark: Mark) -> None:
        if self._stages.recorder is not None:
            self._stages.recorder.offer(original, picture, mark, self.stats.ladder_level or 0)
