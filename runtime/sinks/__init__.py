"""Where translated frames go: one URI grammar, one small file each.

    display:          a window on this machine's screen
    out.mp4           an H.264 video that browsers play (.mp4, .mov, .m4v, .mkv)
    out/              a folder of PNG pictures
    null:             nowhere, for measurements
"""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from pathlib import Path

from runtime.errors import SinkError
from runtime.sinks.sink import Mark, Sink, SinkClosed

__all__ = ["SINKS", "Mark", "Sink", "SinkClosed", "has_display", "open_sink"]

# Scheme → function (rest or path) -> Sink, loaded when asked for.
SINKS = {
    "display": "runtime.sinks.display:open_display",
    "null": "runtime.sinks.null:open_null",
    "video": "runtime.sinks.video:open_video_file",
    "folder": "runtime.sinks.folder:open_folder",
}
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")
_VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv")
_SCHEME = re.compile(r"([a-z][a-z0-9+]+):(.*)", re.DOTALL)


def open_sink(uri: str) -> Sink:
    """Open what `uri` names. Raises SinkError when it is unknown or cannot be written."""
    match = _SCHEME.fullmatch(uri)
    scheme, rest = match.groups() if match else (_kind(uri), uri)
    if scheme == "display" and not has_display():
        raise SinkError("there is no display here; name a video, a folder or null: with --sink")
    if scheme not in SINKS:
        raise SinkError(f"unknown sink {scheme!r} in {uri!r}; there are {', '.join(SINKS)} and paths")
    module, name = SINKS[scheme].split(":")
    sink: Sink = getattr(import_module(module), name)(rest)
    return sink


def has_display() -> bool:
    """Whether this session has a screen for `display:`."""
    return not sys.platform.startswith("linux") or any(map(os.environ.get, _SCREENS))


def _kind(path: str) -> str:
    suffix = Path(path).suffix.lower()
    if suffix in _VIDEO_SUFFIXES:
        return "video"
    if suffix and not path.endswith("/") and not Path(path).is_dir():
        raise SinkError(f"cannot write {path!r}; give a video ({', '.join(_VIDEO_SUFFIXES)}) or a folder/")
    return "folder"
