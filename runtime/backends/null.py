"""The identity engine: the pipeline's test double and the zero line of every benchmark."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path

from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import Manifest


class NullEngine:
    """Returns the frame it was given."""

    backend = "null"
    depth = 1

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._pending: deque[Array] = deque()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        if len(self._pending) >= self.depth:
            raise EngineError("collect() first: one frame is already in flight")
        self._pending.append(inputs["frame"])

    def collect(self) -> dict[str, Array]:
        return {"translated": self._pending.popleft()}

    def close(self) -> None:
        self._pending.clear()


def load(path: Path, manifest: Manifest) -> NullEngine:
    """An identity engine of the manifest's size; `path` is not read."""
    return NullEngine(manifest)
