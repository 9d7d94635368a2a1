"""One engine for several streams: opened once, in a thread of its own, where their frames take turns.

    engines = SharedEngines()
    first, second = engines.open(path, None, 10.0), engines.open(path, None, 10.0)  # from different threads

It holds for every system and backend: a generator keeps nothing from one frame to the next, its controls come with the
frame, and CUDA is content as long as one thread does everything. Frames are computed in the order in which they come,
as many in flight as the engine takes: copies overlap computation on a GPU, and OpenVINO's second request waits in the
library while the first has all cores, whichever streams they are of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeAlias

from runtime.engine import Engine, open_engine
from runtime.engine_worker import Job, Worker
from runtime.errors import EngineError
from runtime.frames import Array
from runtime.watchdog import Watchdog
from runtime.watched_engine import WatchedEngine

_PATIENCE_S = 0.4  # with the closing of an engine
_Key: TypeAlias = tuple[Path, str | None, float]


class SharedEngines:
    """Engines by file, backend and patience; they stay open until `close`, whoever comes and goes."""

    def __init__(self) -> None:
        self._rooms: dict[_Key, _Room] = {}
        self._lock = Lock()

    def open(self, path: Path, backend: str | None, hang_s: float) -> Engine:
        """A share of the engine. One that gives nothing for `hang_s` seconds is opened anew (0: never).

        Raises:
            ManifestError, EngineError: as `open_engine`.
        """
        key = (path.resolve(), backend, hang_s)
        with self._lock:
            room = self._rooms.setdefault(key, _Room(*key))
        return room.enter()

    def describe(self) -> list[dict[str, Any]]:
        """In JSON: every engine, how many streams opened it, and how often it hung."""
        return [room.describe() for room in self._rooms.values()]

    def close(self) -> None:
        """Close all engines, after what they are computing; not for ever, where one hangs."""
        for room in self._rooms.values():
            closing = Thread(target=room.close, name="inloco closing", daemon=True)
            closing.start()
            closing.join(_PATIENCE_S)


class _Room:
    """One open engine and those who share it."""

    def __init__(self, path: Path, backend: str | None, hang_s: float) -> None:
        self.inside = 0  # streams that use it now
        self.worker: Worker | None = None
        self._path, self._entered = path, 0
        self._watchdog = Watchdog()
        self._lock = Lock()
        self._open: Callable[[], Engine] = partial(open_engine, path, backend)
        if hang_s:
            self._open = partial(WatchedEngine, self._open, hang_s, self._watchdog)

    def enter(self) -> SharedEngine:
        with self._lock:  # whoever comes second waits until the engine is open
            worker = self.worker = self.worker or Worker(self._open, Lock())
            self.inside += 1
            self._entered += 1
        return SharedEngine(self, worker)

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1

    def describe(self) -> dict[str, Any]:
        engine = self.worker.engine if self.worker else None
        return {
            "engine": self._path.name, "backend": engine.backend if engine else "", "opened_by": self._entered,
            "restarts": self._watchdog.restarts,
        }  # fmt: skip

    def close(self) -> None:
        with self._lock:
            worker, self.worker = self.worker, None
        if worker is not None:
            worker.close()


class SharedEngine:
    """A stream's share, which behaves as the engine. Used by one thread."""

    def __init__(self, room: _Room, worker: Worker) -> None:
        self.manifest, self.backend = worker.engine.manifest, worker.engine.backend
        self._room, self._worker = room, worker
        self._pending: deque[tuple[Job, dict[str, Array]]] = deque()
        self._closed = False

    @property
    def depth(self) -> int:
        """As the engine's for one stream; of several each has one frame in flight: a second would wait and age."""
        return self._worker.engine.depth if self._room.inside == 1 else 1

    def submit(self, inputs: Mapping[str, Array]) -> None:
        """Queue a frame; what goes wrong is raised by `collect`."""
        if len(self._pending) >= self._worker.engine.depth:
            raise EngineError(f"collect() first: {len(self._pending)} frames are already in flight")
        outputs: dict[str, Array] = {}
        job = Job(inputs, partial(_keep, outputs))
        self._worker.put(job)
        self._pending.append((job, outputs))

    def collect(self) -> dict[str, Array]:
        """As Engine; the arrays are the caller's."""
        job, outputs = self._pending.popleft()
        job.wait(-1)
        return outputs

    @property
    def is_stalled(self) -> bool:
        """Whether the engine, where it is watched, is. May be asked by any thread."""
        return bool(getattr(self._worker.engine, "is_stalled", False))

    def close(self) -> None:
        """Give the share back; the engine stays open."""
        if self._closed:
            return
        self._closed = True
        for job, _ in self._pending:
            job.abandon()
        self._pending.clear()
        self._room.leave()


def _keep(kept: dict[str, Array], outputs: Mapping[str, Array]) -> None:
    """Copy the results: the engine's buffers are another stream's next."""
    for name, value in outputs.items():
        kept[name] = value.copy()
