"""Brings a frame to the size of an engine. A fourth way, tiles, works around the engine (tiling.py)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from runtime.errors import FrameError
from runtime.frames import Frame


def fit_frame(frame: Frame, height: int, width: int, mode: str) -> Frame:
    """The frame at (height, width, C), C-contiguous; the frame itself where it already has that size.

    `mode`: "letterbox" keeps the whole picture between black bars, "crop" fills the size and cuts what stands
    over, both centred and with square pixels; "stretch" changes the aspect.

    Raises:
        FrameError: the mode is unknown.
    """
    if mode not in FITS:
        raise FrameError(f"unknown fit {mode!r}; there are {', '.join(FITS)}")
    if frame.shape[:2] == (height, width):
        return np.ascontiguousarray(frame)
    return FITS[mode](frame, height, width)


def stretch(frame: Frame, height: int, width: int) -> Frame:
    """Resize without regard to the aspect: by area where it shrinks, linearly where it grows."""
    shrinks = height * width < frame.shape[0] * frame.shape[1]
    resized = cv2.resize(
        frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return resized.reshape(height, width, frame.shape[2])  # OpenCV drops the axis of a single channel


def letterbox(frame: Frame, height: int, width: int) -> Frame:
    """The whole picture, as large as it fits, centred on black."""
    scale = min(height / frame.shape[0], width / frame.shape[1])
    inner_height = max(1, round(frame.shape[0] * scale))
    inner_width = max(1, round(frame.shape[1] * scale))
    fitted = np.zeros((height, width, frame.shape[2]), frame.dtype)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    fitted[top : top + inner_height, left : left + inner_width] = stretch(frame, inner_height, inner_width)
    return fitted


def crop(frame: Frame, height: int, width: int) -> Frame:
    """The largest centred part that has the wanted aspect."""
    scale = max(height / frame.shape[0], width / frame.shape[1])
    rows = min(frame.shape[0], max(1, round(height / scale)))
    columns = min(frame.shape[1], max(1, round(width / scale)))
    top, left = (frame.shape[0] - rows) // 2, (frame.shape[1] - columns) // 2
    return stretch(np.ascontiguousarray(frame[top : top + rows, left : left + columns]), height, width)


FITS: dict[str, Callable[[Frame, int, int], Frame]] = {
    "letterbox": letterbox,
    "crop": crop,
    "stretch": stretch,
}
