"""Every generator that the project trains compiles in every precision, for every GPU that TensorRT-RTX knows."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from calibration import fp16, int8
from calibration.wiring import prepared
from export.tensorrt import RTX_TARGETS, PlanSpec, build_plan
from export.trace import graph_from_module
from models.networks.generators import GENERATORS, GeneratorConfig, build_generator

pytest.importorskip("tensorrt_rtx_bindings")
# A deeper ResNet is the same layers again, and half a minute of torch's exporter.
KINDS = {name: max(64, multiple) for name, (_, multiple) in GENERATORS.items() if not name.startswith("resnet9")}
RANGE = 4.0  # of every activation: this is about what compiles, not about how it looks


@pytest.fixture(scope="module", params=KINDS)
def network(request: pytest.FixtureRequest) -> onnx.ModelProto:
    """A narrow generator of each kind, as calibration takes it."""
    torch.manual_seed(0)
    generator = build_generator(GeneratorConfig(request.param, width=16)).eval()
    size = KINDS[request.param]
    return prepared(graph_from_module(generator, (torch.zeros(1, 3, size, size),), ("image",), ("translated",)))


def in_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    layers = int8.candidates(model, int8.Policy())
    return int8.quantise(model, layers, dict.fromkeys(int8.activations(model, layers), RANGE))


@pytest.mark.parametrize("precision", ["fp16", "int8", "int8 in fp16"])
def test_a_generator_compiles(network: onnx.ModelProto, precision: str, tmp_path: Path) -> None:
    model = in_int8(network) if precision.startswith("int8") else network
    if precision.endswith("fp16"):
        model = fp16.cast_nodes(model, fp16.layers(model))
    onnx.save(model, tmp_path / "graph.onnx")
    built = build_plan(tmp_path / "graph.onnx", precision[:4], PlanSpec("tensorrt-rtx"))
    assert built.targets == RTX_TARGETS
    assert len(built.plan) > 100_000
