"""OpenVINO: the default where there is no NVIDIA GPU. Latency hint, one stream, model cache beside the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import openvino as ov

from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import Manifest


class OpenVinoEngine:
    """One compiled model and one inference request, started asynchronously."""

    depth = 1

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.backend = f"openvino {ov.get_version().split('-')[0]}"
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
        if os.access(path.parent, os.W_OK):
            options["CACHE_DIR"] = str(path.parent / ".cache")
        try:
            self._model = ov.Core().compile_model(path, "CPU", options)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load {path}: {error}") from error
        self._request = self._model.create_infer_request()
        self._names = [output.get_any_name() for output in self._model.outputs]
        self._busy = False

    def submit(self, inputs: Mapping[str, Array]) -> None:
        if self._busy:
            raise EngineError("collect() first: one frame is already in flight")
        self._request.start_async(dict(inputs), share_inputs=True)
        self._busy = True

    def collect(self) -> dict[str, Array]:
        self._request.wait()
        self._busy = False
        return {name: self._request.get_tensor(name).data for name in self._names}

    def close(self) -> None:
        if self._busy:
            self._request.wait()
            self._busy = False


def load(path: Path, manifest: Manifest) -> OpenVinoEngine:
    """Compile a graph for the CPU; raises EngineError in OpenVINO's own words."""
    return OpenVinoEngine(path, manifest)
