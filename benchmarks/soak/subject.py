"""`runtime.stream` as it is, but for a sink that becomes slow when it is told to; run by `rig`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from unittest.mock import patch

from runtime import sinks
from runtime.ending import end_process
from runtime.errors import run_command
from runtime.frames import Frame
from runtime.sinks import Mark, Sink
from runtime.stream import main

_JUMP_S = 60.0


class Slowed:
    """Waits before every picture as long as the file `delay` says; counts how often the wall clock jumped meanwhile."""

    def __init__(self, sink: Sink, folder: Path) -> None:
        self._sink, self._folder = sink, folder
        self._jumps, self._offset = 0, time.time() - time.monotonic()

    def write(self, frame: Frame, mark: Mark) -> None:
        time.sleep(float((self._folder / "delay").read_text() or 0))
        offset = time.time() - time.monotonic()
        self._jumps += abs(offset - self._offset) > _JUMP_S
        self._offset = offset
        self._sink.write(frame, mark)

    def close(self) -> None:
        self._sink.close()
        (self._folder / "seen.json").write_text(json.dumps({"clock_jumps": self._jumps}))

    def abort(self) -> None:
        self._sink.abort()


def run(folder: Path) -> int:
    """The command with the arguments that are left in sys.argv."""
    open_sink = sinks.open_sink
    with patch.object(sinks, "open_sink", lambda uri: Slowed(open_sink(uri), folder)):
        return end_process(run_command(main))


def start() -> int:
    """As `python -c`: the first argument is the folder of the files `delay` and `seen.json`."""
    return run(Path(sys.argv.pop(1)))
