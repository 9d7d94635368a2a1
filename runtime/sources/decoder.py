"""Frames out of a container or a network stream through FFmpeg's libraries (PyAV)."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any

import av
from av.codec.context import Flags
from av.error import FFmpegError, InvalidDataError
from av.video.reformatter import VideoReformatter

from runtime.chroma import EXACT
from runtime.errors import FrameError, SourceError
from runtime.frames import Frame
from runtime.manifest import ImagePort
from runtime.sources.source import without_password

# (channels, type) of a frame → FFmpeg's name of that pixel format.
PIXEL_FORMATS = {
    (3, "uint8"): "bgr24",
    (1, "uint8"): "gray",
    (3, "uint16"): "bgr48le",
    (1, "uint16"): "gray16le",
}
_SIXTEEN_BIT = ("16le", "16be", "12le", "12be", "10le", "10be", "14le", "14be")
_STEADY = 3  # times the usual gap between two frames: less is a steady stream
_GROWTH = 1.5  # of the usual gap in a frame; one long gap is not usual
_REMEMBERED = 64  # arrivals of packets whose frames are still inside the decoder


class Decoder:
    """The first video stream of `url`. `timeout_s` bounds the opening, and every read, of a network stream."""

    def __init__(
        self,
        url: str,
        port: ImagePort,
        options: dict[str, str] | None = None,
        timeout_s: tuple[float, float] | None = None,
    ) -> None:
        name = without_password(url)
        self._port = port
        self._live = timeout_s is not None
        try:
            self.container = av.open(url, options=options, timeout=timeout_s)
        except (FFmpegError, OSError) as error:
            raise SourceError(f"cannot open {name}: {reason(error)}") from error
        if not self.container.streams.video:
            self.container.close()
            raise SourceError(f"{name} has no video stream")
        self.stream = self.container.streams.video[0]
        # The other cores belong to the engine, and frame threads would delay every frame.
        self.stream.codec_context.thread_count = 1
        self._check_depth(name)
        self._reformatter = VideoReformatter()  # a frame's own would set its tables up anew: twice the time
        self._arrivals: dict[int | None, float] = {}
        # RTP packets are joined to frames by a parser, which lets a frame go when it sees the next one begin.
        self._is_joined = self.container.format.name == "rtsp" and self.stream.codec_context.name in ("h264", "hevc")
        self._begun: float | None = None  # when the first bytes of the next frame were there
        self._gap = inf  # the usual one between two frames
        if self._live:
            self.stream.codec_context.flags |= Flags.low_delay

    def _check_depth(self, url: str) -> None:
        name = self.stream.codec_context.pix_fmt or ""
        if self._port.dtype == "uint16" and not name.endswith(_SIXTEEN_BIT):
            self.container.close()
            raise SourceError(f"{url} has 8-bit pixels ({name}), the engine takes 16-bit ones")

    def frames(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Every frame with the time at which its first bytes arrived: a decoder may hold it for some frames."""
        return ((frame, arrived) for frame, arrived in self.frames_and_gaps() if frame is not None)

    def frames_and_gaps(self) -> Iterator[tuple[av.VideoFrame | None, float]]:
        """As `frames`, with None for what a network stream brings and nobody can decode; in a file that is an error."""
        for packet in self.container.demux(self.stream):
            if packet.is_corrupt and not self._live:
                raise SourceError("a packet is cut off")
            arrived = self._arrived()
            self._remember(packet.pts, arrived)
            try:
                pictures = packet.decode()
            except InvalidDataError:
                if not self._live:
                    raise
                yield None, arrived
                continue
            for frame in pictures:
                yield frame, self._arrivals.pop(frame.pts, arrived)

    def _arrived(self) -> float:
        now = monotonic()
        begun, self._begun = self._begun, now
        if not self._is_joined or begun is None:
            return now
        gap, self._gap = self._gap, min(_GROWTH * self._gap, now - begun)
        return begun if now - begun < _STEADY * gap else now  # after a stall it began with the bytes that ended it

    def _remember(self, pts: int | None, arrival: float) -> None:
        self._arrivals[pts] = arrival
        if len(self._arrivals) > _REMEMBERED:
            del self._arrivals[next(iter(self._arrivals))]

    def to_frame(self, picture: av.VideoFrame) -> Frame:
        """(H, W, C) in the channels and type that the engine takes. Raises FrameError, as where memory runs out."""
        name = PIXEL_FORMATS[self._port.channels, self._port.dtype]
        try:
            pixels = self._reformatter.reformat(picture, format=name, interpolation=EXACT).to_ndarray()
        except (FFmpegError, OSError, MemoryError) as error:
            size = f"{picture.width}x{picture.height}"
            raise FrameError(f"a frame of {size} cannot be converted ({reason(error) or 'no memory'})") from error
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def close(self) -> None:
        """Close the connection or file; calling it twice is harmless."""
        self.container.close()


def reason(error: Any) -> str:
    """FFmpeg's own words for an error, without its number."""
    return str(getattr(error, "strerror", None) or error)
