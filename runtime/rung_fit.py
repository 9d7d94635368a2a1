"""Engines of different sizes on one ladder: each gets the frame at its own size, and every picture leaves with the size
and the framing that the first engine's has, so that a step of the ladder moves nothing on the screen or in a video."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from runtime.fit import cut, fit_frame, letterbox_window, stretch
from runtime.frames import Frame
from runtime.manifest import ImagePort, Manifest

_TILE = "tile"


class RungFit:
    """The way of a frame of any size (H, W, C) through one engine of a ladder.

    `fit` is that of the first engine. A lower one of another size sees what the first sees: the whole frame, or with
    "crop" the part of it that the first engine's aspect leaves. With "tile" frames keep their size.
    """

    def __init__(self, first: Manifest, rung: Manifest, fit: str) -> None:
        self._first, self._first_picture = _ports(first)
        self._own, self._picture = _ports(rung)
        self._fit = fit
        self._inner_fit = "stretch" if fit == "stretch" else "letterbox"
        self._is_alike = self._own.shape[:2] == self._first.shape[:2]

    def to_engine(self, frame: Frame) -> Frame:
        """The frame at this engine's size; the frame itself for tiles."""
        if self._fit == _TILE:
            return frame
        height, width, _ = self._own.shape
        if self._is_alike:
            return fit_frame(frame, height, width, self._fit)
        return fit_frame(self._seen(frame), height, width, self._inner_fit)

    def to_first(self, picture: Frame, frame: Frame) -> Frame:
        """This engine's picture of `frame` as the first engine would frame it."""
        if self._fit == _TILE:
            return _resized(picture, self._tiled_size(frame))
        size = self._first_picture.shape[:2]
        if self._is_alike:
            return _resized(picture, size)
        if self._fit == "stretch":
            return stretch(picture, *size)
        content = _window(picture, self._seen(frame).shape[:2], self._own)
        canvas = np.zeros((*size, picture.shape[2]), picture.dtype)
        place = canvas if self._fit == "crop" else _window(canvas, frame.shape[:2], self._first)
        place[:] = _resized(content, place.shape[:2])
        return canvas

    def untouched(self, frame: Frame) -> Frame:
        """The frame itself, framed as the first engine's picture and with as many channels."""
        channels = self._first_picture.channels
        if frame.shape[2] != channels:
            frame = np.repeat(frame, channels, axis=2) if channels == 3 else _gray(frame)
        if self._fit == _TILE:
            return _resized(frame, self._tiled_size(frame))
        height, width, _ = self._first_picture.shape
        return fit_frame(frame, height, width, self._fit)

    def _seen(self, frame: Frame) -> Frame:
        height, width, _ = self._first.shape
        return cut(frame, height, width) if self._fit == "crop" else frame

    def _tiled_size(self, frame: Frame) -> tuple[int, int]:
        scale = self._first_picture.height // self._first.height
        return frame.shape[0] * scale, frame.shape[1] * scale


def beside(first: Manifest, fit: str) -> Callable[[Frame], Frame]:
    """What a frame looks like to the first engine, for showing it beside the translation."""
    return RungFit(first, first, fit).to_engine


def _ports(manifest: Manifest) -> tuple[ImagePort, ImagePort]:
    assert manifest.frame is not None
    return manifest.frame, manifest.translated[0]


def _window(picture: Frame, size: tuple[int, ...], port: ImagePort) -> Frame:
    """The view of `picture` between the bars that a frame of `size` (H, W) has at the engine's input `port`."""
    rows, columns = letterbox_window(size, port.height, port.width)
    down, across = picture.shape[0] / port.height, picture.shape[1] / port.width
    return picture[
        round(rows.start * down) : round(rows.stop * down), round(columns.start * across) : round(columns.stop * across)
    ]


def _resized(picture: Frame, size: tuple[int, ...]) -> Frame:
    return picture if picture.shape[:2] == size else stretch(np.ascontiguousarray(picture), *size)


def _gray(frame: Frame) -> Frame:
    mean: Frame = np.rint(frame.mean(axis=2, keepdims=True))
    return mean.astype(frame.dtype)
