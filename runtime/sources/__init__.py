"""Where frames come from: one URI grammar, one small file each.

    v4l2:0                        a camera of this machine (--camera 0 is short for it)
    rtsp://host/path  http://…    a camera on the network (RTSP; MJPEG over HTTP)
    aravis:  aravis:10.0.0.9      an industrial camera, GigE Vision or USB3 Vision
    gst:nvarguscamerasrc ! …      a GStreamer pipeline: CSI cameras, and whatever else
    clip.mp4                      a video file
    folder/  'in/*.png'  a.png    pictures
    dicom:folder  dicom:a.dcm     DICOM images, with the gray levels of their window
    replay:clip.mp4               a video or folder over and over, at its own pace
    synthetic:640x480@30          a moving pattern; without @FPS as fast as frames are taken
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from glob import has_magic
from importlib import import_module
from pathlib import Path

from runtime.errors import SourceError
from runtime.images import IMAGE_SUFFIXES
from runtime.manifest import ImagePort
from runtime.sources.reconnect import ReconnectingSource
from runtime.sources.source import Shot, Source, without_password
from runtime.sources.watch import Watch

__all__ = ["CAMERAS", "SOURCES", "Shot", "Source", "Watch", "is_live", "open_source", "without_password"]

# Scheme → function (rest or URI, port) -> Source, loaded when asked for.
SOURCES = {
    "v4l2": "runtime.sources.v4l2:open_v4l2",
    "rtsp": "runtime.sources.network:open_network",
    "rtsps": "runtime.sources.network:open_network",
    "http": "runtime.sources.network:open_network",
    "https": "runtime.sources.network:open_network",
    "aravis": "runtime.sources.aravis:open_aravis",
    "gst": "runtime.sources.gstreamer:open_gstreamer",
    "dicom": "runtime.sources.dicom:open_dicom",
    "synthetic": "runtime.sources.synthetic:open_synthetic",
    "replay": "runtime.sources.replay:open_replay",
    "file": "runtime.sources.video:open_video",
}
CAMERAS = ("v4l2", "rtsp", "rtsps", "http", "https", "aravis", "gst")  # may be lost and come back
_PICTURES = "runtime.sources.pictures:open_pictures"
_SCHEME = re.compile(r"([a-z][a-z0-9+]+):(.*)", re.DOTALL)


def open_source(uri: str, port: ImagePort, watch: Watch | None = None) -> Source:
    """Open what `uri` names, giving frames with the channels and type of `port`; a camera reconnects.

    `watch` says how a camera is watched and counts what is seen. Raises SourceError when it cannot be opened.
    """
    target, argument = _resolve(uri)
    module, name = target.split(":")
    try:
        opener = getattr(import_module(module), name)
    except ImportError as error:
        extra = uri.partition(":")[0]
        raise SourceError(f"{extra}: needs {error.name!r}, which is missing: pip install 'inloco[{extra}]'") from error
    open_once: Callable[[], Source] = partial(opener, argument, port)
    if uri.partition(":")[0] in CAMERAS:
        return ReconnectingSource(open_once, without_password(uri), watch or Watch())
    return open_once()


def is_live(uri: str) -> bool:
    """Whether frames come at their own pace, so that realtime is the natural mode."""
    scheme, _, rest = uri.partition(":")
    return scheme in (*CAMERAS, "replay") or (scheme == "synthetic" and "@" in rest)


def _resolve(uri: str) -> tuple[str, str]:
    """The opener of a URI and what it takes: the rest after the scheme, or the whole of a network URI."""
    match = _SCHEME.fullmatch(uri)
    if match is not None and match[1] in SOURCES:
        return SOURCES[match[1]], uri if match[2].startswith("//") else match[2]
    path = Path(uri)
    if match is not None and not path.exists():
        raise SourceError(f"unknown source {match[1]!r} in {uri!r}; there are {', '.join(SOURCES)} and paths")
    is_pictures = path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES or has_magic(uri)
    return _PICTURES if is_pictures else SOURCES["file"], uri
