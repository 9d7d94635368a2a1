"""Dark pictures keep their level through a video and back."""

import numpy as np

from runtime.manifest import ImagePort
from runtime.sinks.sink import Mark
from runtime.sinks.video import VideoSink
from runtime.sources.decoder import Decoder


def test_a_dark_colour_survives_a_video_within_one_level(tmp_path):
    dark = np.full((64, 96, 3), (39, 49, 55), np.uint8)
    sink = VideoSink(tmp_path / "dark.mp4")
    sink.write(dark, Mark(0, 0.0, "0"))
    sink.close()
    decoder = Decoder(str(tmp_path / "dark.mp4"), ImagePort("frame", 64, 96, 3))
    back = decoder.to_frame(next(decoder.frames())[0])
    decoder.close()
    assert np.abs(back.mean((0, 1)) - (39, 49, 55)).max() <= 1
