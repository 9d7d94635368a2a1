"""`synthetic:[WIDTHxHEIGHT][@FPS]`: an endless moving pattern; with a rate it acts as a camera.

    synthetic:              as fast as frames are taken, of the engine's size
    synthetic:640x480@30    640 pixels wide, 480 high, 30 frames a second
"""

from __future__ import annotations

import re
from time import monotonic, sleep

import numpy as np

from runtime.errors import SourceError
from runtime.frames import Frame
from runtime.manifest import ImagePort
from runtime.sources.source import Shot

_GRAMMAR = re.compile(r"(?:(\d+)x(\d+))?(?:@(\d+(?:\.\d+)?))?")
_NOMINAL_FPS = 30.0  # of the time line, where no rate is asked for
_STEP = 4  # pixels that the pattern moves in a frame


class SyntheticSource:
    """Windows that slide over a picture drawn once, so that a frame costs one copy."""

    def __init__(self, height: int, width: int, port: ImagePort, fps: float | None) -> None:
        self.live = fps is not None
        self._width = width
        self._fps = fps
        self._picture = draw_pattern(height, width, port.channels, port.dtype)
        self._sequence = 0
        self._start = monotonic()

    def read(self) -> Shot:
        sequence, self._sequence = self._sequence, self._sequence + 1
        if self._fps is not None:
            sleep(max(0.0, self._start + sequence / self._fps - monotonic()))
        captured = monotonic()
        left = sequence * _STEP % self._width
        frame = np.ascontiguousarray(self._picture[:, left : left + self._width])
        return Shot(frame, captured, captured if self.live else sequence / _NOMINAL_FPS)

    def close(self) -> None:
        """Nothing to free."""


def draw_pattern(height: int, width: int, channels: int, dtype: str) -> Frame:
    """(H, 2W, C): a horizontal period of W of discs on a gradient, twice, over the full range of `dtype`."""
    row, column = np.mgrid[0:height, 0 : 2 * width].astype(np.float32)
    phase = column * (2 * np.pi / width)
    waves = [np.sin(phase + shift) * np.cos(row * (3 * np.pi / height) + shift) for shift in range(channels)]
    cell = max(8, min(height, width) // 4)
    across = column % width % cell - cell / 2
    discs = np.hypot(across, row % cell - cell / 2) < cell / 4
    picture = np.stack(waves, axis=2) * np.where(discs, -1.0, 1.0)[:, :, None]
    return np.rint((picture + 1) / 2 * np.iinfo(dtype).max).astype(dtype)


def open_synthetic(rest: str, port: ImagePort) -> SyntheticSource:
    """Parse what follows `synthetic:`. Raises SourceError for another grammar."""
    match = _GRAMMAR.fullmatch(rest)
    if match is None:
        raise SourceError(f"'synthetic:{rest}' is not synthetic:[WIDTHxHEIGHT][@FPS], like synthetic:640x480@30")
    width, height, fps = match.groups()
    rate = float(fps) if fps else None
    if rate == 0 or (width and 0 in (int(width), int(height))):
        raise SourceError(f"'synthetic:{rest}': size and rate must be above 0")
    return SyntheticSource(int(height or port.height), int(width or port.width), port, rate)
