"""Many pictures as one: a row each, or, of single ones, a square."""

from __future__ import annotations

import math

import numpy as np

from runtime.errors import SinkError
from runtime.fit import letterbox
from runtime.frames import Frame, to_8bit

_GAP = 2  # white pixels between two pictures


def contact_sheet(rows: list[list[Frame]]) -> Frame:
    """(H, W, 3) uint8 on white: one row for each entry; entries of a single picture fill a square instead.

    All stand in cells of the size of the largest, BGR; smaller ones are enlarged to it.

    Raises:
        SinkError: there is no picture.
    """
    if not any(rows):
        raise SinkError("the engine gives no picture to draw a grid of: leave --out away, or name a folder")
    if all(len(row) == 1 for row in rows):
        across = math.isqrt(len(rows) - 1) + 1
        single = [row[0] for row in rows]
        rows = [single[start : start + across] for start in range(0, len(single), across)]
    height, width = (max(picture.shape[axis] for row in rows for picture in row) for axis in (0, 1))
    down, across = height + _GAP, width + _GAP
    sheet = np.full((len(rows) * down - _GAP, max(map(len, rows)) * across - _GAP, 3), 255, np.uint8)
    for index, row in enumerate(rows):
        for place, picture in enumerate(row):
            top, left = index * down, place * across
            sheet[top : top + height, left : left + width] = letterbox(_colour(picture), height, width)
    return sheet


def _colour(picture: Frame) -> Frame:
    shown = to_8bit(picture)
    return np.ascontiguousarray(np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown)
