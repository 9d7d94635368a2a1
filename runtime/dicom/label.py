"""Writes a word into a picture so that nobody takes it for an acquired one."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from runtime.frames import Array

_SHARE = 0.35  # of the width that the word takes, if that leaves its letters legible
_LEGIBLE = 7  # pixels that a capital is high, at least
_DRAWN = 4.0  # font scale of the drawing that is then made smaller: thin strokes of small fonts break
_FONT = cv2.FONT_HERSHEY_DUPLEX


def burn_in(stored: Array, text: str, dark: float, bright: float) -> bool:
    """Draw `text` at the lower left of a frame of stored values (H, W, C), in place: bright letters, a dark rim.

    False where the frame is too small for legible letters; then nothing is drawn.
    """
    letters = _letters(text, stored.shape[1])
    height, width = letters.shape
    if height + 2 > stored.shape[0] or width + 2 > stored.shape[1]:
        return False
    place = np.zeros(stored.shape[:2], np.uint8)
    left = min(width // 20 + 1, stored.shape[1] - width - 1)
    place[-height - 1 : -1, left : left + width] = letters
    rim = cv2.dilate(place, np.ones((3, 3), np.uint8), iterations=max(1, height // 12))
    stored[rim > 0] = dark
    stored[place > 0] = bright
    return True


@lru_cache(maxsize=8)
def _letters(text: str, width: int) -> Array:
    """The word for a frame of `width` pixels, cropped to its ink: (h, w) uint8, 1 = ink."""
    (length, ascent), descent = cv2.getTextSize(text, _FONT, _DRAWN, 8)
    canvas = np.zeros((2 * ascent + 2 * descent, length + ascent), np.uint8)
    cv2.putText(canvas, text, (ascent // 2, ascent + descent), _FONT, _DRAWN, 255, 8)
    rows, columns = np.flatnonzero(canvas.any(1)), np.flatnonzero(canvas.any(0))
    ink = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = max(_LEGIBLE / ink.shape[0], _SHARE * width / ink.shape[1])
    size = round(ink.shape[1] * scale), max(_LEGIBLE, round(ink.shape[0] * scale))
    return (cv2.resize(ink, size, interpolation=cv2.INTER_AREA) > 140).astype(np.uint8)
