"""Records what a stream delivers, in a thread of its own: what it cannot keep up with is its loss, never the stream's.

    recorder = Recorder(RecordOptions(Path("kept")), {"engine_sha256": …}, board.__str__)
    recorder.offer(original, translated, mark)
    recorder.flag("a scratch on the third bottle")
    recorder.close()
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic, time
from typing import Any

from runtime.banner import draw_banner
from runtime.compare import side_by_side
from runtime.frames import Frame
from runtime.mailbox import Mailbox
from runtime.no_signal import draw_no_signal
from runtime.recording.archive import Archive
from runtime.recording.events import EventWatch, Ring
from runtime.recording.fragments import Fragment, FragmentEncoder, Shown
from runtime.recording.options import RecordOptions
from runtime.recording.segment import Segment
from runtime.sinks.sink import Mark

AGAIN_S = 30.0  # after a disk refused
_WAITING_BYTES, _FEWEST, _MOST = 256 << 20, 2, 32  # frames that wait for the encoder
_LOOK_S = 0.5
_NICER = 5  # than the stream, in steps of nice(1)
_NOTE = 200  # characters of a flag's note
_SHARE = 8  # a segment is at most this part of what is kept
_END_S = 5.0  # for what waits when the recorder is closed
log = logging.getLogger("inloco.record")


@dataclass(frozen=True)
class _Item:
    original: Frame | None  # None: words alone
    picture: Frame
    mark: Mark
    ladder: int
    controls: str


class Recorder:
    """`offer` belongs to one thread, everything else to any.

    `facts` stand in the head of every segment; `controls` gives the assignments that hold.

    Raises:
        SinkError: the folder cannot be written, or another stream records into it.
    """

    def __init__(self, options: RecordOptions, facts: Mapping[str, Any], controls: Callable[[], str] = str) -> None:
        self.error = ""  # why nothing is recorded now
        self.frames = self.lost = self.segments = self.bytes = self.events = self.failures = 0
        self._options, self._facts, self._controls = options, facts, controls
        self._archive = Archive(options.folder, options.keep)
        self._ring, self._watch = Ring(options.around_s), EventWatch()
        self._flags: deque[str] = deque()
        self._box: Mailbox[_Item] | None = None
        self._thread = threading.Thread(target=self._run, name="inloco recorder", daemon=True)
        self._encoder: FragmentEncoder | None = None
        self._shape: tuple[int, ...] = ()
        self._segment: Segment | None = None
        self._again_at = 0.0

    def offer(self, original: Frame | None, picture: Frame, mark: Mark, ladder: int = 0) -> None:
        """Take a delivered frame, which nobody may change any more; never waits. `original` None: words alone."""
        if self._box is None:
            room = _WAITING_BYTES // (picture.nbytes * 2)
            self._box = Mailbox(min(_MOST, max(_FEWEST, room)), newest_wins=True)
            self._thread.start()
        self._box.put(_Item(original, picture, mark, ladder, self._controls()))

    def flag(self, note: str) -> None:
        """An event that a person or another program saw; may be called from a signal handler."""
        self._flags.append(note[:_NOTE])

    @property
    def dropped(self) -> int:
        """Frames that came faster than they could be encoded."""
        return self._box.dropped if self._box else 0

    def counters(self) -> dict[str, int]:
        """For reports. `lost`: frames that came while the disk refused; `removed`: segments, by size or age."""
        names = ("frames", "dropped", "lost", "segments", "bytes", "events", "failures")
        return {name: getattr(self, name) for name in names} | {"removed": self._archive.removed}

    def close(self, wait_s: float = _END_S) -> None:
        """Record what waits and finish the segment; one that is not done in time is finished by the next start."""
        if self._box is None:
            self._archive.close()
            return
        self._box.close()
        self._thread.join(wait_s)

    def _run(self) -> None:
        with suppress(OSError, AttributeError):  # a system that cannot, or may not
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICER)
        assert self._box is not None
        while not self._box.finished:
            item = self._box.get(_LOOK_S)
            if item is None:
                continue
            if monotonic() < self._again_at:
                self.lost += 1
            else:
                self._attempt(partial(self._take, item))
        self._attempt(self._finish_encoder)
        self._close_segment()
        self._archive.close()

    def _attempt(self, work: Callable[[], None]) -> None:
        """Whatever goes wrong with a recording stays with it."""
        try:
            work()
        except Exception as error:
            if not self.error:
                log.error("recording into %s stopped: %s; it is tried again", self._options.folder, error)
            self.error = str(error)
            self.failures += 1
            self.lost += self._encoder.waiting if self._encoder else 1
            self._encoder = None
            self._ring.clear()
            self._close_segment()
            self._again_at = monotonic() + AGAIN_S

    def _take(self, item: _Item) -> None:
        mark = item.mark
        state = mark.name.replace("_", " ").upper() if mark.sequence < 0 else "FROZEN" if mark.frozen else ""
        events = self._watch.look(state, item.ladder)
        while self._flags:
            events.append(f"flag: {self._flags.popleft()}")
        for _ in events:
            self.events += 1
            self._ring.mark(mark.media_s)
        picture = self._picture(item, state)
        if picture is None:
            return
        if picture.shape != self._shape or self._encoder is None:
            self._finish_encoder()
            self._encoder, self._shape = FragmentEncoder((picture.shape[0], picture.shape[1])), picture.shape
        captured = time() - (monotonic() - mark.captured)
        shown = Shown(mark.sequence, mark.media_s, captured, state, item.ladder, item.controls, tuple(events))
        for fragment in self._encoder.encode(picture, shown):
            self._keep(fragment)

    def _picture(self, item: _Item, state: str) -> Frame | None:
        """Both beside each other; words in the size of those before them, None where there were none."""
        if item.original is None:
            if not self._shape:
                return None
            height, width, channels = self._shape
            return draw_no_signal((height, width, channels), str(item.picture.dtype), state)
        both = side_by_side(item.original, item.picture)
        return draw_banner(both, state) if state else both

    def _keep(self, fragment: Fragment) -> None:
        for kept in self._ring.put(fragment):
            self._write(kept)
        if self._ring.is_over(fragment.end_s):
            self._close_segment()
        self._archive.prune(self._segment.bytes if self._segment else 0)

    def _write(self, fragment: Fragment) -> None:
        if self._segment is not None and self._is_full(self._segment, fragment):
            self._close_segment()
        before = self._segment.bytes if self._segment else 0
        try:
            if self._segment is None:
                self._segment = Segment(self._archive.folder, fragment, self._facts)
                self.segments += 1
            else:
                self._segment.write(fragment)
        except OSError:
            self.lost += len(fragment.frames)
            raise
        self.bytes += self._segment.bytes - before
        self.frames += len(fragment.frames)
        if self.error:
            log.warning("recording into %s again", self._options.folder)
            self.error = ""

    def _is_full(self, segment: Segment, fragment: Fragment) -> bool:
        most = self._options.keep.size
        return (
            segment.init != fragment.init
            or fragment.begin_s - segment.begin_s >= self._options.segment_s
            or (most is not None and segment.bytes + len(fragment.content) > most / _SHARE)
        )

    def _finish_encoder(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            for fragment in encoder.finish():
                self._keep(fragment)

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()
            with suppress(OSError):
                self._archive.look()
