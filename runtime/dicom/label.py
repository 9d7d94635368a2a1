"""Writes a word into a picture so that nobody takes it for an acquired one."""

from __future__ import annotations

import cv2
import numpy as np

from runtime.frames import Array

SHARE = 0.6  # of the width that the word takes, at most
_LARGEST = 1.5  # scale of the font, however large the picture
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def burn_in(stored: Array, text: str, dark: float, bright: float) -> None:
    """Draw `text` at the lower left of a frame of stored values (H, W, C), in place: bright letters, a dark rim."""
    letters, rim = _masks(stored.shape[0], stored.shape[1], text)
    stored[rim] = dark
    stored[letters] = bright


def _masks(height: int, width: int, text: str) -> tuple[Array, Array]:
    """Where the letters are and where their rim is, two (H, W) booleans."""
    (length, ascent), descent = cv2.getTextSize(text, _FONT, 1.0, 1)
    scale = min(_LARGEST, SHARE * width / length, SHARE * height / (ascent + descent))
    thickness = max(1, round(scale * 1.5))
    margin = max(1, round(4 * scale))
    origin = (margin, height - 1 - margin - round(descent * scale * 0.5))
    layers = []
    for line in (thickness, thickness + 2 * max(1, round(scale))):
        layer = np.zeros((height, width), np.uint8)
        cv2.putText(layer, text, origin, _FONT, scale, 255, line)
        layers.append(layer > 0)
    return layers[0], layers[1]
