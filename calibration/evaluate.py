"""Running graphs on the CPU with ONNX Runtime, so that each precision means here what it means on the
device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnxruntime as ort
from onnx import ModelProto

from runtime.errors import EngineError
from runtime.frames import Array


class Graph:
    """A graph ready to run. Q/DQ pairs are computed literally, whatever integer instructions this CPU has:
    without VNNI, ONNX Runtime's fused u8 kernels may saturate, and a verdict must not depend on the
    machine."""

    def __init__(self, model: ModelProto, outputs: Sequence[str] = ()) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library raises several unrelated types
            raise EngineError(f"ONNX Runtime refuses the graph: {error}") from error
        self._names = list(outputs) or [output.name for output in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, for "frame" (1, H, W, C) and the controls."""
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
