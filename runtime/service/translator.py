"""Translates single pictures for requests, with an engine of its own in a thread of its own.

Not the stream's engine: an Engine belongs to one thread, and a request must not make the live picture late by more than
the machine itself does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from time import monotonic, perf_counter
from typing import Any

from runtime.engine import Engine, open_engine
from runtime.engine_worker import Job, Worker
from runtime.errors import EngineError
from runtime.frames import Array, Frame
from runtime.service.limits import Budget
from runtime.service.refusal import Refusal
from runtime.stats import Distribution
from runtime.tiling import TiledEngine

_HANG = 3  # times the patience with a request


@dataclass
class Translation:
    """A picture and where its time went, in milliseconds."""

    picture: Frame
    total_ms: float


@dataclass
class _AnySize:
    """An Engine that takes frames of its own size as they are, and larger ones in tiles."""

    engine: Engine
    depth: int = 1
    _tiled: deque[bool] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.manifest, self.backend = self.engine.manifest, self.engine.backend
        self._tiles: TiledEngine | None = None

    def submit(self, inputs: Mapping[str, Array]) -> None:
        port = self.manifest.frame
        tiled = port is not None and inputs["frame"].shape[1:3] != (port.height, port.width)
        if tiled and self._tiles is None:
            self._tiles = TiledEngine(self.engine)
        target: Any = self._tiles if tiled else self.engine
        target.submit(inputs)
        self._tiled.append(tiled)

    def collect(self) -> dict[str, Array]:
        target: Any = self._tiles if self._tiled.popleft() else self.engine
        outputs: dict[str, Array] = target.collect()
        return outputs

    def close(self) -> None:
        self.engine.close()


class Translator:
    """Opens the engine at once. Every method but `close` belongs to the event loop.

    Raises:
        ManifestError, EngineError: as `open_engine`.
    """

    def __init__(self, engine: Path, backend: str | None, waiting: int, patience_s: float) -> None:
        self.latency = Distribution()
        self._queue = Budget(waiting, "as many pictures as allowed wait for the engine")
        self._patience_s = patience_s
        self._worker = Worker(partial(_open, engine, backend), Lock())
        self.manifest, self.backend = self._worker.engine.manifest, self._worker.engine.backend

    @property
    def waiting(self) -> int:
        """Pictures in the queue and on the engine."""
        return self._queue.taken

    @property
    def hangs(self) -> bool:
        """Whether the engine has not come back for several times as long as anybody waits."""
        since = self._worker.busy_since
        return since is not None and monotonic() - since > _HANG * self._patience_s

    async def translate(self, frame: Frame, controls: Mapping[str, Array]) -> Translation:
        """`frame` (H, W, C): the engine's size, or any other, which goes through in tiles.

        Raises:
            Refusal: the queue is full (429), the engine cannot take tiles (422) or was too slow (503).
        """
        started = perf_counter()
        with self._queue.take():
            picture = await self._run({"frame": frame[None], **controls})
        total_ms = (perf_counter() - started) * 1e3
        self.latency.add(total_ms)
        return Translation(picture, total_ms)

    async def _run(self, inputs: Mapping[str, Array]) -> Frame:
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[Frame] = loop.create_future()
        pictures: list[Frame] = []

        def settle(error: BaseException | None) -> None:
            if finished.done():
                return
            if error is None:
                finished.set_result(pictures[0])
            else:
                finished.set_exception(error)

        def done(error: BaseException | None) -> None:
            with suppress(RuntimeError):  # the loop is gone: nobody waits
                loop.call_soon_threadsafe(settle, error)

        job = Job(inputs, lambda outputs: pictures.append(outputs["translated"][0].copy()), done)
        self._worker.put(job)
        try:
            return await asyncio.wait_for(finished, self._patience_s)
        except asyncio.TimeoutError:
            raise Refusal(503, "too_late", f"the engine did not answer within {self._patience_s:g} s") from None
        except EngineError as error:
            raise Refusal(422, "engine_refuses", str(error)) from error
        finally:
            job.abandon()  # where the client went away, the engine need not begin

    def close(self, seconds: float) -> bool:
        """Free the engine after the picture it works on; whether that was done in time."""
        closing = Thread(target=self._worker.close, daemon=True)
        closing.start()
        closing.join(seconds)
        return not closing.is_alive()


def _open(path: Path, backend: str | None) -> _AnySize:
    return _AnySize(open_engine(path, backend))
