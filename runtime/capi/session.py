"""One open engine behind a C handle: controls, deadlines, statistics; any thread may call.

    session = Session(Path("cyclegan_int8.onnx"), Choices())
    session.translate(frame, [picture], deadline_ms=33)

Without a deadline a CPU engine runs in the calling thread, which costs nothing. With one, in the asynchronous form, and
always on a GPU, it runs in a worker: CUDA objects belong to the thread that made them, and a call can leave a worker
behind when its time is up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from time import perf_counter

import numpy as np

from runtime.companions import board_of
from runtime.engine import Engine, infer, open_engine
from runtime.engine_worker import Job, LateError, Worker
from runtime.errors import EngineError, InlocoError
from runtime.frames import Array, Frame
from runtime.manifest import read_manifest
from runtime.notes import say_nothing
from runtime.stats import Distribution

THREAD_BOUND = {"tensorrt", "tensorrt-rtx"}
DEFAULT_QUEUE = 4


class ClosedError(InlocoError):
    """The engine is not open."""


class BusyError(InlocoError):
    """The engine takes no further work now."""


@dataclass(frozen=True)
class Choices:
    """How to open an engine."""

    backend: str | None = None  # None: the manifest's
    own_thread: bool = False
    queue: int = DEFAULT_QUEUE  # asynchronous translations that may be unfinished


class Session:
    """An open engine.

    Raises:
        ManifestError: the engine fails verification.
        EngineError: it cannot be loaded here.
    """

    def __init__(self, path: Path, choices: Choices) -> None:
        wanted = choices.backend or read_manifest(path).backend
        self._bundle = ExitStack()  # the engines that compute controls, loaded when first needed
        self._board = self._bundle.enter_context(board_of(path, backend=choices.backend, say=say_nothing))
        opening = partial(open_engine, path, choices.backend)
        self.own_thread = choices.own_thread or wanted in THREAD_BOUND
        self.latency = Distribution()
        self.late = self.failed = self.waiting = 0
        self._queue = choices.queue
        self._counting = Lock()
        self._guard = Lock()  # held by whoever uses the engine
        self._making = Lock()
        self._closed = False
        self._spare: deque[Frame] = deque(maxlen=2)
        self._worker = Worker(opening, self._guard) if self.own_thread else None
        self._engine: Engine = self._worker.engine if self._worker else opening()
        self.backend = self._engine.backend
        self.manifest = self._engine.manifest
        self._names = [port.name for port in self.manifest.translated]
        self._frame_name = self.manifest.frame.name if self.manifest.frame else ""

    def set_control(self, name: str, text: str) -> None:
        """As `--control name=text`. Raises ControlError."""
        self._board.set(f"{name}={text}")

    def set_values(self, name: str, values: Array) -> None:
        """Set all numbers of a control. Raises ControlError."""
        self._board.put(name, values)

    def translate(self, frame: Frame | None, pictures: Sequence[Array], deadline_ms: int = 0) -> None:
        """Write the translation of `frame` into `pictures`, which have the sizes of the engine's outputs.

        Raises:
            LateError: `deadline_ms` (0 = none) passed; the pictures are untouched.
            ClosedError, BusyError, EngineError: nothing was translated.
        """
        self._refuse_own_callback()
        started = perf_counter()
        try:
            if deadline_ms or self.own_thread:
                self._translate_in_worker(frame, pictures, deadline_ms)
            else:
                self._translate_here(frame, pictures)
        except BaseException as error:
            self._count(error, started)
            raise
        self._count(None, started)

    def translate_async(
        self, frame: Frame | None, pictures: Sequence[Array], done: Callable[[BaseException | None], None]
    ) -> None:
        """Queue a translation; `done` is called in the engine's thread.

        Raises:
            BusyError: as many as `Choices.queue` are unfinished.
            ClosedError: the engine is closed.
        """
        started = perf_counter()

        def finish(error: BaseException | None) -> None:
            self._count(error, started)
            with self._counting:
                self.waiting -= 1
            done(error)

        with self._counting:
            if self.waiting >= self._queue:
                raise BusyError(f"{self.waiting} translations are unfinished; wait for a callback, or open with more")
            self.waiting += 1
        try:
            self._put(Job(self._inputs(frame), partial(self._deliver, pictures), finish))
        except BaseException:
            with self._counting:
                self.waiting -= 1
            raise

    def close(self) -> None:
        """Finish what is queued, then free the engine.

        Raises:
            BusyError: called inside the engine's own callback.
            ClosedError: another thread was faster.
        """
        self._refuse_own_callback()
        with self._making:
            self._refuse_closed()
            self._closed = True
            worker = self._worker
        self._bundle.close()
        if worker:
            worker.close()  # and with it the engine, in its own thread
            return
        with self._guard:
            self._engine.close()

    def _translate_here(self, frame: Frame | None, pictures: Sequence[Array]) -> None:
        with self._guard:
            self._refuse_closed()
            try:
                outputs = infer(self._engine, self._inputs(frame))
            except KeyboardInterrupt:
                with suppress(Exception):
                    self._engine.collect()  # what was submitted must not meet the next frame
                raise
            self._deliver(pictures, outputs)

    def _translate_in_worker(self, frame: Frame | None, pictures: Sequence[Array], deadline_ms: int) -> None:
        staged = self._stage(frame) if deadline_ms and frame is not None else None
        job = Job(self._inputs(frame if staged is None else staged), partial(self._deliver, pictures))
        try:
            self._put(job)
            job.wait(deadline_ms / 1e3 if deadline_ms else -1)
        except KeyboardInterrupt:
            job.give_up()
            raise
        if staged is not None:
            self._spare.append(staged)

    def _stage(self, frame: Frame) -> Frame:
        """A copy, because a late engine still reads the frame when the call is back. Not returned to the spare ones
        then; else their memory is used again, which is cheaper than asking the system for it."""
        with suppress(IndexError):
            spare = self._spare.pop()
            np.copyto(spare, frame)
            return spare
        return frame.copy()

    def _put(self, job: Job) -> None:
        with self._making:
            self._refuse_closed()
            if self._worker is None:
                self._worker = Worker(lambda: self._engine, self._guard)
            self._worker.put(job)

    def _inputs(self, frame: Frame | None) -> Mapping[str, Array]:
        controls = self._board.values(frame)  # the values of now; jobs in flight keep theirs
        return controls if frame is None else {self._frame_name: frame[None], **controls}

    def _deliver(self, pictures: Sequence[Array], outputs: Mapping[str, Array]) -> None:
        for name, picture in zip(self._names, pictures, strict=True):
            if name not in outputs:
                raise EngineError(f"the engine gave no {name!r}, which its manifest promises; export it again")
            np.copyto(picture, outputs[name][0])

    def _count(self, error: BaseException | None, started: float) -> None:
        with self._counting:
            if error is None:
                self.latency.add((perf_counter() - started) * 1e3)
            elif isinstance(error, LateError):
                self.late += 1
            else:
                self.failed += 1

    def _refuse_own_callback(self) -> None:
        if self._worker and self._worker.is_current():
            raise BusyError("an engine's own callback cannot wait for it; do this in another thread")

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError("the engine was closed by another thread")
