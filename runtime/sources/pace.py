"""How long a camera may be silent before its last picture is too old to show: by its own pace, not by its data sheet.

What a stream declares is often a guess of the container's; what it did is not.
"""

from __future__ import annotations

from collections import deque

SHORTEST_S = 0.5  # of any camera: a hiccup of the network is no loss
LONGEST_S = 5.0  # slower than a frame in two seconds, a camera has no signal in between
_UNKNOWN_S, _FEWEST = 2.5, 3  # with fewer gaps, since the first frames may come in one burst
_GAPS = 2.5  # times the usual gap between two frames
_REMEMBERED = 8  # gaps; the longest of them is forgiven, since one hiccup is no pace


class Pace:
    """Written by the thread that reads the camera; `patience_s` may be read by any."""

    def __init__(self, is_triggered: bool = False) -> None:
        self.patience_s = SHORTEST_S if is_triggered else _UNKNOWN_S
        self._is_triggered = is_triggered  # between two triggers the last picture is not now
        self._gaps: deque[float] = deque(maxlen=_REMEMBERED)
        self._before: float | None = None
        self._losses = 0

    def take(self, captured: float, losses: int) -> None:
        """A frame of this capture time came, after the camera had been lost so often: an absence is no pace."""
        if self._before is not None and losses == self._losses and not self._is_triggered:
            self._gaps.append(max(0.0, captured - self._before))
            usual = sorted(self._gaps)[-2 if len(self._gaps) == _REMEMBERED else -1]
            shortest = SHORTEST_S if len(self._gaps) >= _FEWEST else _UNKNOWN_S
            self.patience_s = min(LONGEST_S, max(shortest, _GAPS * usual))
        self._before, self._losses = captured, losses
