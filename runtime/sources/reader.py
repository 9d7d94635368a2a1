"""Reads a camera in a thread of its own, so that a call that hangs in a driver can be left behind."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from time import monotonic

from runtime.errors import FrameError, SourceError
from runtime.mailbox import Mailbox
from runtime.sources.source import Shot, Source
from runtime.sources.watch import Watch

_SLICE_S = 0.25  # how often a waiting reader looks whether the stream is stopped
_PATIENCE_S = 1.0  # with a read that is under way when the reader is closed


class Hung(SourceError):
    """A camera's driver did not come back."""


class Reader:
    """One opening of one camera: its thread opens, reads and closes it, and the owner takes what it read.

    First `wait_open`, then `read`; both raise what the camera raised, Hung when it does nothing for `watch.hang_s`
    seconds, and give up, with None, once `watch.stopping` is set. After a FrameError it may be read again.
    """

    def __init__(self, open_camera: Callable[[], Source], name: str, watch: Watch) -> None:
        self._open_camera, self._name, self._watch = open_camera, name, watch
        self.is_triggered = False  # known once it is open
        self._answers: Mailbox[Shot | BaseException | bool] = Mailbox(1, newest_wins=False)
        self._thread = Thread(target=self._run, name="inloco camera", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            camera = self._open_camera()
            try:
                # Between two triggers a camera may be silent for ever, and hangs no more than before.
                self.is_triggered = getattr(camera, "is_triggered", False)
                going = self._answers.put(True)
                while going:
                    try:
                        shot: Shot | FrameError | None = camera.read()
                    except FrameError as error:
                        shot = error
                    going = shot is not None and self._answers.put(shot)
            finally:
                camera.close()
            self._answers.put(SourceError(f"{self._name} has ended"))
        except MemoryError:
            self._answers.put(SourceError(f"{self._name} was lost: there is no memory for its frame"))
        except BaseException as error:
            self._answers.put(error)

    def wait_open(self) -> None:
        """Wait until the camera is open."""
        self._next("was not open")

    def read(self) -> Shot | None:
        """The next shot."""
        answer = self._next("gave nothing")
        return answer if isinstance(answer, Shot) else None

    def _next(self, fault: str) -> Shot | bool | None:
        begun = monotonic()
        while not self._watch.stopping.is_set():
            answer = self._answers.get(_SLICE_S)
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                return answer
            if self.is_triggered:
                self._watch.turns += 1
            elif monotonic() - begun > self._watch.hang_s:
                raise Hung(f"{self._name} hangs: it {fault} for {self._watch.hang_s:g} s")
        return None

    def close(self, wait_s: float = _PATIENCE_S) -> None:
        """Let the thread close the camera: now, or whenever its call comes back."""
        self._answers.clear()
        self._thread.join(wait_s)
