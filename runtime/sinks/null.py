"""`null:` takes everything and keeps nothing: for measurements."""

from __future__ import annotations

from runtime.frames import Frame
from runtime.sinks.sink import Mark


class NullSink:
    """Nowhere."""

    def write(self, frame: Frame, mark: Mark) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def abort(self) -> None:
        """Nothing."""


def open_null(rest: str) -> NullSink:
    """A sink that keeps nothing."""
    return NullSink()
