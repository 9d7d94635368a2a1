"""How a camera is watched and what was seen of it: settings from the caller, counters for reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event

from runtime.sources.freeze import FROZEN_S
from runtime.watchdog import Watchdog

HANG_S = 15.0  # longer than the time limits of FFmpeg's and OpenCV's own reads, which are told as losses


@dataclass
class Watch:
    """Counters are written by the thread that reads the camera; others may read them at any time."""

    stopping: Event = field(default_factory=Event)  # once set, ends the wait for a lost camera
    frozen_after_s: float = FROZEN_S  # 0: repeats are counted and nothing is said
    hang_s: float = HANG_S
    watchdog: Watchdog = field(default_factory=Watchdog)
    may_be_away: bool = False  # the camera, at the start; otherwise a wrong address is an error
    losses: int = 0  # of the camera, hung reads included
    reconnects: int = 0  # losses after which it came back
    turns: int = 0  # of looking for a lost camera, or waiting for one that is triggered: its thread does not hang
    repeated: int = 0  # frames equal to the one before
    missed: int = 0  # frames that the camera numbered and that never arrived

    def counters(self) -> dict[str, int]:
        """What reports say of a camera."""
        counted = {name: getattr(self, name) for name in ("losses", "reconnects", "repeated", "missed")}
        return counted | {"restarts": self.watchdog.restarts}
