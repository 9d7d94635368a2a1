"""OpenVINO and ONNX Runtime, the real libraries, on a graph small enough to know its answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.engine import infer, open_engine
from runtime.errors import EngineError
from runtime.images import read_image
from runtime.manifest import Control

CPU_BACKENDS = ["openvino", "onnxruntime"]
Write = Callable[..., Path]


@pytest.fixture(params=CPU_BACKENDS)
def engine_path(request: pytest.FixtureRequest, write_engine: Write) -> Path:
    """clip(frame × strength + 10), uint8 in and out, `strength` being a control."""
    pytest.importorskip(request.param)
    numbers = {"ten": 10.0, "low": 0.0, "high": 255.0}
    nodes = [
        helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "strength"], ["scaled"]),
        helper.make_node("Add", ["scaled", "ten"], ["raised"]),
        helper.make_node("Clip", ["raised", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["translated"], to=TensorProto.UINT8),
    ]
    shape = [1, 48, 64, 3]
    inputs = [
        helper.make_tensor_value_info("frame", TensorProto.UINT8, shape),
        helper.make_tensor_value_info("strength", TensorProto.FLOAT, [1, 1]),
    ]
    outputs = [helper.make_tensor_value_info("translated", TensorProto.UINT8, shape)]
    constants = [numpy_helper.from_array(np.float32(value), name) for name, value in numbers.items()]
    graph = helper.make_graph(nodes, "brighten", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    strength = Control("strength", "scalar", (1, 1), low=0, high=4, default=(1.0,))
    content = model.SerializeToString()
    return write_engine("brighten.onnx", content=content, backend=request.param, controls=(strength,))


def inputs_of(level: int, strength: float = 2.0) -> dict[str, np.ndarray]:
    return {"frame": np.full((1, 48, 64, 3), level, np.uint8), "strength": np.full((1, 1), strength, np.float32)}


def test_the_answer_is_right(engine_path: Path) -> None:
    with closing(open_engine(engine_path)) as engine:
        for level in (0, 20, 100, 200):
            translated = infer(engine, inputs_of(level))["translated"]
            assert translated.dtype == np.uint8
            assert np.array_equal(translated, np.full((1, 48, 64, 3), min(255, 2 * level + 10)))


def test_depth_frames_are_in_flight_in_order_and_no_more(engine_path: Path) -> None:
    with closing(open_engine(engine_path)) as engine:
        for level in range(engine.depth):
            engine.submit(inputs_of(level))
        with pytest.raises(EngineError, match="collect"):
            engine.submit(inputs_of(99))
        for level in range(engine.depth):
            assert engine.collect()["translated"].max() == 2 * level + 10


def test_what_was_collected_stays_until_depth_further_submissions(engine_path: Path) -> None:
    with closing(open_engine(engine_path)) as engine:
        first = infer(engine, inputs_of(1))["translated"]
        for level in range(2, engine.depth + 1):
            infer(engine, inputs_of(level))
        assert np.array_equal(first, np.full((1, 48, 64, 3), 12))


def test_wrong_inputs_are_an_engine_error_and_the_next_frame_works(engine_path: Path) -> None:
    with closing(open_engine(engine_path)) as engine:
        with pytest.raises(EngineError, match="refuses the inputs"):
            infer(engine, {"frame": np.zeros((1, 5, 5, 3), np.uint8), "strength": np.ones((1, 1), np.float32)})
        assert infer(engine, inputs_of(3))["translated"].max() == 16


def test_closing_twice_or_with_work_in_flight_is_harmless(engine_path: Path) -> None:
    engine = open_engine(engine_path)
    engine.submit(inputs_of(1))
    engine.close()
    engine.close()


def test_the_stream_passes_controls_and_imports_neither_torch_nor_onnx(root: Path, engine_path: Path) -> None:
    probe = (
        "import sys, runpy\n"
        "sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "runpy.run_module('runtime.stream', run_name='__main__')"
    )
    sink = engine_path.parent / "out"
    arguments = ["--engine", engine_path, "--source", "synthetic:", "--sink", sink, "--frames", "2"]
    command = [sys.executable, "-c", probe, *map(str, arguments), "--control", "strength=0"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_image(sink / "000001.png", 3), np.full((48, 64, 3), 10))


def test_openvino_caches_beside_the_engine_only_where_it_may_and_trusts_no_damaged_cache(
    root: Path, engine_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "onnxruntime" in engine_path.with_name("brighten.onnx.json").read_text():
        pytest.skip("only OpenVINO caches")
    cache = engine_path.parent / ".cache"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    open_engine(engine_path).close()
    assert not cache.exists()
    monkeypatch.undo()
    open_engine(engine_path).close()
    (blob,) = cache.rglob("*.blob")
    whole = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(whole[:-9] + b"\x55" * 9)
    open_engine(engine_path).close()
    (blob,) = cache.rglob("*.blob")
    assert b"\x55" * 9 not in blob.read_bytes(), "a damaged cache is made again"
