"""Frames larger than the engine: overlapping tiles, feathered together."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from runtime.engine import Engine
from runtime.errors import EngineError
from runtime.frames import Array, Frame

_OVERLAP = 8  # the overlap is a tile's side divided by this
_SPATIAL = ("mask", "boxes", "image")  # kinds of controls that belong to places in a frame


class TiledEngine:
    """An Engine for frames of any size around one of a fixed size, whose depth its tiles keep filled.

    Raises EngineError when the engine cannot be tiled: a control or an output belongs to the whole frame.
    """

    depth = 1

    def __init__(self, engine: Engine) -> None:
        self.manifest = engine.manifest
        self.backend = engine.backend
        self._engine = engine
        self._scale = _scale(engine)
        self._pending: deque[Mapping[str, Array]] = deque()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        """As Engine, with "frame" (1, H, W, C) of any H and W."""
        if self._pending:
            raise EngineError("collect() first: one frame is already in flight")
        self._pending.append(inputs)

    def collect(self) -> dict[str, Array]:
        """"translated" (1, s·H, s·W, C), where s is how much the engine enlarges; the array is the caller's."""
        inputs = self._pending.popleft()
        return {"translated": self._translate(inputs["frame"][0], inputs)[None]}

    def _translate(self, frame: Frame, inputs: Mapping[str, Array]) -> Frame:
        assert self.manifest.frame is not None
        tile_height, tile_width, _ = self.manifest.frame.shape
        height, width, _ = frame.shape
        grown = _grow(frame, tile_height, tile_width)
        port, scale = self.manifest.translated[0], self._scale
        canvas = np.zeros((grown.shape[0] * scale, grown.shape[1] * scale, port.channels), np.float32)
        waiting: deque[tuple[int, int, Array]] = deque()
        for top, row_weights in feathers(grown.shape[0], tile_height, scale):
            for left, column_weights in feathers(grown.shape[1], tile_width, scale):
                if len(waiting) == self._engine.depth:
                    self._blend(canvas, *waiting.popleft())
                tile = np.ascontiguousarray(grown[top : top + tile_height, left : left + tile_width])
                self._engine.submit({**inputs, "frame": tile[None]})
                waiting.append((top, left, np.multiply.outer(row_weights, column_weights)[:, :, None]))
        while waiting:
            self._blend(canvas, *waiting.popleft())
        whole = canvas[: height * scale, : width * scale]
        return np.clip(np.rint(whole), 0, np.iinfo(port.dtype).max).astype(port.dtype)

    def _blend(self, canvas: Array, top: int, left: int, weights: Array) -> None:
        """Add the oldest tile in flight to the canvas."""
        tile = self._engine.collect()["translated"][0]
        rows = slice(top * self._scale, top * self._scale + tile.shape[0])
        columns = slice(left * self._scale, left * self._scale + tile.shape[1])
        canvas[rows, columns] += weights * tile

    def close(self) -> None:
        """Close the engine inside."""
        self._pending.clear()
        self._engine.close()


@lru_cache(maxsize=8)
def feathers(length: int, tile: int, scale: int) -> tuple[tuple[int, Array], ...]:
    """Where the tiles of an axis start, and the weights (tile·scale,) of each, which add up to 1 everywhere.

    Neighbours overlap by at least an eighth of a tile and fade linearly into each other.
    """
    overlap = tile // _OVERLAP
    count = 1 if length <= tile else -(-(length - overlap) // (tile - overlap))
    starts = [round(start) for start in np.linspace(0, max(0, length - tile), count)]
    side = tile * scale
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 1.0  # to the nearer edge
    ramp = np.minimum(1.0, distance / max(1, overlap * scale))
    total = np.zeros(max(length, tile) * scale)
    for start in starts:
        total[start * scale : start * scale + side] += ramp
    return tuple(
        (start, (ramp / total[start * scale : start * scale + side]).astype(np.float32)) for start in starts
    )


def _grow(frame: Frame, height: int, width: int) -> Frame:
    """A frame of at least (height, width): what is missing repeats the last row and column."""
    below, right = max(0, height - frame.shape[0]), max(0, width - frame.shape[1])
    return np.pad(frame, ((0, below), (0, right), (0, 0)), mode="edge") if below or right else frame


def _scale(engine: Engine) -> int:
    """By how much the engine enlarges; EngineError where tiles of it do not make a whole."""
    manifest = engine.manifest
    if manifest.frame is None or len(manifest.translated) != 1:
        raise EngineError(f"{manifest.file} cannot be tiled: it is not one image in, one image out")
    for control in manifest.controls:
        if control.kind in _SPATIAL:
            raise EngineError(f"{manifest.file} cannot be tiled: {control.name!r} covers the whole frame")
    frame, translated = manifest.frame, manifest.translated[0]
    scale = translated.height // frame.height
    if not scale or (translated.height, translated.width) != (frame.height * scale, frame.width * scale):
        raise EngineError(f"{manifest.file} cannot be tiled: it does not enlarge by a whole number")
    return scale
