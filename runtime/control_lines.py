"""Doors through which a running stream hears of new values: lines of a pipe or terminal, and a file that is watched.

    style=seed:7        one assignment a line, as after `--control`
    # a comment         is passed over, like an empty line
    ?                   (pipe only) prints the present values as one JSON object on stderr
    ! a note            (pipe only) flags this moment in the recording

What cannot be done is told on stderr with what can, and the stream goes on.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TextIO, TypeAlias

from runtime.control_board import ControlBoard
from runtime.errors import ControlError
from runtime.notes import tell

Flag: TypeAlias = Callable[[str], None]
_LOOK_S = 0.05  # between two looks at the file
_STOP_S = 0.2  # within which a reader of a silent pipe notices the end of the stream
_LONGEST = 1 << 20  # bytes of a line; what is longer is no assignment


class ControlFile:
    """A file of assignments; all of them hold, or, where one is wrong, none.

    Raises:
        ControlError: it cannot be read now, or holds a wrong line.
    """

    def __init__(self, path: Path, board: ControlBoard) -> None:
        self._path, self._board = path, board
        self._seen = self._stamp()
        self._apply()

    def watch(self, stopping: Event) -> None:
        """Apply the file whenever it changes; until `stopping`."""
        while not stopping.wait(_LOOK_S):
            stamp = self._stamp()
            if stamp and stamp != self._seen:  # while an editor replaces it, it may be absent
                self._seen = stamp
                try:
                    self._apply()
                except ControlError as error:
                    tell(f"error: {error}; all controls keep their values")

    def _apply(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ControlError(f"cannot read control file {self._path}: {error}; it holds NAME=VALUE lines") from error
        try:
            self._board.update(assignments(text.splitlines()))
        except ControlError as error:
            raise ControlError(f"{self._path}: {error}") from error

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class ControlPipe:
    """Lines of an open file descriptor, applied one by one as they come."""

    def __init__(self, descriptor: int, board: ControlBoard, flag: Flag | None = None) -> None:
        self._descriptor, self._board, self._flag = descriptor, board, flag
        self._rest = b""

    def watch(self, stopping: Event) -> None:
        """Apply what comes until the other side closes, or `stopping`."""
        # Not `for line in sys.stdin`: a thread that waits there cannot be ended with the process.
        while not stopping.is_set():
            ready, _, _ = select.select([self._descriptor], [], [], _STOP_S)
            if not ready:
                continue
            content = os.read(self._descriptor, 1 << 16)
            *lines, self._rest = (self._rest + content).split(b"\n")
            for line in lines if content else [self._rest]:
                self._apply(line.decode("utf-8", "replace"))
            if not content or len(self._rest) > _LONGEST:
                return

    def _apply(self, line: str) -> None:
        if line.strip() == "?":
            tell(json.dumps(self._board.describe()))
            return
        if line.lstrip().startswith("!"):
            if self._flag is None:
                tell("error: nothing is recorded, so there is nothing to flag; start with --record DIR")
            else:
                self._flag(line.strip()[1:].strip())
            return
        for assignment in assignments([line]):
            try:
                self._board.set(assignment)
            except ControlError as error:
                tell(f"error: {error}; the stream goes on as before")


def assignments(lines: Sequence[str]) -> list[str]:
    """What stands in lines, without comments and blanks around."""
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


@contextmanager
def opened(
    board: ControlBoard, file: Path | None = None, pipe: TextIO | None = None, flag: Flag | None = None
) -> Iterator[None]:
    """Listen at these doors, each in a thread, for as long as the context lasts; `flag` takes notes to a recording.

    Raises:
        ControlError: the file cannot be read now, or holds a wrong line.
    """
    doors: list[ControlFile | ControlPipe] = []
    if file is not None:
        doors.append(ControlFile(file, board))
    if pipe is not None:
        doors.append(ControlPipe(pipe.fileno(), board, flag))
    stopping = Event()
    threads = [Thread(target=door.watch, args=(stopping,), name="inloco controls", daemon=True) for door in doors]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(timeout=1.0)  # not for ever: a door may be busy with a large picture
