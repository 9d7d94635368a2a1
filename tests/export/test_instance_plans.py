"""Systems with boxes and landmarks compile in FP16 and INT8, for every GPU that TensorRT-RTX knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from calibration import fp16, int8
from calibration.wiring import prepared
from export.frame_graph import controls_at
from export.tensorrt import RTX_TARGETS, PlanSpec, build_plan
from export.trace import graph_from_module
from models.registry import build_system, system_class

pytest.importorskip("tensorrt_rtx_bindings")
PARTS = [("init", "ab"), ("dunit", "ab"), ("instaformer", "with_boxes"), ("transgaga", "ab")]
RANGE = 4.0  # of every activation: this is about what compiles, not about how it looks


@pytest.fixture(scope="module", params=PARTS, ids=lambda part: "-".join(part))
def network(request: pytest.FixtureRequest, small: Callable[[str], dict[str, Any]]) -> onnx.ModelProto:
    """A narrow part of each, as calibration takes it."""
    torch.manual_seed(0)
    name, part = request.param
    known = {field.name for field in dataclasses.fields(system_class(name).config)}
    system = build_system(name, {key: value for key, value in small(name).items() if key in known}).eval()
    deployable = system.deployables()[part]
    controls = controls_at(deployable, (64, 64))
    example = torch.zeros(1, 3, 64, 64), *(torch.zeros(control.shape) for control in controls)
    names = ("image", *(control.name for control in controls))
    return prepared(graph_from_module(deployable.module, example, names, ("translated",)))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_part_compiles(network: onnx.ModelProto, precision: str, tmp_path: Path) -> None:
    model = network
    if precision == "int8":
        layers = int8.candidates(model, int8.Policy())
        model = int8.quantise(model, layers, dict.fromkeys(int8.activations(model, layers), RANGE))
    chosen = fp16.safe_nodes(model, {}) if precision == "fp16" else [
        name for name in fp16.layers(model) if "fp32" not in name.split(".")
    ]  # fmt: skip
    onnx.save(fp16.cast_nodes(model, chosen), tmp_path / "graph.onnx")
    built = build_plan(tmp_path / "graph.onnx", precision, PlanSpec("tensorrt-rtx"))
    assert built.targets == RTX_TARGETS
    assert len(built.plan) > 50_000
