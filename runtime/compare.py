"""Original and translated in one picture, for eyes that want both."""

from __future__ import annotations

import numpy as np

from runtime.fit import letterbox
from runtime.frames import Frame


def side_by_side(original: Frame, translated: Frame) -> Frame:
    """(H, 2W, C): the original, brought to the size and channels of the translated frame, to its left."""
    height, width, channels = translated.shape
    left = original
    if left.shape[2] != channels:
        left = np.repeat(left, 3, axis=2) if channels == 3 else left.mean(axis=2, keepdims=True)
    if left.shape[:2] != (height, width):
        left = letterbox(left.astype(original.dtype), height, width)
    return np.concatenate([left.astype(translated.dtype), translated], axis=1)
