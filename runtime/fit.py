"""Brings a frame to the size of an engine, and back. A fourth way, tiles, works around the engine (tiling.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from runtime.errors import FrameError
from runtime.frames import Frame

Pair: TypeAlias = tuple[int, int]  # (H, W), or (row, column)


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
    rows, columns = letterbox_window(frame.shape[:2], height, width)
    fitted = np.zeros((height, width, frame.shape[2]), frame.dtype)
    fitted[rows, columns] = stretch(frame, rows.stop - rows.start, columns.stop - columns.start)
    return fitted


def letterbox_window(size: tuple[int, ...], height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of (height, width) that a picture of `size` (H, W) fills between the bars."""
    scale = min(height / size[0], width / size[1])
    inner_height, inner_width = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    return slice(top, top + inner_height), slice(left, left + inner_width)


def undo_fit(picture: Frame, engine: tuple[int, int], source: tuple[int, int], mode: str) -> Frame:
    """A translated picture at the size of the source: the bars cut off, the rest resized.

    `engine` and `source` are the (H, W) that `fit_frame` brought together; the picture may be larger than the engine's
    frame (super-resolution).

    Raises:
        FrameError: the mode cannot be undone; what "crop" cut off was never translated.
    """
    if mode not in ("letterbox", "stretch"):
        raise FrameError(f"fit {mode!r} cannot be undone; use letterbox or stretch")
    if mode == "letterbox" and engine != source:
        rows, columns = letterbox_window(source, *engine)
        down, right = picture.shape[0] / engine[0], picture.shape[1] / engine[1]
        picture = picture[
            round(rows.start * down) : round(rows.stop * down),
            round(columns.start * right) : round(columns.stop * right),
        ]
    return picture if picture.shape[:2] == source else stretch(picture, *source)


def crop(frame: Frame, height: int, width: int) -> Frame:
    """The largest centred part that has the wanted aspect."""
    return stretch(cut(frame, height, width), height, width)


def cut(frame: Frame, height: int, width: int) -> Frame:
    """The largest centred part that has the aspect of (height, width), at its own size."""
    (top, left), (rows, columns) = _part(frame.shape[:2], (height, width))
    return np.ascontiguousarray(frame[top : top + rows, left : left + columns])


def placement(size: Pair, wanted: Pair, mode: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where `fit_frame` puts the pixels of a picture of `size` (H, W): offset and scale, each (down, across).

    A point at (y, x) of the picture stands at offset + scale · (y, x) of the fitted one.
    """
    if size == wanted:
        return (0.0, 0.0), (1.0, 1.0)
    if mode == "letterbox":
        rows, columns = letterbox_window(size, *wanted)
        scale = (rows.stop - rows.start) / size[0], (columns.stop - columns.start) / size[1]
        return (float(rows.start), float(columns.start)), scale
    (top, left), part = _part(size, wanted) if mode == "crop" else ((0, 0), size)
    down, across = wanted[0] / part[0], wanted[1] / part[1]
    return (-top * down, -left * across), (down, across)


def _part(size: Pair, wanted: Pair) -> tuple[Pair, Pair]:
    """Corner and size (down, across) of what a crop keeps of a picture."""
    scale = max(wanted[0] / size[0], wanted[1] / size[1])
    rows, columns = min(size[0], max(1, round(wanted[0] / scale))), min(size[1], max(1, round(wanted[1] / scale)))
    return ((size[0] - rows) // 2, (size[1] - columns) // 2), (rows, columns)


FITS: dict[str, Callable[[Frame, int, int], Frame]] = {
    "letterbox": letterbox,
    "crop": crop,
    "stretch": stretch,
}
