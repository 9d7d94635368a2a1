"""`rtsp://…`, `rtsps://…`, `http(s)://…` (MJPEG or any stream FFmpeg knows): a camera on the network."""

from __future__ import annotations

import socket
from math import inf
from time import monotonic
from urllib.parse import urlsplit

import av
from av.error import FFmpegError

from runtime.errors import FrameError, SourceError
from runtime.manifest import ImagePort
from runtime.sources.decoder import Decoder, reason
from runtime.sources.source import Shot, without_password

_OPEN_S = 5.0
_SILENT_S = {True: 2.5, False: 5.0}  # until it is lost; over RTSP FFmpeg waits twice, for the frame that it holds
_KNOCK_S = 1.0
_LATE_S = 0.4
_BROKEN = 25  # frames in a row that cannot be decoded: then the connection is made anew
_DRIFT = 5e-4  # by which the clocks of two machines may differ at most; crystals keep a tenth of it
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "100000"}
# TCP first: a lost UDP packet tears the picture, and firewalls let TCP through.
_RTSP = _LOW_DELAY | {"rtsp_flags": "prefer_tcp"}


class NetworkSource:
    """A stream that never ends by itself: its end is a loss."""

    live = True

    def __init__(self, url: str, port: ImagePort) -> None:
        self._name = without_password(url)
        is_rtsp = url.startswith("rtsp")
        self._decoder = Decoder(url, port, _RTSP if is_rtsp else _LOW_DELAY, (_OPEN_S, _SILENT_S[is_rtsp]))
        self._frames = self._decoder.frames_and_gaps()
        self._clock = SenderClock() if is_rtsp else None
        self._number = 0
        self._broken = 0  # in a row

    def read(self) -> Shot:
        late_since = inf
        while True:
            picture, captured = self._next()
            now = monotonic()
            # Behind what the camera sends: a frame that is not converted costs least. Some are shown even so.
            if now - captured < _LATE_S or now - late_since > _LATE_S:
                return Shot(self._decoder.to_frame(picture), captured, captured, number=self._number)
            late_since = min(late_since, now)

    def _next(self) -> tuple[av.VideoFrame, float]:
        """The next picture and when it was here."""
        try:
            picture, arrived = next(self._frames)
        except StopIteration:
            raise SourceError(f"{self._name} has ended") from None
        except (FFmpegError, OSError) as error:
            raise SourceError(f"{self._name} was lost: {reason(error)}") from error
        self._number += 1
        self._broken = self._broken + 1 if picture is None else 0
        if picture is None:
            fault = "a frame cannot be decoded"
            raise (FrameError if self._broken < _BROKEN else SourceError)(f"{self._name}: {fault}")
        if self._clock is None or picture.time is None:
            return picture, arrived
        return picture, self._clock.captured(picture.time, arrived)

    def close(self) -> None:
        self._decoder.close()


class SenderClock:
    """When frames were due by their own time stamps: one that waited in a socket is older than its arrival here."""

    def __init__(self) -> None:
        self._offset = inf  # of the fastest frame so far: our time minus the camera's
        self._before = inf

    def captured(self, stamp_s: float, arrived: float) -> float:
        """Our time for a frame that the camera stamped `stamp_s`; never after `arrived`."""
        self._offset += _DRIFT * max(0.0, arrived - self._before)
        self._offset = min(self._offset, arrived - stamp_s)
        self._before = arrived
        return min(arrived, stamp_s + self._offset)


def open_network(url: str, port: ImagePort) -> NetworkSource:
    """Connect. Raises SourceError when nobody answers, or no video comes within five seconds."""
    _knock(url)
    return NetworkSource(url, port)


def _knock(url: str) -> None:
    """Raise SourceError when nobody listens, within a second; FFmpeg waits for five."""
    name = without_password(url)
    try:
        parts = urlsplit(url)
        address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    except ValueError as error:
        raise SourceError(f"{name} is no address: {error}") from error
    try:
        socket.create_connection(address, _KNOCK_S).close()
    except OSError as error:
        raise SourceError(f"cannot open {name}: {error.strerror or error}") from error
