"""ONNX Runtime on the CPU: runs everywhere, the reference of parity."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import Manifest


class OnnxRuntimeEngine:
    """One session, all cores, sequential: the work is done in `submit`."""

    depth = 1

    def __init__(self, path: Path, manifest: Manifest) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # CPUs without VNNI would sum INT8 products in 16 bits, which saturate; elsewhere this changes nothing.
        options.add_session_config_entry("session.x64quantprecision", "1")
        self.manifest = manifest
        self.backend = f"onnxruntime {ort.__version__}"
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library raises several unrelated types
            raise EngineError(f"ONNX Runtime cannot load {path}: {error}") from error
        self._names = [output.name for output in self._session.get_outputs()]
        self._done: deque[dict[str, Array]] = deque()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        if len(self._done) >= self.depth:
            raise EngineError("collect() first: one frame is already in flight")
        try:
            outputs = self._session.run(self._names, dict(inputs))
        except Exception as error:
            raise EngineError(f"ONNX Runtime refuses the inputs: {error}") from error
        self._done.append(dict(zip(self._names, outputs, strict=True)))

    def collect(self) -> dict[str, Array]:
        return self._done.popleft()

    def close(self) -> None:
        self._done.clear()


def load(path: Path, manifest: Manifest) -> OnnxRuntimeEngine:
    """Open a graph; raises EngineError in ONNX Runtime's own words."""
    return OnnxRuntimeEngine(path, manifest)
