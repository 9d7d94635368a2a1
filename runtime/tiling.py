"""Frames larger than the engine: overlapping tiles, feathered together (tile_layout.py says how).

Beside the frame and its translation there is one band of tiles in memory, whatever the frame's size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from runtime.engine import Engine
from runtime.errors import EngineError
from runtime.frames import Array, Frame
from runtime.manifest import ImagePort, Manifest
from runtime.notes import Say, note
from runtime.tile_layout import Span, seam_of, spans

_SPATIAL = ("mask", "boxes", "image")  # kinds of controls that belong to places in a frame


class TiledEngine:
    """An Engine for frames of any size around one of a fixed size, whose depth its tiles keep filled.

    `say` is told where the whole is not what one engine of the frame's size would give. Raises EngineError when the
    engine cannot be tiled: a control or an output belongs to the whole frame.
    """

    depth = 1

    def __init__(self, engine: Engine, say: Say = note) -> None:
        self.manifest = engine.manifest
        self.backend = engine.backend
        self._engine = engine
        self._scale = _scale(engine.manifest)
        self._seam = seam_of(engine.manifest)
        self._pending: deque[Mapping[str, Array]] = deque()
        self._mosaic: _Mosaic | None = None
        if self._seam.warning:
            say(self._seam.warning)

    def submit(self, inputs: Mapping[str, Array]) -> None:
        """As Engine, with "frame" (1, H, W, C) of any H and W."""
        if self._pending:
            raise EngineError("collect() first: one frame is already in flight")
        self._pending.append(inputs)

    def collect(self) -> dict[str, Array]:
        """"translated" (1, s·H, s·W, C), where s is how much the engine enlarges; written over by the next frame."""
        inputs = self._pending.popleft()
        return {"translated": self._translate(inputs["frame"][0], inputs)[None]}

    def _translate(self, frame: Frame, inputs: Mapping[str, Array]) -> Frame:
        assert self.manifest.frame is not None
        tile, (height, width, _) = self.manifest.frame.shape, frame.shape
        sides = zip((height, width), tile[:2], self._seam.overlaps, strict=True)
        rows, columns = (
            spans(length, side, self._scale, overlap, self._seam.margin, self._seam.stride)
            for length, side, overlap in sides
        )
        mosaic = self._mosaic_for(height * self._scale, width * self._scale)
        waiting: deque[tuple[Span, Span]] = deque()
        for row in rows:
            for column in columns:
                if len(waiting) == self._engine.depth:
                    mosaic.add(self._engine.collect()["translated"][0], *waiting.popleft())
                part = _tile(frame, row.start, column.start, tile)
                self._engine.submit({**inputs, "frame": part[None]})
                waiting.append((row, column))
        while waiting:
            mosaic.add(self._engine.collect()["translated"][0], *waiting.popleft())
        return mosaic.finish()

    def _mosaic_for(self, height: int, width: int) -> _Mosaic:
        if self._mosaic is None or self._mosaic.picture.shape[:2] != (height, width):
            self._mosaic = None  # before the next one is made: they are large
            self._mosaic = _Mosaic(height, width, self.manifest.translated[0], self._scale)
        self._mosaic.begin()
        return self._mosaic

    def close(self) -> None:
        """Close the engine inside."""
        self._pending.clear()
        self._mosaic = None
        self._engine.close()


class _Mosaic:
    """A picture that grows from tiles, row by row. Only a band as high as a tile is held in more than its own type."""

    def __init__(self, height: int, width: int, port: ImagePort, scale: int) -> None:
        self.picture = np.empty((height, width, port.channels), port.dtype)
        # Tiles may stand over the right edge, by less than one of them.
        self._band = np.zeros((port.height, width + port.width, port.channels), np.float32)
        self._weighted = np.empty(port.shape, np.float32)
        self._top = 0  # of the band, in the picture
        self._scale = scale

    def begin(self) -> None:
        """Forget what an unfinished picture left in the band."""
        self._band[:] = 0
        self._top = 0

    def add(self, tile: Frame, row: Span, column: Span) -> None:
        """Add a translated tile (H, W, C); tiles come row by row."""
        self._move_to(row.start * self._scale)
        np.multiply(tile, column.weights[None, :, None], out=self._weighted)
        np.multiply(self._weighted, row.weights[:, None, None], out=self._weighted)
        left = column.start * self._scale
        self._band[:, left : left + tile.shape[1]] += self._weighted

    def _move_to(self, top: int) -> None:
        """Round off what lies above `top`, to which no further tile adds."""
        done = top - self._top
        if not done:
            return
        height, width, _ = self.picture.shape
        finished = self._band[: min(done, height - self._top), :width]
        np.rint(finished, out=finished)
        self.picture[self._top : self._top + finished.shape[0]] = finished
        rest = max(0, self._band.shape[0] - done)
        self._band[:rest] = self._band[done:]
        self._band[rest:] = 0
        self._top = top

    def finish(self) -> Frame:
        """The whole picture."""
        self._move_to(self.picture.shape[0])
        return self.picture


def _tile(frame: Frame, top: int, left: int, shape: tuple[int, int, int]) -> Frame:
    """The part of a frame that a tile covers; what stands over its edges repeats the last row and column."""
    part = frame[top : top + shape[0], left : left + shape[1]]
    below, right = shape[0] - part.shape[0], shape[1] - part.shape[1]
    if below or right:
        return np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge")
    return np.ascontiguousarray(part)


def _scale(manifest: Manifest) -> int:
    """By how much an engine enlarges; EngineError where tiles of it do not make a whole."""
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
