"""Several streams in one process: each with its own source, pipeline, controls and sink, so that what happens to one
does not touch the others; engines of the same file are shared."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import Any

from runtime.assembly import Assembled, assemble
from runtime.companions import board_of
from runtime.control_lines import opened
from runtime.errors import InlocoError
from runtime.heartbeat import Heartbeat
from runtime.manifest import read_manifest
from runtime.recording.start import open_recorder
from runtime.report import write_report
from runtime.service_manager import ServiceManager
from runtime.shared_engine import SharedEngines
from runtime.stop_signals import stop_on_signals
from runtime.stream_options import StreamOptions

_LOOK_S = 0.25
_PATIENCE_S = 2.0  # with a stream that was interrupted
log = logging.getLogger("inloco.streams")


class NamedStream:
    """One of them. `summary` may be asked at any time.

    Raises:
        InlocoError: what its options name cannot be.
    """

    def __init__(self, name: str, options: StreamOptions, engines: SharedEngines) -> None:
        self.name = name
        self.error: BaseException | None = None
        self._stack = ExitStack()
        try:
            self.job = self._assemble(options, engines)
        except InlocoError as error:
            self._stack.close()
            raise type(error)(f"stream {name!r}: {error}") from error
        self._thread = Thread(target=self._run, name=f"inloco {name}", daemon=True)

    def _assemble(self, options: StreamOptions, engines: SharedEngines) -> Assembled:
        manifest = read_manifest(options.engine)
        board = self._stack.enter_context(board_of(options.engine, options.controls, options.fit, options.backend))
        recorder = open_recorder(options.record, manifest, options.source, board.__str__)
        if recorder is not None:
            self._stack.callback(recorder.close)
        self._stack.enter_context(opened(board, options.control_file))
        return assemble(options, manifest, board, shared=engines, recorder=recorder)

    def flag(self, note: str) -> None:
        """Mark the moment in its recording, if there is one."""
        if self.job.recorder is not None:
            self.job.recorder.flag(note)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Take no further frame and finish those on their way."""
        self.job.pipeline.stop()

    def fail(self, error: BaseException) -> None:
        """End at once; nothing half-written stays."""
        self.job.pipeline.fail(error)

    def discard(self) -> None:
        """It was never started: leave nothing behind."""
        self.job.pipeline.discard()
        self._stack.close()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after so many seconds at most."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with self._stack:
                self.job.pipeline.run()
            if self.job.options.report is not None:
                write_report(self.job.options.report, self.job.summary(), self.job.pipeline.stats)
        except InlocoError as error:
            self.error = error
            log.error("%s: %s; the other streams go on", self.name, error)
        except BaseException as error:
            self.error = error
            log.exception("%s failed; the other streams go on", self.name)

    def summary(self) -> dict[str, Any]:
        """What `--json` prints of it, with the error that ended it, if any."""
        return self.job.summary() | ({"error": str(self.error)} if self.error else {})

    def status(self) -> str:
        """How it does, in a few words."""
        pipeline, stats = self.job.pipeline, self.job.pipeline.stats
        ended = "FAILED" if self.error else "ended"
        words = pipeline.silence() if self._thread.is_alive() else ended
        step = f" step {stats.ladder_level}" if stats.ladder_level else ""
        age = stats.stages["age"].percentile(0.5)
        return f"{self.name} {words or f'{stats.fps:.1f} fps {age:.0f} ms'} -{pipeline.dropped}{step}"


def run_streams(streams: Mapping[str, StreamOptions], show_status: bool = False) -> dict[str, Any]:
    """Run all until each has ended; return what `--json` prints: every stream's summary, and the engines.

    A stream that fails has an "error"; the others go on. SIGINT and SIGTERM end all well.

    Raises:
        InlocoError: one cannot be begun; then none is.
    """
    engines = SharedEngines()
    running: list[NamedStream] = []
    try:
        for name, options in streams.items():
            running.append(NamedStream(name, options, engines))
    except BaseException:
        for stream in running:
            stream.discard()
        raise
    run_named(running, show_status)
    summary = {"streams": {one.name: one.summary() for one in running}, "engines": engines.describe()}
    engines.close()
    return summary


def run_named(streams: Sequence[NamedStream], show_status: bool = False) -> None:
    """Run all until each has ended. SIGINT and SIGTERM end all well; for the main thread."""

    def stop() -> None:
        for stream in streams:
            stream.stop()

    manager = ServiceManager()
    try:
        with stop_on_signals(stop), _flagged_by_signal(streams):
            for stream in streams:
                stream.start()
            _wait(streams, manager, show_status)
    except BaseException as error:  # a second Ctrl-C: nothing half-written stays even then
        for stream in streams:
            stream.fail(error)
        for stream in streams:
            stream.wait(_PATIENCE_S)
        raise
    finally:
        manager.stopping()
        if show_status:
            print(file=sys.stderr)


@contextmanager
def _flagged_by_signal(streams: Sequence[NamedStream]) -> Iterator[None]:
    """SIGUSR1 marks the moment in every recording; where nothing is recorded it does what it did."""
    if not any(stream.job.recorder for stream in streams):
        yield
        return

    def flag(number: int, frame: object) -> None:
        for stream in streams:
            stream.flag("SIGUSR1")

    former = signal.signal(signal.SIGUSR1, flag)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, former)


def _wait(streams: Sequence[NamedStream], manager: ServiceManager, show_status: bool) -> None:
    """Until all have ended; meanwhile tell how they do. All that still run must live for systemd to hear of it."""
    running, heart = list(streams), Heartbeat(*(stream.job.pipeline for stream in streams))
    while running:
        running[0].wait(_LOOK_S)
        if ended := [stream for stream in running if stream.wait(0)]:
            running = [stream for stream in running if stream not in ended]
            heart = Heartbeat(*(stream.job.pipeline for stream in running))
        line = "  |  ".join(stream.status() for stream in streams)
        if show_status:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:width]:<{width}}", end="", file=sys.stderr, flush=True)
        manager.say(line)
        if running and heart.beats():
            manager.ready()
            manager.alive()
