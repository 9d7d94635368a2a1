"""FP16 by casts: what stays FP32, that it stays finite, and that the emulation rounds as a device does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from calibration.candidate import fp16_candidate
from calibration.evaluate import Graph
from calibration.fp16 import cast_nodes, emulated, safe_nodes
from calibration.methods import Histogram
from calibration.samples import Samples
from calibration.wiring import Wiring, prepared
from runtime.images import list_images
from runtime.manifest import ImagePort, Manifest

SIZE = 48


@pytest.fixture
def samples(photos: Path) -> Samples:
    port = ImagePort("frame", SIZE, SIZE, 3)
    manifest = Manifest("graph.onnx", {}, frame=port, translated=(ImagePort("translated", SIZE, SIZE, 3),))
    return Samples(manifest, tuple(list_images(photos)[:6]))


def types_of(model: ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}


def test_layers_are_fp16_while_norms_and_frame_arithmetic_stay_fp32(
    generator: ModelProto, samples: Samples
) -> None:
    model = fp16_candidate(prepared(generator), samples, quiet=True).build()
    onnx.checker.check_model(model, full_check=True)
    types = types_of(model)
    by_type: dict[str, set[int]] = {}
    for node in model.graph.node:
        if node.op_type != "Cast" and node.output[0] in types:
            by_type.setdefault(node.op_type, set()).add(types[node.output[0]])
    assert by_type["Conv"] == by_type["ConvTranspose"] == {TensorProto.FLOAT16}
    assert by_type["InstanceNormalization"] == {TensorProto.FLOAT}
    for operator in ("Sub", "Tanh", "Round", "Clip"):
        assert by_type[operator] == {TensorProto.FLOAT}
    assert [value.type.tensor_type.elem_type for value in (model.graph.input[0], model.graph.output[0])] == [
        TensorProto.UINT8,
        TensorProto.UINT8,
    ]


def test_casts_stand_only_where_the_precision_changes(generator: ModelProto, samples: Samples) -> None:
    model = fp16_candidate(prepared(generator), samples, quiet=True).build()
    wiring = Wiring(model)
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    for node in casts:
        maker = wiring.maker.get(node.input[0])
        assert maker is None or maker.op_type != "Cast"
    assert len({(node.input[0], node.attribute[0].i) for node in casts}) == len(casts)


def test_weights_take_half_the_bytes(generator: ModelProto, samples: Samples) -> None:
    halves = fp16_candidate(prepared(generator), samples, quiet=True).build()
    assert halves.ByteSize() < 0.65 * generator.ByteSize()


def test_instance_norm_of_large_inputs_stays_finite(builder: Any, samples: Samples) -> None:
    """Inputs of ±500: their squares overflow FP16, in one node or in the parts that exporters write."""
    g = builder
    loud = g.conv(g.picture(), (3, 8, 3), 1, "loud", 400.0)
    ones, zeros = g.constant(np.ones(8)), g.constant(np.zeros(8))
    normed = g.add("InstanceNormalization", loud, ones, zeros)
    axes = g.constant([2, 3], np.int64)
    centred = g.add("Sub", loud, g.add("ReduceMean", loud, axes))
    variance = g.add("ReduceMean", g.add("Mul", centred, centred, name="square"), axes)
    spread = g.add("Sqrt", g.add("Add", variance, g.constant(1e-5)))
    both = g.add("Add", normed, g.add("Div", centred, spread))
    model = prepared(g.finish(g.conv(both, (8, 3, 3), 1, "last", 0.2)))
    probe = Graph(with_output(model, "square"), ["square", "translated"])
    assert probe(samples[0])["square"].max() > 250_000
    halves = fp16_candidate(model, samples, quiet=True)
    assert "loud" in halves.nodes
    assert "square_node" not in halves.nodes
    assert "square" not in halves.nodes
    exact, rounded = (
        Graph(graph)(samples[0])["translated"].astype(int) for graph in (model, emulated(halves.build()))
    )
    assert np.abs(exact - rounded).max() <= 2


def test_a_layer_measured_near_the_limit_stays_fp32(generator: ModelProto) -> None:
    model = prepared(generator)
    loud = Histogram()
    loud.add(np.array([40_000.0]))
    assert "block0a" in safe_nodes(model, {})
    assert "block0a" not in safe_nodes(model, {"block0a": loud})


def test_what_only_a_threshold_reads_stays_fp32(builder: Any) -> None:
    """A mask just above its threshold would be off in FP16; the layer whose values are used too may round."""
    g = builder
    x = g.conv(g.picture(), (3, 8, 3), 1, "shared")
    certainty = g.add("Sigmoid", g.conv(x, (8, 3, 3), 1, "mask"), name="certainty")
    mask = g.add("Cast", g.add("Greater", certainty, g.constant(0.5)), to=TensorProto.FLOAT)
    changed = g.conv(x, (8, 3, 3), 1, "changed", 0.3)
    model = prepared(g.finish(g.add("Mul", mask, changed)))
    chosen = set(safe_nodes(model, {}))
    assert {"shared", "changed"} <= chosen
    assert not {"mask", "certainty"} & chosen


def test_the_emulation_overflows_where_a_device_would(builder: Any, samples: Samples) -> None:
    """ONNX Runtime alone would hide it: on the CPU it computes FP16 nodes in FP32 and drops the rounding
    between."""
    g = builder
    x = g.conv(g.picture(), (3, 8, 3), 1, "loud", 2e5)
    x = g.add("Mul", x, g.constant(1e-5), name="quiet")
    model = prepared(g.finish(g.conv(x, (8, 3, 3), 1, "last", 0.3)))
    forced = cast_nodes(model, ["loud", "quiet", "last"])
    probe = Graph(with_output(emulated(forced), "quiet_fp16", TensorProto.FLOAT16), ["quiet_fp16"])
    assert not np.isfinite(probe(samples[0])["quiet_fp16"]).all()
    assert "loud" not in fp16_candidate(model, samples, quiet=True).nodes


def test_tensorrt_builds_a_plan(
    generator: ModelProto, samples: Samples, plan_size: Callable[[ModelProto, str], int]
) -> None:
    halves = fp16_candidate(prepared(generator), samples, quiet=True).build()
    assert plan_size(halves, "fp16") > 10_000


def with_output(model: ModelProto, name: str, kind: int = TensorProto.FLOAT) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return copy
