"""Words in a picture that say what it is not: a strip along its edge, or a whole picture of nothing else."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from runtime.frames import Array, Frame

GROUND, INK = 0.16, 0.95  # of full scale
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_STRIP = 0.12  # of the height
_LEAST_STRIP = 12  # rows
_SHARE = 0.7  # of the width that words take at most


def draw_banner(picture: Frame, words: str, at_foot: bool = False) -> Frame:
    """A copy of the (H, W, C) picture with `words` on a dark strip along its top, or its foot: two may be needed."""
    height, width, _ = picture.shape
    full = np.iinfo(picture.dtype).max
    rows = min(height, max(_LEAST_STRIP, round(height * _STRIP)))
    marked = picture.copy()
    strip = marked[height - rows :] if at_foot else marked[:rows]
    strip[:] = draw_words([words], rows, width, 0.95)[:, :, None] * ((INK - GROUND) * full) + GROUND * full
    return marked


@lru_cache(maxsize=8)
def _words(lines: tuple[str, ...], height: int, width: int, share: float) -> Array:
    ink = np.zeros((height, width), np.uint8)
    row = height // len(lines)
    sizes = [cv2.getTextSize(line, _FONT, 10.0, 10) for line in lines]
    scale = 10 * min(share * width / max(size[0] for size, _ in sizes), 0.6 * row / max(size[1] for size, _ in sizes))
    thickness = max(1, round(scale * 2))
    for index, line in enumerate(lines):
        (wide, high), _ = cv2.getTextSize(line, _FONT, scale, thickness)
        origin = ((width - wide) // 2, index * row + (row + high) // 2)
        cv2.putText(ink, line, origin, _FONT, scale, 255, thickness, cv2.LINE_AA)
    ink.flags.writeable = False
    return ink


def draw_words(lines: list[str], height: int, width: int, share: float = _SHARE) -> Array:
    """(height, width) float32 0..1: the lines below one another, centred, at most `share` of the width wide."""
    return _words(tuple(lines), height, width, share).astype(np.float32) / 255
