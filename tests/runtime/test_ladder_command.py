"""A ladder through the command, on an engine that is really too slow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Write = Callable[..., Path]


def slow_graph(height: int, width: int, turns: int) -> bytes:
    """The identity, after `turns` convolutions whose result is multiplied by nothing: honest work."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    weight = np.random.default_rng(0).normal(0, 0.02, (32, 32, 3, 3)).astype(np.float32)
    stem = np.random.default_rng(1).normal(0, 0.02, (32, 3, 1, 1)).astype(np.float32)
    tail = np.zeros((3, 32, 1, 1), np.float32)
    values = {"w": weight, "stem": stem, "tail": tail, "low": np.float32(0), "high": np.float32(255)}
    nodes = [
        helper.make_node("Cast", ["frame"], ["x"], to=types.FLOAT),
        helper.make_node("Transpose", ["x"], ["chw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["chw", "stem"], ["h0"]),
    ]
    for turn in range(turns):
        nodes.append(helper.make_node("Conv", [f"h{turn}", "w"], [f"h{turn + 1}"], pads=[1, 1, 1, 1]))
    nodes += [
        helper.make_node("Conv", [f"h{turns}", "tail"], ["nothing"]),
        helper.make_node("Add", ["chw", "nothing"], ["sum"]),
        helper.make_node("Clip", ["sum", "low", "high"], ["clipped"]),
        helper.make_node("Transpose", ["clipped"], ["hwc"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["hwc"], ["translated"], to=types.UINT8),
    ]
    ports = [helper.make_tensor_value_info(n, types.UINT8, [1, height, width, 3]) for n in ("frame", "translated")]
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "slow", ports[:1], ports[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_the_command_steps_down_from_an_engine_that_is_really_too_slow(
    root: Path, write_engine: Write, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    """2.7 GMAC are not done in a millisecond on any processor that this runs on."""
    slow = write_engine("slow.onnx", 96, 128, backend="onnxruntime", content=slow_graph(96, 128, 24))
    quick = write_engine("quick.onnx", 48, 64)
    command = [
        sys.executable, "-m", "runtime.stream", "--engine", slow, "--ladder", quick,
        "--deadline", "1ms", "--report", tmp_path / "report", "--source", "synthetic:128x96@40",
        "--sink", tmp_path / "out.mp4", "--frames", "60", "--json",
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), cwd=root, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    ladder = json.loads(done.stdout)["ladder"]
    assert ladder["moves"][0]["from"] == 0
    assert ladder["moves"][0]["to"] == 1
    assert ladder["downs"] >= 1
    assert ladder["late"] >= 3
    assert [step["name"] for step in ladder["steps"]] == ["slow.onnx", "quick.onnx", "original"]
    assert sum(step["frames"] for step in ladder["steps"]) >= 60
    assert ladder["steps"][1]["frames"] > 0
    assert "ladder: down to step 1, quick.onnx" in done.stderr
    assert "note: ladder for" in done.stderr
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"<td>0 → 1<td>{ladder['moves'][0]['reason']}" in page
