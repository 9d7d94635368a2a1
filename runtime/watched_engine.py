"""An engine that is left behind when it hangs: it works in a thread of its own, and another one is opened in its place.

    engine = WatchedEngine(lambda: open_engine(path), hang_s=10.0, watchdog=Watchdog())

It costs a hand-over between threads a frame. What a GPU's driver holds on to, only the end of the process frees; the
watchdog's limit brings that about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread
from time import monotonic

from runtime.engine import Engine
from runtime.errors import EngineError
from runtime.frames import Array
from runtime.mailbox import Mailbox
from runtime.watchdog import Watchdog

HANG_S = 10.0
_FIRST = 6  # times as long for the first frame of an engine, which may still compile
_SLOWEST = 10  # times the slowest frame so far: a slow engine does not hang
_STALLED_S, _STALLED = 0.7, 4  # seconds, or times the slowest frame so far
_OPEN_S = 120.0  # for opening another one; for the first there is no limit
_PATIENCE_S = 1.0  # with the closing of an engine

Inputs = Mapping[str, Array]
Answer = dict[str, Array] | BaseException


class FrameLost(EngineError):
    """This frame was inside an engine that hung; the next one goes to another engine."""


class _Worker:
    """One opening of the engine, in its thread. A request of None asks for the oldest result."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open_engine = open_engine
        self.requests: Mailbox[Inputs | bool] = Mailbox(64, newest_wins=False)
        self.answers: Mailbox[Answer | Engine] = Mailbox(64, newest_wins=False)
        self.thread = Thread(target=self._run, name="inloco engine", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            engine = self._open_engine()
            try:
                self.answers.put(engine)
                while (request := self.requests.get()) is not None:
                    if isinstance(request, bool):
                        self.answers.put(engine.collect())
                    else:
                        engine.submit(request)
            finally:
                engine.close()
        except BaseException as error:
            self.answers.put(error)

    def leave(self) -> None:
        """Let the thread close its engine, now or when its call comes back."""
        self.requests.clear()
        self.answers.clear()


class WatchedEngine:
    """Behaves as the engine that `open_engine` opens; `collect` raises FrameLost for what a hung engine had taken."""

    def __init__(self, open_engine: Callable[[], Engine], hang_s: float, watchdog: Watchdog) -> None:
        self._waiting_since: float | None = None  # for a result
        self._open_engine, self._hang_s, self._watchdog = open_engine, hang_s, watchdog
        self._pending = self._lost = 0
        self._slowest_s = 0.0
        self._open(None)

    def _open(self, limit_s: float | None) -> None:
        self._worker = _Worker(self._open_engine)
        self._is_fresh = True
        answer = self._worker.answers.get(limit_s)
        if isinstance(answer, BaseException):
            raise answer
        if answer is None or isinstance(answer, dict):
            raise EngineError(f"the engine hangs: another one was not open after {_OPEN_S:g} s; restart the machine")
        self.manifest, self.backend, self.depth = answer.manifest, answer.backend, answer.depth

    def submit(self, inputs: Inputs) -> None:
        """Start translating; what goes wrong is raised by `collect`."""
        if self._pending == self.depth:
            raise EngineError(f"{self.depth} frames are in flight already; collect one first")
        self._worker.requests.put(inputs)
        self._pending += 1

    def collect(self) -> dict[str, Array]:
        """Wait for the oldest submission. Raises FrameLost when the engine hung on it or before it, and EngineError
        when it hung too often."""
        self._pending -= 1
        if self._lost:
            self._lost -= 1
            raise FrameLost("the engine hung")
        self._waiting_since = monotonic()
        try:
            return self._result(self._waiting_since)
        finally:
            self._waiting_since = None

    def _result(self, begun: float) -> dict[str, Array]:
        self._worker.requests.put(True)
        answer = self._worker.answers.get(self.limit_s)
        if isinstance(answer, BaseException):
            raise answer
        if not isinstance(answer, dict):
            self._replace()
            raise FrameLost("the engine hung")
        if not self._is_fresh:
            self._slowest_s = max(self._slowest_s, monotonic() - begun)
        self._is_fresh = False
        return answer

    @property
    def limit_s(self) -> float:
        """How long a result may take."""
        return max(self._hang_s, _SLOWEST * self._slowest_s) * (_FIRST if self._is_fresh else 1)

    @property
    def is_stalled(self) -> bool:
        """Whether a result is so late that the last one may no longer be shown. May be asked by any thread."""
        since = self._waiting_since
        return since is not None and monotonic() - since > max(_STALLED_S, _STALLED * self._slowest_s)

    def _replace(self) -> None:
        reason = f"the engine hangs: no result after {self.limit_s:g} s"
        self._worker.leave()
        self._lost = self._pending
        self._watchdog.restart(reason, EngineError)
        self._open(_OPEN_S)

    def close(self) -> None:
        self._worker.leave()
        self._worker.thread.join(_PATIENCE_S)
