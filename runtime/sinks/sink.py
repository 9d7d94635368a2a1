"""What every sink of frames is: one small file behind this Protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runtime.frames import Frame


@dataclass(frozen=True)
class Mark:
    """Which frame a picture shows."""

    sequence: int  # from 0, over all frames of the source, dropped ones included; -1 for a picture of words only
    media_s: float  # place on the time line, in seconds from any origin
    name: str = ""  # of the file the frame came from
    captured: float = 0.0  # time.monotonic() when the frame was taken
    frozen: bool = False  # the camera repeats its frames; the picture says so


class SinkClosed(Exception):
    """The user closed the window: the stream ends well."""


class Sink(Protocol):
    """Takes the translated frames in order. Used by one thread."""

    def write(self, frame: Frame, mark: Mark) -> None:
        """Show or store one frame, which stays the caller's. Raises SinkError, or SinkClosed."""

    def close(self) -> None:
        """Finish what was written, under its final name. Raises SinkError, and then leaves nothing behind."""

    def abort(self) -> None:
        """Leave nothing behind; harmless after `close`."""
