"""Restarts are counted, logged with their reason, and refused when there are too many: then the process shall end.

What hangs inside a driver cannot be killed, only left behind in its thread; a process that ends frees it, and a service
manager (systemd) starts another.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

from runtime.errors import InlocoError

log = logging.getLogger("inloco.watchdog")
LIMIT, WINDOW_S = 5, 600.0


class Watchdog:
    """At most `limit` restarts in any `window_s` seconds of `clock`. Used by one thread, read by any."""

    def __init__(self, limit: int = LIMIT, window_s: float = WINDOW_S, clock: Callable[[], float] = monotonic) -> None:
        self.restarts = 0
        self.reason = ""  # of the latest restart
        self._limit, self._window_s, self._clock = limit, window_s, clock
        self._recent: deque[float] = deque()

    def restart(self, reason: str, error: type[InlocoError]) -> None:
        """Count and log a restart; raises `error` instead when it would be one too many."""
        now = self._clock()
        while self._recent and now - self._recent[0] > self._window_s:
            self._recent.popleft()
        if len(self._recent) >= self._limit:
            raise error(
                f"{reason}, after {self._limit} restarts in {self._window_s:g} s; start this process again, "
                "and the machine where that does not help"
            )
        self._recent.append(now)
        self.restarts += 1
        self.reason = reason
        log.warning("%s: restarted (%d)", reason, self.restarts)
