"""The form of the INT8 graph, and that the backends agree on what it means."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from calibration import int8
from calibration.bias import corrected, shifts
from calibration.evaluate import Graph
from calibration.fp16 import cast_nodes
from calibration.methods import mse
from calibration.ranges import measure
from calibration.relabel import relabel_u8
from calibration.samples import Samples
from calibration.wiring import Wiring, prepared
from runtime.engine import infer, open_engine
from runtime.images import list_images
from runtime.manifest import ImagePort, Manifest, file_sha256, write_manifest

SIZE = 48
EVERYTHING = int8.Policy(ends=True, transposed=True)


@pytest.fixture
def samples(photos: Path) -> Samples:
    port = ImagePort("frame", SIZE, SIZE, 3)
    manifest = Manifest("graph.onnx", {}, frame=port, translated=(ImagePort("translated", SIZE, SIZE, 3),))
    return Samples(manifest, tuple(list_images(photos)[:8]))


@pytest.fixture
def ranges(generator: ModelProto, samples: Samples) -> dict[str, float]:
    model = prepared(generator)
    tensors = int8.activations(model, int8.candidates(model, EVERYTHING))
    return {name: mse(found) for name, found in measure(model, tensors, samples, quiet=True).items()}


def quantised(
    generator: ModelProto, ranges: dict[str, float], policy: int8.Policy = EVERYTHING
) -> ModelProto:
    model = prepared(generator)
    return int8.quantise(model, int8.candidates(model, policy), ranges)


def test_the_safe_policy_spares_ends_and_transposed_convolutions(generator: ModelProto) -> None:
    layers = int8.candidates(prepared(generator), int8.Policy())
    assert layers == ["block0a", "block0b", "block1a", "block1b", "before_norm", "behind"]
    assert {"stem", "head", "up"} == set(int8.candidates(prepared(generator), EVERYTHING)) - set(layers)


def test_every_scale_is_symmetric_and_every_zero_point_an_int8_zero(
    generator: ModelProto, ranges: dict[str, float]
) -> None:
    wiring = Wiring(quantised(generator, ranges))
    pairs = [node for node in wiring.nodes.values() if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) > 20
    for node in pairs:
        zero = wiring.array(node.input[2])
        assert zero.dtype == np.int8
        assert not zero.any()
        assert (wiring.array(node.input[1]) > 0).all()


def test_weights_are_int8_per_output_channel_and_biases_stay_float(
    generator: ModelProto, ranges: dict[str, float]
) -> None:
    wiring = Wiring(quantised(generator, ranges))
    for name in int8.candidates(prepared(generator), EVERYTHING):
        layer = wiring.nodes[name]
        dequantise = wiring.maker[layer.input[1]]
        axis = next(item.i for item in dequantise.attribute if item.name == "axis")
        assert axis == (1 if layer.op_type == "ConvTranspose" else 0)
        codes, scales = wiring.array(dequantise.input[0]), wiring.array(dequantise.input[1])
        assert codes.dtype == np.int8
        assert np.abs(codes.astype(int)).max() <= 64
        assert scales.shape == (codes.shape[axis],)
        assert wiring.constants[layer.input[2]].data_type == TensorProto.FLOAT


@pytest.mark.parametrize("bits", [7, 8])
def test_rounded_weights_are_within_half_a_step(bits: int) -> None:
    weight = np.random.default_rng(0).standard_normal((5, 4, 3, 3)).astype(np.float32)
    weight[2] = 0
    for axis, shape in ((0, (-1, 1, 1, 1)), (1, (1, -1, 1, 1)), (-1, ())):
        codes, scales = int8.quantised_weight(weight, axis, bits)
        assert np.abs(codes.astype(int)).max() == int8.WEIGHT_LEVELS[bits]
        restored = codes * scales.reshape(shape)
        assert (np.abs(restored - weight) <= scales.reshape(shape) / 2 + 1e-7).all()


def test_no_constant_operand_of_an_elementwise_node_is_quantised(
    generator: ModelProto, ranges: dict[str, float]
) -> None:
    wiring = Wiring(quantised(generator, ranges))
    adds = [node for node in wiring.nodes.values() if node.op_type in ("Add", "Mul", "Sub")]
    touched = [
        node.name
        for node in adds
        if any(
            name in wiring.maker and wiring.maker[name].op_type == "DequantizeLinear" for name in node.input
        )
    ]
    assert touched == ["block0sum", "block1sum"]


def test_the_picture_s_own_addition_stays_exact(builder: Any) -> None:
    g = builder
    picture = g.picture()
    x = g.add("Relu", g.conv(picture, (3, 8, 3), 1, "first"))
    model = prepared(g.finish(g.add("Add", g.conv(x, (8, 3, 3), 1, "last", 0.1), picture, name="skip")))
    assert "last" not in int8.candidates(model, int8.Policy())
    assert picture not in int8.activations(model, ["last"])


def test_a_convolution_around_the_network_carries_the_picture_and_stays_exact(builder: Any) -> None:
    g = builder
    picture = g.picture()
    x = g.conv(g.add("Relu", g.conv(picture, (3, 8, 3), 1, "first")), (8, 3, 3), 1, "last", 0.1)
    model = prepared(g.finish(g.add("Add", x, g.conv(picture, (3, 3, 3), 1, "around"), name="skip")))
    assert int8.candidates(model, EVERYTHING) == ["first", "last"]


def test_grouped_transposed_convolutions_get_one_scale(builder: Any) -> None:
    g = builder
    x = g.add("Relu", g.conv(g.picture(), (3, 8, 3), 2, "first"))
    weight = g.constant(g.rng.standard_normal((8, 2, 2, 2)) * 0.2)
    x = g.add("ConvTranspose", x, weight, name="grouped", kernel_shape=[2, 2], strides=[2, 2], group=4)
    model = prepared(g.finish(g.conv(x, (8, 3, 3), 1, "last")))
    made = int8.quantise(model, ["grouped"], dict.fromkeys(int8.activations(model, ["grouped"]), 1.0))
    wiring = Wiring(made)
    assert wiring.array(wiring.maker[wiring.nodes["grouped"].input[1]].input[1]).shape == ()


def test_backends_agree_and_every_quantised_convolution_runs_in_int8(
    generator: ModelProto, ranges: dict[str, float], samples: Samples, tmp_path: Path
) -> None:
    policy = int8.Policy(ends=True)
    model = quantised(generator, ranges, policy)
    compiled = openvino_model(model, tmp_path)
    for index in range(3):
        reference = Graph(model)(samples[index])["translated"].astype(int)
        seen = compiled([samples[index]["frame"]])[0]
        assert np.abs(seen - reference).max() <= 8
        assert np.abs(seen - reference).mean() < 1
    precisions = {
        op.get_friendly_name(): op.get_rt_info()["runtimePrecision"].astype(str)
        for op in compiled.get_runtime_model().get_ordered_ops()
        if op.get_rt_info()["layerType"].astype(str) == "Convolution"
    }
    assert len(precisions) == len(int8.candidates(prepared(generator), policy))
    assert set(precisions.values()) <= {"u8", "i8"}


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_sums_of_the_largest_codes_overflow_on_no_cpu(builder: Any, tmp_path: Path, backend: str) -> None:
    """Without VNNI, 8-bit weights saturate in 16-bit sums here and give a wrong picture; 7 bits cannot."""
    g, channels = builder, 32
    ones = g.constant(np.ones((channels, 3, 1, 1)) / 3)
    full = g.add("Relu", g.add("Conv", g.picture(), ones, name="first", kernel_shape=[1, 1]))
    last = g.constant(np.ones((3, channels, 1, 1)) / channels / 2)
    for name in ("middle", "behind"):
        full = g.add("Conv", full, g.constant(np.ones((channels, channels, 1, 1)) / channels), name=name)
    model = prepared(g.finish(g.add("Conv", full, last, name="last")))
    layers = ["middle", "behind"]
    made = int8.quantise(model, layers, dict.fromkeys(int8.activations(model, layers), 1.0))
    path = tmp_path / "largest.onnx"
    onnx.save(made if backend == "openvino" else relabel_u8(made), path)
    port = ImagePort("frame", SIZE, SIZE, 3)
    manifest = Manifest(path.name, {"engine": file_sha256(path)}, frame=port, translated=(port,))
    write_manifest(manifest, path)
    frame = np.full((1, SIZE, SIZE, 3), 255, np.uint8)
    with closing(open_engine(path, backend)) as engine:
        picture = infer(engine, {"frame": frame})["translated"]
    wanted = Graph(made)({"frame": frame})["translated"]
    assert wanted.min() == wanted.max() == 191  # (0.5 + 1) · 127.5, rounded
    assert np.abs(picture.astype(int) - wanted).max() <= 1


def test_the_u8_relabelling_gives_the_same_picture(
    generator: ModelProto, ranges: dict[str, float], samples: Samples
) -> None:
    model = quantised(generator, ranges)
    relabelled = relabel_u8(model)
    onnx.checker.check_model(relabelled, full_check=True)
    zeros = {
        numpy_helper.to_array(t).dtype.name for t in relabelled.graph.initializer if t.name.endswith("_zero")
    }
    assert zeros == {"uint8"}
    for index in range(3):
        first, second = (Graph(graph)(samples[index])["translated"] for graph in (model, relabelled))
        np.testing.assert_array_equal(first, second)


def test_bias_correction_takes_back_each_layer_s_shift(
    generator: ModelProto, ranges: dict[str, float], samples: Samples
) -> None:
    model = prepared(generator)
    layers = int8.candidates(model, EVERYTHING)
    coarse = {name: value / 4 for name, value in ranges.items()}  # clips hard, so the shifts are large
    before = shifts(model, ["block0a"], coarse, samples, quiet=True)["block0a"]
    after = shifts(corrected(model, {"block0a": before}), layers, coarse, samples, quiet=True)
    assert np.abs(before).max() > 0.01
    # The exact layer has moved by as much as the rounded one: the difference between them is what it was …
    np.testing.assert_allclose(after["block0a"], before, atol=1e-4)
    # … and the rounded one now has the exact one's mean.
    exact = mean_of(model, "block0a", samples)
    rounded = mean_of(
        int8.quantise(corrected(model, {"block0a": before}), ["block0a"], coarse), "block0a", samples
    )
    np.testing.assert_allclose(rounded, exact, atol=1e-4)


@pytest.mark.parametrize("precision", ["int8", "int8 with fp16 ends"])
def test_tensorrt_builds_a_plan(
    generator: ModelProto,
    ranges: dict[str, float],
    precision: str,
    plan_size: Callable[[ModelProto, str], int],
) -> None:
    if precision == "int8":
        model = quantised(generator, ranges)
    else:
        model = cast_nodes(quantised(generator, ranges, int8.Policy()), ["stem", "head", "up"])
    assert plan_size(model, "int8") > 10_000


def mean_of(model: ModelProto, name: str, samples: Samples) -> np.ndarray:
    found = prepared(model)
    found.graph.output.append(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    graph = Graph(found, [name])
    return np.mean([graph(samples[i])[name].mean(axis=(0, 2, 3)) for i in range(len(samples))], axis=0)


def openvino_model(model: ModelProto, folder: Path) -> Any:
    path = folder / "int8.onnx"
    onnx.save(model, path)
    return ov.Core().compile_model(path, "CPU", {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"})
