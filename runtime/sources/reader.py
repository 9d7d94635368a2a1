"""Reads a camera in a thread of its own, so that a call that hangs in a driver can be left behind."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

from runtime.errors import SourceError
from runtime.mailbox import Mailbox
from runtime.sources.source import Shot, Source

_SLICE_S = 0.25  # how often a waiting reader looks whether the stream is stopped
_PATIENCE_S = 1.0  # with a read that is under way when the reader is closed


class Hung(SourceError):
    """A camera's driver did not come back."""


class Reader:
    """One opening of one camera: its thread opens, reads and closes it, and the owner takes what it read.

    First `wait_open`, then `read`; both raise what the camera raised, Hung when it does nothing for `hang_s` seconds,
    and give up, with None, once `stopping` is set.
    """

    def __init__(self, open_camera: Callable[[], Source], name: str, hang_s: float, stopping: Event) -> None:
        self._open_camera, self._name, self._hang_s, self._stopping = open_camera, name, hang_s, stopping
        self._is_triggered = False
        self._answers: Mailbox[Shot | BaseException | bool] = Mailbox(1, newest_wins=False)
        self._thread = Thread(target=self._run, name="inloco camera", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            camera = self._open_camera()
            try:
                # Between two triggers a camera may be silent for ever, and hangs no more than before.
                self._is_triggered = getattr(camera, "is_triggered", False)
                going = self._answers.put(True)
                while going:
                    shot = camera.read()
                    going = shot is not None and self._answers.put(shot)
            finally:
                camera.close()
            self._answers.put(SourceError(f"{self._name} has ended"))
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
        while not self._stopping.is_set():
            answer = self._answers.get(_SLICE_S)
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                return answer
            if monotonic() - begun > self._hang_s and not self._is_triggered:
                raise Hung(f"{self._name} hangs: it {fault} for {self._hang_s:g} s")
        return None

    def close(self, wait_s: float = _PATIENCE_S) -> None:
        """Let the thread close the camera: now, or whenever its call comes back."""
        self._answers.clear()
        self._thread.join(wait_s)
