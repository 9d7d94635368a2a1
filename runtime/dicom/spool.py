"""The queue on disk: what was taken over is in it, whole, until the next stage has it; also after kill -9.

    incoming/   received, not yet translated
    outgoing/   translated, not yet stored by the PACS
    rejected/   cannot be translated or stored: the file and beside it a .json with the reason

A file is written under a temporary name, flushed to the disk and renamed, and only then does its predecessor go. A
crash in between repeats a stage; because names and UIDs are computed from the source, the repetition writes the same
file and sends the same instance: nothing is lost, and no PACS has anything twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from threading import get_ident

from runtime.errors import DicomError

INCOMING, OUTGOING, REJECTED = "incoming", "outgoing", "rejected"
PATIENCE = 5  # times that the process may die over one file before the file is to blame
RESERVE_BYTES = 256 << 20  # of the disk that nothing more is taken over into


class Spool:
    """A folder that belongs to one process. Methods may be called by any thread."""

    def __init__(self, root: Path) -> None:
        """Raises DicomError when the folder cannot be used or another process has it."""
        self.root = root
        try:
            for stage in (INCOMING, OUTGOING, REJECTED):
                (root / stage).mkdir(parents=True, exist_ok=True, mode=0o700)
            root.chmod(0o700)  # these are patients' images
            self._lock = os.open(root / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise DicomError(f"cannot use {root}: {error.strerror or error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise DicomError(f"{root} belongs to another running node; give each its own --state") from None
        for left in root.glob("*/*.tmp"):
            left.unlink()

    def put(self, stage: str, name: str, content: bytes) -> Path:
        """Have `content` on the disk when this returns. Raises OSError; then nothing of it is there."""
        path = self.root / stage / f"{name}.dcm"
        _write(path, content)
        return path

    def waiting(self, stage: str) -> list[Path]:
        """The files of a stage, the oldest first."""
        ages = []
        for path in (self.root / stage).glob("*.dcm"):
            try:
                ages.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:  # the other thread was faster
                continue
        return [path for _, path in sorted(ages)]

    def count(self, stage: str) -> int:
        """How many files a stage has."""
        return sum(1 for _ in (self.root / stage).glob("*.dcm"))

    def reject(self, path: Path, reason: str) -> None:
        """Put a file aside, its reason first: no rejected file is without one."""
        rejected = self.root / REJECTED / path.name
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        note = {"reason": reason, "stage": path.parent.name, "when": when}
        _write(rejected.with_suffix(".json"), (json.dumps(note, indent=2) + "\n").encode())
        os.replace(path, rejected)
        _flush_folder(rejected.parent)

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes more leave the reserve of the disk untouched."""
        return shutil.disk_usage(self.root).free - size > RESERVE_BYTES

    def begin(self, name: str) -> int:
        """Note that `name` is being worked on; return how many times the process died over it before."""
        note = self.root / "working"
        try:
            before = json.loads(note.read_text(encoding="utf-8"))
            deaths = before["deaths"] + 1 if before["name"] == name else 0
        except (OSError, ValueError, KeyError, TypeError):
            deaths = 0
        note.write_text(json.dumps({"name": name, "deaths": deaths}), encoding="utf-8")
        return deaths

    def end(self) -> None:
        """What was begun ended, one way or another."""
        (self.root / "working").unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock)


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{get_ident()}.tmp")  # two senders may bring the same instance at once
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _flush_folder(path.parent)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _flush_folder(folder: Path) -> None:
    """A rename is on the disk when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
