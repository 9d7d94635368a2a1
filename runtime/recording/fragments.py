"""Frames in, fragments of MP4 out: each begins with a key frame and plays behind the initialisation of its encoder.

The boxes are those of ISO/IEC 14496-12: `ftyp` and `moov` initialise, `moof` and `mdat` are one fragment.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.video.frame import PictureType

from runtime.frames import Frame
from runtime.h264 import CLOCK, H264Stream

FRAGMENT_S = 1.0  # what a power cut costs at most, beside what waits for the encoder
# Nothing is held back, and a key frame comes only where it is asked for.
_CODEC = {
    "crf": "23", "preset": "superfast", "tune": "zerolatency", "forced-idr": "1", "g": "100000", "sc_threshold": "0",
}  # fmt: skip
_FLUSH_PACKETS = 0x200  # AVFMT_FLAG_FLUSH_PACKETS: what is muxed is there to be taken
_CONTAINER = {"movflags": "+frag_keyframe+empty_moov+default_base_moof", "video_track_timescale": str(CLOCK)}


@dataclass(frozen=True)
class Shown:
    """What is known of a recorded frame beside its pixels."""

    sequence: int  # of the source; -1 for words alone
    media_s: float  # on the stream's time line
    utc_s: float  # when it was captured, in seconds of the Unix epoch
    state: str = ""  # "NO SIGNAL", "FROZEN", "ENGINE HUNG"
    ladder: int = 0  # level of the deadline ladder
    controls: str = ""  # the assignments that hold
    events: tuple[str, ...] = ()  # that were noticed with it


@dataclass(frozen=True)
class Fragment:
    """About a second of video. `init` + `content` + the contents of further fragments is a file that plays."""

    init: bytes
    content: bytes  # moof, mdat
    frames: tuple[tuple[int, Shown], ...]  # (tick of CLOCK since the encoder's first frame, frame) in order

    @property
    def begin_s(self) -> float:
        """The first frame's place on the stream's time line."""
        return self.frames[0][1].media_s

    @property
    def end_s(self) -> float:
        """The last frame's."""
        return self.frames[-1][1].media_s

    def content_from(self, tick: int) -> bytes:
        """The content of a file that begins at `tick`."""
        return shifted(self.content, -tick)


class _Memory:
    """The file that the muxer writes to."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, part: bytes) -> int:
        """Append."""
        self.content += part
        return len(part)


class FragmentEncoder:
    """Encodes frames of one size (H, W), in one thread."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._memory = _Memory()
        self._container = av.open(self._memory, "w", format="mp4", container_options=_CONTAINER)
        self._container.flags |= _FLUSH_PACKETS
        self._video = H264Stream(self._container, size, _CODEC)
        self._video.stream.codec_context.thread_count = 1  # the other cores belong to the engine
        self._pending: deque[tuple[int, Shown]] = deque()
        self._init = b""
        self._moof = b""
        self._origin_s: float | None = None
        self._last_tick, self._key_tick = -1, 0

    @property
    def waiting(self) -> int:
        """Frames that are in no fragment yet."""
        return len(self._pending)

    def encode(self, frame: Frame, shown: Shown) -> list[Fragment]:
        """Take a frame; the fragments that it completes, mostly none. Raises FFmpegError."""
        if self._origin_s is None:
            self._origin_s = shown.media_s
        tick = self._last_tick = max(self._last_tick + 1, round((shown.media_s - self._origin_s) * CLOCK))
        picture = self._video.picture(frame, tick)
        if tick - self._key_tick >= FRAGMENT_S * CLOCK:
            picture.pict_type = PictureType.I
            self._key_tick = tick
        self._pending.append((tick, shown))
        self._container.mux(self._video.stream.encode(picture))
        return list(self._fragments())

    def finish(self) -> list[Fragment]:
        """The last fragment. Raises FFmpegError."""
        self._container.mux(self._video.stream.encode())
        self._container.close()
        return list(self._fragments())

    def _fragments(self) -> Iterator[Fragment]:
        content = self._memory.content
        done = 0
        for kind, begin, end in boxes(content):
            done, box = end, bytes(content[begin:end])
            if kind in (b"ftyp", b"moov"):
                self._init += box
            elif kind == b"moof":
                self._moof = box
            elif kind == b"mdat":
                count = _samples(self._moof)
                frames = tuple(self._pending.popleft() for _ in range(count))
                yield Fragment(self._init, self._moof + box, frames)
        del content[:done]


def boxes(content: bytes | bytearray, begin: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(type, begin, end) of every whole box between two offsets."""
    end = len(content) if end is None else end
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", content, begin)
        if size == 1 and begin + 16 <= end:
            (size,) = struct.unpack_from(">Q", content, begin + 8)
        if size < 8 or begin + size > end:
            return
        yield kind, begin, begin + size
        begin += size


def shifted(content: bytes, ticks: int) -> bytes:
    """A fragment whose decoding time (`tfdt`) is later by `ticks`."""
    moved = bytearray(content)
    for begin, end in _inside(content, b"tfdt"):
        form = ">Q" if content[begin] else ">I"  # version 1 has 64 bits
        (time,) = struct.unpack_from(form, content, end - struct.calcsize(form))
        struct.pack_into(form, moved, end - struct.calcsize(form), time + ticks)
    return bytes(moved)


def _samples(moof: bytes) -> int:
    """How many frames a fragment holds."""
    return sum(int(struct.unpack_from(">I", moof, begin + 4)[0]) for begin, _ in _inside(moof, b"trun"))


def _inside(content: bytes, wanted: bytes) -> Iterator[tuple[int, int]]:
    """(begin, end) of the bodies of the boxes moof/traf/`wanted`."""
    for kind, begin, end in boxes(content):
        for inner, first, last in boxes(content, begin + 8, end) if kind == b"moof" else ():
            for leaf, start, stop in boxes(content, first + 8, last) if inner == b"traf" else ():
                if leaf == wanted:
                    yield start + 8, stop
