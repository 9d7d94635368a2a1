"""How frames become H.264 that browsers play: 4:2:0, BT.709, even sizes."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from runtime.chroma import EXACT
from runtime.frames import Frame, to_8bit

CLOCK = 90_000  # ticks per second; a live stream has no even rate
_BT709 = 1  # as ISO/IEC 23091-2 numbers the primaries and the transfer function


class H264Stream:
    """The video stream of a container that is open for writing; odd sizes gain a row or column, as 4:2:0 asks."""

    def __init__(
        self, container: av.container.OutputContainer, size: tuple[int, int], options: dict[str, str]
    ) -> None:
        self.stream: VideoStream = container.add_stream("libx264", rate=30, options=options)
        self.stream.height, self.stream.width = (side + side % 2 for side in size)
        codec = self.stream.codec_context
        codec.pix_fmt = "yuv420p"
        codec.time_base = Fraction(1, CLOCK)
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = ColorRange.MPEG
        self._reformatter = VideoReformatter()

    def picture(self, frame: Frame, tick: int) -> av.VideoFrame:
        """The (H, W, C) frame as the encoder takes it, to be shown at `tick` of CLOCK."""
        picture = self._reformatter.reformat(
            _even(frame),
            self.stream.width,
            self.stream.height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=EXACT,
        )
        picture.pts, picture.time_base = tick, Fraction(1, CLOCK)
        return picture


def _even(frame: Frame) -> av.VideoFrame:
    """FFmpeg's picture of a frame, its last row or column repeated where a size is odd."""
    pixels = to_8bit(frame)
    height, width, channels = pixels.shape
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    if channels == 1:
        return av.VideoFrame.from_ndarray(pixels[:, :, 0], format="gray")
    return av.VideoFrame.from_ndarray(pixels, format="bgr24")
