"""Recording beside a command: opened with what its options say, flagged by SIGUSR1, closed at its end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runtime.manifest import Manifest
from runtime.recording.options import RecordOptions
from runtime.sources import without_password

if TYPE_CHECKING:
    from runtime.recording.recorder import Recorder


def open_recorder(
    options: RecordOptions | None, manifest: Manifest, source: str, controls: Callable[[], str]
) -> Recorder | None:
    """What records a stream of `source` through an engine, where options say so.

    Raises:
        SinkError: the folder cannot be written, or another stream records into it.
    """
    if options is None:
        return None
    from runtime.recording.recorder import Recorder  # brings FFmpeg's libraries along

    facts = {
        "engine": manifest.file, "engine_sha256": manifest.sha256["engine"], "system": manifest.system,
        "precision": manifest.precision, "source": without_password(source), "picture": "original | translated",
    }  # fmt: skip
    return Recorder(options, facts, controls)


@contextmanager
def recording(
    options: RecordOptions | None, manifest: Manifest, source: str, controls: Callable[[], str]
) -> Iterator[Recorder | None]:
    """As `open_recorder`; for the main thread. Raises SinkError as that."""
    recorder = open_recorder(options, manifest, source, controls)
    if recorder is None:
        yield None
        return
    before = flag_on_signal(recorder)
    try:
        yield recorder
    finally:
        signal.signal(signal.SIGUSR1, before)
        recorder.close()


def flag_on_signal(recorder: Recorder) -> signal._HANDLER:
    """Let SIGUSR1 flag the moment; the former handler."""
    return signal.signal(signal.SIGUSR1, lambda number, frame: recorder.flag("SIGUSR1"))
