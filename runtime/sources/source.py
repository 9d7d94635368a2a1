"""What every source of frames is: one small file behind this Protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from runtime.frames import Frame


@dataclass(frozen=True)
class Shot:
    """One frame and when it was taken."""

    frame: Frame  # of the source's own size
    captured: float  # time.monotonic() when it was taken or, where nobody knows, when its first bytes were there
    media_s: float  # place on the time line of the output, in seconds from any origin
    name: str = ""  # of the file it came from, without its suffix
    number: int | None = None  # the camera's own, where it counts: a gap is a frame that never arrived
    frozen: bool = False  # the camera repeats its frames


class Source(Protocol):
    """Frames one after the other, in the channels and type that the engine takes. Used by one thread."""

    live: bool  # a camera: it goes on without us, may be lost, and comes back

    def read(self) -> Shot | None:
        """The next frame, or None at the end. Raises SourceError when the source is damaged or lost."""

    def close(self) -> None:
        """Free the device or file; calling it twice is harmless."""


def without_password(uri: str) -> str:
    """A URI as it may stand in messages and reports."""
    return re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:…@", uri)
