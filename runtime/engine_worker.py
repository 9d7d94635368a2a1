"""The thread of an engine that must have its own (CUDA), or must be left behind when a deadline passes.

    worker = Worker(open_engine, guard)
    job = Job(inputs, deliver)
    worker.put(job)
    job.wait(0.033)

Up to the engine's depth of jobs are in flight, so copies overlap computation on a GPU.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread, get_ident
from time import monotonic

from runtime.engine import Engine
from runtime.errors import InlocoError
from runtime.frames import Array

Outputs = Mapping[str, Array]
_PATIENCE_S = 10.0  # with an engine that was interrupted


class LateError(InlocoError):
    """The deadline passed before the result was there."""


class Job:
    """One translation on its way through a worker.

    Args:
        inputs: of the engine; they must live until the job is finished.
        deliver: copies the outputs to where they are wanted; not called once the caller has given up.
        done: called by the worker's thread at the end, with the error or None.
    """

    def __init__(
        self,
        inputs: Outputs,
        deliver: Callable[[Outputs], None],
        done: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        self.inputs = inputs
        self.error: BaseException | None = None
        self.queued = False
        self.abandoned = False
        self._arrived = False
        self._deliver = deliver
        self._done = done
        self._turn = Lock()  # between the worker, which delivers, and the caller, who may give up
        self._finished = Lock()
        self._finished.acquire()

    def wait(self, seconds: float) -> None:
        """Block until the result is delivered; negative: as long as it takes.

        Raises:
            LateError: the time passed; nothing will be delivered.
            Exception: what the engine raised.
        """
        in_time = self._finished.acquire(timeout=seconds)
        if not in_time and not self.abandon():
            raise LateError("the deadline passed before the engine was ready; allow more time, or use a faster engine")
        if self.error is not None:
            raise self.error

    def abandon(self) -> bool:
        """Give up; True when the result had already arrived."""
        with self._turn:
            self.abandoned = not self._arrived
            return self._arrived

    def give_up(self) -> None:
        """Interrupted: abandon, and let the worker come to an end with the inputs, which may be the caller's memory."""
        if not self.abandon() and self.queued:
            self._finished.acquire(timeout=_PATIENCE_S)

    def succeed(self, outputs: Outputs) -> None:
        """Deliver, unless nobody waits any more. The result counts as arrived from here on."""
        with self._turn:
            if not self.abandoned:
                self._deliver(outputs)
            self._arrive()

    def fail(self, error: BaseException) -> None:
        """Note the error for the caller."""
        with self._turn:
            self.error = error
            self._arrive()

    def report(self) -> None:
        """Tell the one who asked not to wait."""
        if self._done is not None:
            self._done(self.error)

    def _arrive(self) -> None:
        self._arrived = True
        self._finished.release()


class Worker:
    """A thread that translates for one engine, in order.

    Args:
        open_engine: called in the thread; the engine is used and closed there as well.
        guard: held while work is in flight, for engines that are used by other threads too.
    """

    def __init__(self, open_engine: Callable[[], Engine], guard: Lock) -> None:
        self.engine: Engine
        self._open = open_engine
        self._guard = guard
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()  # None: stop
        self._in_flight: deque[Job] = deque()
        self._failure: BaseException | None = None
        self.busy_since: float | None = None  # time.monotonic() when the engine's present turn began
        self._opened = Lock()
        self._opened.acquire()
        self._thread = Thread(target=self._run, name="inloco engine", daemon=True)
        self._thread.start()
        try:
            self._opened.acquire()
        except BaseException:
            self._jobs.put(None)
            raise
        if self._failure is not None:
            raise self._failure

    def put(self, job: Job) -> None:
        """Queue a translation."""
        job.queued = True
        self._jobs.put(job)

    def close(self) -> None:
        """Finish what is queued and close the engine."""
        self._jobs.put(None)
        self._thread.join()

    def is_current(self) -> bool:
        """Whether the caller is this thread."""
        return self._thread.ident == get_ident()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # signals are the host's
        try:
            self.engine = self._open()
        except BaseException as error:
            self._failure = error
            return
        finally:
            self._opened.release()
        try:
            self._serve()
        finally:
            with self._guard:
                self.engine.close()

    def _serve(self) -> None:
        stopping = False
        while not stopping or self._in_flight:
            job, self.busy_since = None, None
            if not stopping:
                with suppress(Empty):
                    job = self._jobs.get(block=not self._in_flight)
                    stopping = job is None
            self.busy_since = monotonic()
            if job is not None:
                self._submit(job)
            if self._in_flight and (job is None or len(self._in_flight) == self.engine.depth):
                self._collect()

    def _submit(self, job: Job) -> None:
        if job.abandoned:
            job.fail(LateError("given up before it began"))
            return
        if not self._in_flight:
            self._guard.acquire()
        try:
            self.engine.submit(job.inputs)
            self._in_flight.append(job)
        except BaseException as error:
            self._release_guard()
            job.fail(error)
            job.report()

    def _collect(self) -> None:
        job = self._in_flight.popleft()
        try:
            outputs = self.engine.collect()
        except BaseException as error:
            job.fail(error)
        else:
            self._deliver(job, outputs)
        self._release_guard()
        job.report()

    def _deliver(self, job: Job, outputs: Outputs) -> None:
        try:
            job.succeed(outputs)
        except BaseException as error:
            job.fail(error)

    def _release_guard(self) -> None:
        if not self._in_flight:
            self._guard.release()
