"""Runs an engine over the frames of an instance and brings the result back to the source's geometry and values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np

from runtime.dicom.label import burn_in
from runtime.dicom.reader import Instance
from runtime.dicom.values import ValueLine, line_of, padding_mask
from runtime.engine import Engine, infer
from runtime.errors import EngineError
from runtime.fit import fit_frame, undo_fit
from runtime.frames import Array, Frame
from runtime.manifest import ImagePort
from runtime.tiling import TiledEngine

TILE = "tile"


class Stopped(Exception):
    """The node is asked to end; the instance stays in the queue."""


class Translator:
    """Any engine of the runtime, for the frames of an instance. Used by the thread that opened the engine.

    Raises EngineError when the engine takes no frame, or cannot be tiled where that is asked for.
    """

    def __init__(self, engine: Engine, controls: Mapping[str, Array], fit: str, values: str) -> None:
        if engine.manifest.frame is None:
            raise EngineError(f"{engine.manifest.file} takes no frame: it draws from noise")
        self._engine = TiledEngine(engine) if fit == TILE else engine
        self._port: ImagePort = engine.manifest.frame
        self._controls = dict(controls)
        self._fit = fit
        self._values = values

    def translate(
        self, instance: Instance, label: str, stopping: Callable[[], bool] = lambda: False
    ) -> tuple[Array, str]:
        """New stored values of the shape and type of `instance.stored`, and in words how they were mapped.

        What the source marks as padding stays as it is. `label`, if any, is burned in. Raises Stopped between two
        frames once `stopping()` is true.
        """
        stored = instance.stored
        result = np.empty_like(stored)
        words, labelled = [], label
        for values, look, translated in zip(stored, instance.looks, result, strict=True):
            if stopping():
                raise Stopped
            line = line_of(stored, look, self._values)
            self._translate(values, line, translated)
            if look.padding is not None:
                np.copyto(translated, values, where=padding_mask(values, look.padding))
            ends = np.clip(np.rint([line.dark, line.bright]), *line.limits)
            if label and not burn_in(translated, label, *ends):
                labelled = ""
            words.append(line.words)
        more = " (first frame)" if len(set(words)) > 1 else ""
        how = f"{words[0]}{more} to the engine's whole range and back, {self}"
        return result, how + (f"; burned-in label {label}" if labelled else "; no burned-in label")

    def _translate(self, values: Array, line: ValueLine, result: Array) -> None:
        """One frame of stored values (H, W, C) into `result` of the same shape."""
        frame = to_channels(line.to_frame(values, self._port.dtype), self._port.channels, from_rgb=True)
        picture = to_channels(self._run(frame), values.shape[2], from_rgb=False)
        result[...] = line.to_stored(picture, values)

    def _run(self, frame: Frame) -> Frame:
        """The translated picture at the size of `frame`, in the engine's own channels and type."""
        size = frame.shape[0], frame.shape[1]
        if self._fit == TILE:
            picture = self._infer(frame)
            return undo_fit(picture, size, size, "stretch")
        engine = self._port.height, self._port.width
        return undo_fit(self._infer(fit_frame(frame, *engine, self._fit)), engine, size, self._fit)

    def _infer(self, frame: Frame) -> Frame:
        picture: Frame = infer(self._engine, {"frame": frame[None], **self._controls})["translated"][0]
        return picture

    def __str__(self) -> str:
        if self._fit == TILE:
            return f"in tiles of {self._port.height}x{self._port.width}"
        return f"at {self._port.height}x{self._port.width} ({self._fit})"


def frames_of(instance: Instance, values: str, port: ImagePort) -> Iterator[Frame]:
    """Every frame at its own size, as an engine with `port` takes it; `values` as in `line_of`."""
    for stored, look in zip(instance.stored, instance.looks, strict=True):
        line = line_of(instance.stored, look, values)
        yield to_channels(line.to_frame(stored, port.dtype), port.channels, from_rgb=True)


def to_channels(picture: Frame, channels: int, from_rgb: bool) -> Frame:
    """Gray ↔ colour, and RGB ↔ BGR: DICOM's order on one side, a camera's on the other.

    `from_rgb`: the picture comes from DICOM, else from the engine. Colour becomes gray by its luma (ITU-R BT.601).
    """
    given = picture.shape[2]
    if given == channels:
        return picture if channels == 1 else np.ascontiguousarray(picture[:, :, ::-1])
    if given == 1:
        return np.repeat(picture, channels, axis=2)
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY if from_rgb else cv2.COLOR_BGR2GRAY)[:, :, None]
