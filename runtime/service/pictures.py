"""The sink of the live stream: it keeps the newest pair of pictures, and encodes it once for all who look."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

import cv2
import numpy as np

from runtime.compare import side_by_side
from runtime.frames import Array, Frame, to_8bit
from runtime.no_signal import NO_SIGNAL, draw_no_signal
from runtime.sinks.sink import Mark

VIEWS = ("original", "translated", "difference")
_QUALITY = 85  # of JPEG, for eyes; /snapshot is lossless
_BLANK = (360, 640, 3)


class Pair:
    """One translated frame and its original, (H, W, C) each, of one size and type. They are never written to."""

    def __init__(self, original: Frame, translated: Frame, sequence: int, captured: float) -> None:
        self.sequence, self.captured, self.delivered = sequence, captured, monotonic()
        self.number = 0  # of all pairs so far, NO SIGNAL included
        self._pictures = {"original": original, "translated": translated}
        self._encoded: dict[str, asyncio.Future[bytes]] = {}

    def picture(self, view: str) -> Frame:
        """One of VIEWS, or "side": both beside each other. The difference is absolute, in levels."""
        original, translated = self._pictures["original"], self._pictures["translated"]
        if view == "side":
            return side_by_side(original, translated)
        if view == "difference":
            return np.asarray(cv2.absdiff(original, translated)).reshape(translated.shape)
        return self._pictures[view]

    async def jpeg(self, view: str) -> bytes:
        """The view as a JPEG file, encoded when the first one asks. For the event loop."""
        if view not in self._encoded:
            self._encoded[view] = asyncio.ensure_future(asyncio.to_thread(self._encode, view))
        return await asyncio.shield(self._encoded[view])  # one client that leaves does not spoil it for the others

    def _encode(self, view: str) -> bytes:
        _, data = cv2.imencode(".jpg", to_8bit(self.picture(view)), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        return bytes(data)


class LivePictures:
    """A Sink of side-by-side pictures (Mode.compare), read by any number of clients in the event loop."""

    def __init__(self) -> None:
        self.newest: Pair | None = None
        self.frozen = False  # the camera repeats its frames
        self.lost = ""  # "no signal" or "engine hung", where `newest` is a picture of these words
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self.closed = False

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake clients in this loop from now on."""
        self._loop = loop

    def write(self, frame: Frame, mark: Mark) -> None:
        if mark.sequence < 0:
            self.lose(mark.name.replace("_", " ").upper())
            return
        self.frozen = mark.frozen
        width = frame.shape[1] // 2
        halves = [_own(frame[:, :width]), _own(frame[:, width:])]
        self._publish(Pair(halves[0], halves[1], mark.sequence, mark.captured), "")

    def lose(self, words: str = NO_SIGNAL) -> None:
        """Show the words, in the size of the pictures before them."""
        if self.lost == words.lower():
            return
        height, width, channels = self.newest.picture("original").shape if self.newest else _BLANK
        picture = draw_no_signal((height, width, channels), "uint8", words)
        self._publish(Pair(picture, picture, -1, monotonic()), words.lower())

    async def newer_than(self, number: int, seconds: float) -> Pair | None:
        """The newest pair once its number is above `number`; None when none came in that time, or at the end."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wait(number), seconds)
        return None if self.closed else self._above(number)

    async def _wait(self, number: int) -> None:
        while self._above(number) is None and not self.closed:
            await self._changed.wait()

    def _above(self, number: int) -> Pair | None:
        newest = self.newest
        return newest if newest is not None and newest.number > number else None

    def end(self) -> None:
        """Let every stream of pictures come to its end."""
        self.closed = True
        self._wake()

    def close(self) -> None:
        """The pipeline has ended; it may start again."""

    def abort(self) -> None:
        """The pipeline has failed; it may start again."""

    def _publish(self, pair: Pair, lost: str) -> None:
        pair.number = 1 + (self.newest.number if self.newest else 0)
        self.newest, self.lost = pair, lost
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _own(half: Array) -> Frame:
    """A copy in its own memory: the frame is the pipeline's."""
    return np.array(half, order="C")
