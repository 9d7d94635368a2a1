"""What a sink shows while there is no picture to show: words that say so, never the last frame."""

from __future__ import annotations

import numpy as np

from runtime.banner import GROUND, INK, draw_words
from runtime.frames import Frame

NO_SIGNAL = "NO SIGNAL"  # of the camera
ENGINE_HUNG = "ENGINE HUNG"


def draw_no_signal(shape: tuple[int, int, int], dtype: str, words: str = NO_SIGNAL) -> Frame:
    """A dark (H, W, C) frame with the words in its middle, in one line or, where that is too small, one each."""
    height, width, _ = shape
    full = np.iinfo(dtype).max
    lines = [words] if width >= 160 else words.split()
    ink = draw_words(lines, height, width)[:, :, None]
    return np.broadcast_to((GROUND + (INK - GROUND) * ink) * full, shape).astype(dtype)
