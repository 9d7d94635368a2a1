"""Whether a camera still looks: frames that equal the one before show no time passing."""

from __future__ import annotations

from collections import deque

import numpy as np

from runtime.frames import Frame

FROZEN_S = 2.0
# An encoder writes a key frame now and then even of a frozen picture, and that one differs a little.
_SHARE = 0.75  # of repeats among the frames of the window
_FEWEST = 3  # repeats
_ALIVE = 3  # changes in a row end it at once
_ROWS = 16  # every so-many-th row is compared first


class FreezeWatch:
    """Counts repeats; frozen is where three quarters of the frames of the last `after_s` seconds (0: never) are some.

    A sensor's noise makes every frame another; a scene without any noise looks like a frozen one.
    """

    def __init__(self, after_s: float = FROZEN_S) -> None:
        self.repeated = 0
        self.frozen = False
        self._after_s = after_s
        self._before: Frame | None = None
        self._seen: deque[tuple[float, bool]] = deque()
        self._changes = 0  # in a row

    def look(self, frame: Frame, captured: float) -> bool:
        """Whether the camera is frozen, as of this frame, which must stay unchanged until the next call."""
        repeat = self._before is not None and _equal(self._before, frame)
        self._before = frame
        self.repeated += repeat
        self._changes = 0 if repeat else self._changes + 1
        if self._changes >= _ALIVE:
            self._seen.clear()
        self._seen.append((captured, repeat))
        self.frozen = self._after_s > 0 and self._is_still(captured)
        return self.frozen

    def forget(self) -> None:
        """The camera was opened again: its next frame repeats nothing."""
        self._before, self.frozen = None, False
        self._seen.clear()

    def _is_still(self, now: float) -> bool:
        while len(self._seen) > 1 and now - self._seen[1][0] >= self._after_s:
            self._seen.popleft()  # the first one left is where the window begins
        repeats = sum(repeat for _, repeat in self._seen)
        spanned = now - self._seen[0][0] >= self._after_s
        return spanned and repeats >= max(_FEWEST, _SHARE * (len(self._seen) - 1))


def _equal(one: Frame, other: Frame) -> bool:
    if one.shape != other.shape:
        return False
    return np.array_equal(one[::_ROWS], other[::_ROWS]) and np.array_equal(one, other)
