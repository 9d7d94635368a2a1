"""A classifier or a segmenter of the user's, which judges translations: an engine with its manifest, or a bare ONNX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import onnx

from benchmarks.quality.pictures import as_rgb
from calibration.evaluate import Graph
from models.networks.pretrained import DEVIATION, MEAN
from runtime.engine import infer, open_engine
from runtime.errors import FrameError, SourceError
from runtime.fit import stretch
from runtime.frames import Array, Frame, to_8bit
from runtime.manifest import manifest_path

Network = Callable[[Frame], Array]  # a frame → logits, (1, classes) or (1, classes, H, W)
# Of the RGB that a bare ONNX takes; imagenet: 0…1, less ImageNet's mean, divided by its deviation.
RANGES = ("imagenet", "0:1", "-1:1", "0:255")


class Networks:
    """Both networks, opened when they are first asked for."""

    def __init__(self, classifier: Path | None = None, segmenter: Path | None = None, range_: str = "imagenet") -> None:
        self._classifier, self._segmenter, self._range = classifier, segmenter, range_

    @cached_property
    def _classify(self) -> tuple[Network, tuple[str, ...]]:
        assert self._classifier is not None
        return _open(self._classifier, "classes", self._range)

    @cached_property
    def _segment(self) -> tuple[Network, tuple[str, ...]]:
        assert self._segmenter is not None
        return _open(self._segmenter, "segmentation", self._range)

    def logits(self, frame: Frame) -> Array:
        """(classes)."""
        return self._classify[0](frame).ravel()

    def class_index(self, name: str, classes: int) -> int:
        """Of a class by its name in the manifest, or by its number.

        Raises:
            SourceError: there is no such class.
        """
        names = self._classify[1]
        if name in names:
            return names.index(name)
        if name.isdecimal() and int(name) < classes:
            return int(name)
        known = ", ".join(names) or f"the numbers 0 to {classes - 1}"
        raise SourceError(f"the classifier knows no class {name!r}; there are {known}")

    def segmented(self, frame: Frame, size: tuple[int, int]) -> tuple[Array, int]:
        """The class of each pixel, (H, W) of `size`, and how many classes there are."""
        logits = self._segment[0](frame)[0]
        if logits.shape[1:] != size:
            logits = np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in logits])
        return logits.argmax(axis=0), len(logits)


def _open(path: Path, kind: str, range_: str) -> tuple[Network, tuple[str, ...]]:
    return _engine(path, kind) if manifest_path(path).is_file() else (_bare(path, kind, range_), ())


def _engine(path: Path, kind: str) -> tuple[Network, tuple[str, ...]]:
    engine = open_engine(path)
    found = next((output for output in engine.manifest.outputs if output.kind == kind), None)
    port = engine.manifest.frame
    if found is None or port is None:
        raise SourceError(f"{path} gives no {kind} of a frame: it is another kind of network than the metric needs")

    def run(frame: Frame) -> Array:
        shown = stretch(frame, port.height, port.width) if frame.shape[:2] != (port.height, port.width) else frame
        if shown.shape != port.shape or shown.dtype != np.dtype(port.dtype):
            raise FrameError(f"{path.name} takes {port.channels} channel(s) of {port.dtype}, the pictures have "
                             f"{shown.shape[2]} of {shown.dtype}")  # fmt: skip
        return np.array(infer(engine, {port.name: np.ascontiguousarray(shown)[None]})[found.name])

    return run, found.names


def _bare(path: Path, kind: str, range_: str) -> Network:
    """(1, 3, H, W) float32 RGB → logits; pictures are stretched to its size where that is fixed."""
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx raise unrelated types
        raise SourceError(f"{path} is missing, damaged or no ONNX file: copy it again") from error
    constants, rank = {tensor.name for tensor in model.graph.initializer}, 2 if kind == "classes" else 4
    port = next((port for port in model.graph.input if port.name not in constants), None)
    sides = [side.dim_value for side in port.type.tensor_type.shape.dim] if port else []
    if port is None or len(sides) != 4 or sides[1] not in (0, 3):
        raise SourceError(f"{path} takes no (1, 3, H, W) picture; export it so, or as an engine with its manifest")
    graph, (height, width) = Graph(model), sides[2:]

    def run(frame: Frame) -> Array:
        shown = stretch(to_8bit(frame), height, width) if height and width else frame
        logits = next(iter(graph({port.name: _ranged(as_rgb(shown), range_)}).values()))
        if kind == "classes" and logits.size == max(logits.shape):
            logits = logits.reshape(1, -1)
        if logits.ndim != rank or logits.shape[0] != 1:
            raise SourceError(f"{path} gives {logits.shape}, not (1, classes{', H, W' if rank == 4 else ''}): it is "
                              f"another kind of network than {kind} need")  # fmt: skip
        return logits

    return run


def _ranged(rgb: Array, range_: str) -> Array:
    levels = rgb.astype(np.float32).transpose(2, 0, 1)[None]
    if range_ == "imagenet":
        mean, deviation = (np.array(values, np.float32)[None, :, None, None] for values in (MEAN, DEVIATION))
        return np.asarray((levels / 255 - mean) / deviation, np.float32)
    low, high = (float(part) for part in range_.split(":"))
    return np.asarray(low + (high - low) * levels / 255, np.float32)
