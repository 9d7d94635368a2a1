"""`rtsp://…`, `rtsps://…`, `http(s)://…` (MJPEG or any stream FFmpeg knows): a camera on the network."""

from __future__ import annotations

from av.error import FFmpegError

from runtime.errors import SourceError
from runtime.manifest import ImagePort
from runtime.sources.decoder import Decoder, reason
from runtime.sources.source import Shot, without_password

TIMEOUT_S = 5.0
_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "500000"}
# TCP first: a lost UDP packet tears the picture, and firewalls let TCP through.
_RTSP = _LOW_DELAY | {"rtsp_flags": "prefer_tcp"}


class NetworkSource:
    """A stream that never ends by itself: its end is a loss."""

    live = True

    def __init__(self, url: str, port: ImagePort) -> None:
        self._name = without_password(url)
        self._decoder = Decoder(url, port, _RTSP if url.startswith("rtsp") else _LOW_DELAY, TIMEOUT_S)
        self._frames = self._decoder.frames()

    def read(self) -> Shot:
        try:
            picture, captured = next(self._frames)
        except StopIteration:
            raise SourceError(f"{self._name} has ended") from None
        except (FFmpegError, OSError) as error:
            raise SourceError(f"{self._name} was lost: {reason(error)}") from error
        return Shot(self._decoder.to_frame(picture), captured, captured)

    def close(self) -> None:
        self._decoder.close()


def open_network(url: str, port: ImagePort) -> NetworkSource:
    """Connect. Raises SourceError when nobody answers within five seconds or no video comes."""
    return NetworkSource(url, port)
