"""One recorded file and what is known of its frames, written so that a power cut costs the last second at most.

    2026-11-21T15-54-30.123Z.mp4      UTC of the first frame; .part.mp4 while it is being written, and that plays too
    2026-11-21T15-54-30.123Z.jsonl    a head (engine, source, controls), then a line for every frame

Every fragment is synchronised with the disk, the video before its lines. Until it is whole it stands there as a box of
nothing (`free`), since players refuse a file that ends within the head (`moof`) of a fragment.
"""

from __future__ import annotations

import json
import logging
import os
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from runtime.h264 import CLOCK
from runtime.recording.fragments import Fragment, Shown, boxes

PART = ".part"
HEAD = 8  # bytes of a box: its size and its kind
NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})Z(?:_(\d+))?")  # the stem of a finished segment
_STAMP = "%Y-%m-%dT%H-%M-%S.%f"
log = logging.getLogger("inloco.record")


class Segment:
    """Open from its first fragment on. Used by one thread; raises OSError where the disk does not take it."""

    def __init__(self, folder: Path, first: Fragment, facts: Mapping[str, Any]) -> None:
        self.begin_s, self.end_s = first.begin_s, first.end_s
        self.init = first.init
        self.bytes = 0
        self.frames = 0
        self._folder = folder
        self._base, shown = first.frames[0]
        self._stem = _free_stem(folder, shown.utc_s)
        self._controls, self._ladder = shown.controls, 0
        self._hash = sha256()
        self._lines = -1
        self._video = _create(self._part(".mp4"))
        try:
            self._lines = _create(self._part(".jsonl"))
            _sync_folder(folder)
            head = {"segment": f"{self._stem}.mp4", "began": utc(shown.utc_s), "controls": shown.controls} | dict(facts)
            self._append(self._lines, _line(head))
            self._append(self._video, first.init)
            self._hash.update(first.init)
            self.write(first)
        except OSError:
            self.close()
            raise

    def _part(self, suffix: str) -> Path:
        return self._folder / f"{self._stem}{PART}{suffix}"

    def write(self, fragment: Fragment) -> None:
        """Append a fragment; it is on the disk when this returns, or not at all."""
        sizes = [(file, os.fstat(file).st_size) for file in (self._video, self._lines)]
        content = fragment.content_from(self._base)
        lines = b"".join(self._about(tick, shown) for tick, shown in fragment.frames)
        try:
            self._append(self._video, unfinished(content))
            os.fsync(self._video)
            os.pwrite(self._video, content[:HEAD], sizes[0][1])
            os.fsync(self._video)
            self._append(self._lines, lines)
            os.fsync(self._lines)
        except OSError:
            for file, size in sizes:
                with suppress(OSError):
                    os.ftruncate(file, size)
            raise
        self._hash.update(content)
        self.frames += len(fragment.frames)
        self.end_s = fragment.end_s

    def _append(self, file: int, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(file, view) :]
        self.bytes += len(content)

    def _about(self, tick: int, shown: Shown) -> bytes:
        """The line of a frame; what stays as it was is left out."""
        facts: dict[str, Any] = {
            "t": round((tick - self._base) / CLOCK, 4), "sequence": shown.sequence, "captured": utc(shown.utc_s),
        }  # fmt: skip
        if shown.state:
            facts["state"] = shown.state
        if shown.ladder != self._ladder:
            facts["ladder"] = self._ladder = shown.ladder
        if shown.controls != self._controls:
            facts["controls"] = self._controls = shown.controls
        if shown.events:
            facts["events"] = shown.events
        return _line(facts)

    def close(self) -> None:
        """Give the files their names; what holds no frame is taken away. Never raises: it is the way out of a fault."""
        with suppress(OSError):
            if self.frames:
                self._append(self._lines, _line({"frames": self.frames, "sha256": self._hash.hexdigest()}))
        for file in (self._video, self._lines):
            with suppress(OSError):
                os.close(file)
        with suppress(OSError):
            _name_or_remove(self._folder, self._stem, self.frames > 0)


def unfinished(content: bytes) -> bytes:
    """A fragment as it stands in the file until all of it is there."""
    return struct.pack(">I4s", len(content), b"free") + content[HEAD:]


def recover(folder: Path) -> list[str]:
    """Finish what a cut left behind: cut to whole fragments and lines, and named; returns the names. Raises OSError."""
    found = []
    for video in sorted(folder.glob(f"*{PART}.mp4")):
        stem = video.name.removesuffix(f"{PART}.mp4")
        whole, fragments = _whole_part(video)
        if fragments:
            os.truncate(video, whole)
            lines = video.with_suffix(".jsonl")
            if lines.exists():
                text = lines.read_bytes()
                whole_lines = text[: text.rfind(b"\n") + 1] + _line({"recovered": True})
                lines.write_bytes(whole_lines)
            found.append(f"{stem}.mp4")
        _name_or_remove(folder, stem, fragments > 0)
    return found


def _whole_part(video: Path) -> tuple[int, int]:
    """Up to where a file holds whole boxes, and how many fragments that are."""
    content = video.read_bytes()  # of minutes at most
    whole = fragments = 0
    for kind, _, end in boxes(content):
        if kind not in (b"moof", b"free"):  # a head without its frames, or what was not finished
            whole = end
        fragments += kind == b"mdat"
    return whole, fragments


def _name_or_remove(folder: Path, stem: str, is_worth_it: bool) -> None:
    for suffix in (".jsonl", ".mp4"):
        part = folder / f"{stem}{PART}{suffix}"
        if not is_worth_it:
            part.unlink(missing_ok=True)
        elif part.exists():
            part.replace(folder / f"{stem}{suffix}")
    _sync_folder(folder)


def _free_stem(folder: Path, utc_s: float) -> str:
    stem = f"{datetime.fromtimestamp(utc_s, timezone.utc).strftime(_STAMP)[:-3]}Z"
    names, number = [stem], 0
    while any((folder / f"{names[-1]}{part}.mp4").exists() for part in ("", PART)):  # the clock was set back
        number += 1
        names.append(f"{stem}_{number}")
    return names[-1]


def began_at(stem: str) -> float | None:
    """When a segment of that name began, in seconds of the Unix epoch; None where it is no segment's name."""
    match = NAME.fullmatch(stem)
    if match is None:
        return None
    # Those of one millisecond (a clock that was set back) stay in their order.
    return datetime.strptime(match[1], _STAMP).replace(tzinfo=timezone.utc).timestamp() + int(match[2] or 0) * 1e-6


def utc(seconds: float) -> str:
    """ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
