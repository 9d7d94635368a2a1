"""Plans are really compiled, by TensorRT-RTX's ahead-of-time compiler, which needs no GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession

from calibration.relabel import relabel_u8
from export.tensorrt import RTX_TARGETS, PlanSpec, build_plan, load_frame_graph
from runtime.backends import tensorrt
from runtime.errors import EngineError
from tests.vendor_api.small_graphs import GRAPHS, Drawing, in_precision, quantised, save, sixteen_bit

pytest.importorskip("tensorrt_rtx_bindings")
RTX = PlanSpec(backend="tensorrt-rtx", targets=("sm86",))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_kind_of_layer_compiles_in_every_precision(name: str, precision: str, tmp_path: Path) -> None:
    graph = tmp_path / "graph.onnx"
    onnx.save(in_precision(name, precision), graph)
    built = build_plan(graph, precision, RTX)
    assert len(built.plan) > 10_000
    assert built.targets == ("sm86",)


def test_int8_weights_are_stored_in_one_byte(tmp_path: Path) -> None:
    sizes = {}
    for precision in ("fp32", "int8"):
        d = Drawing("float32")
        x = d.conv(d.relu(d.conv(d.start(), 3, 256)), 256, 256)  # 590 k weights
        model = d.finish(d.conv(x, 256, 3))
        onnx.save(quantised(model) if precision == "int8" else model, tmp_path / "graph.onnx")
        sizes[precision] = len(build_plan(tmp_path / "graph.onnx", precision, RTX).plan)
    assert sizes["fp32"] - sizes["int8"] > 1_500_000


def test_one_plan_serves_all_targets(tmp_path: Path) -> None:
    onnx.save(in_precision("plain_conv", "fp16"), tmp_path / "graph.onnx")
    built = build_plan(tmp_path / "graph.onnx", "fp16", PlanSpec(backend="tensorrt-rtx"))
    assert built.targets == RTX_TARGETS


def test_sixteen_bit_frames_compile(tmp_path: Path) -> None:
    onnx.save(sixteen_bit(), tmp_path / "graph.onnx")
    assert build_plan(tmp_path / "graph.onnx", "fp32", RTX).plan


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    """A mapping network in FP32: Gemm weights either way round, with and without a bias, and one scaled."""
    random = np.random.default_rng(0)
    tensors = {"w1": (8, 16), "b1": (16,), "w2": (6, 16), "w3": (6, 4), "b3": (4,)}
    nodes = [
        onnx.helper.make_node("Gemm", ["z", "w1", "b1"], ["h1"], name="first"),
        onnx.helper.make_node("Relu", ["h1"], ["a1"]),
        onnx.helper.make_node("Gemm", ["a1", "w2"], ["h2"], name="second", transB=1),
        onnx.helper.make_node("Gemm", ["h2", "w3", "b3"], ["style"], name="scaled", alpha=0.5),
    ]
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (2, n)) for name, n in (("z", 8), ("style", 4))
    ]
    constants = [
        onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in tensors.items()
    ]
    graph = onnx.helper.make_graph(nodes, "mapping", ports[:1], ports[1:], constants)
    path = tmp_path / "mapping.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_dense_layers_compute_the_same_as_convolutions(dense: Path) -> None:
    model = load_frame_graph(dense, "fp32")
    onnx.checker.check_model(model, full_check=True)
    assert [node.name for node in model.graph.node if node.op_type == "Conv"] == ["first", "second"]
    assert [node.name for node in model.graph.node if node.op_type == "Gemm"] == ["scaled"]
    z = np.random.default_rng(1).normal(size=(2, 8)).astype(np.float32)
    before, after = (
        InferenceSession(content).run(None, {"z": z})[0] for content in (dense.read_bytes(), model.SerializeToString())
    )
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_dense_layers_compile_in_fp32_for_every_target(dense: Path) -> None:
    model = onnx.load(dense)
    model.graph.node[-1].attribute.remove(model.graph.node[-1].attribute[0])
    onnx.save(model, dense)
    assert build_plan(dense, "fp32", PlanSpec(backend="tensorrt-rtx")).targets == RTX_TARGETS


@pytest.mark.parametrize("target", ["sm87", "sm90", "sm999"])
def test_a_target_that_the_library_does_not_know_is_told(target: str, tmp_path: Path) -> None:
    onnx.save(in_precision("plain_conv", "fp32"), tmp_path / "graph.onnx")
    with pytest.raises(EngineError, match=rf"does not compile for {target}, only for sm75, .*--backend tensorrt"):
        build_plan(tmp_path / "graph.onnx", "fp32", PlanSpec("tensorrt-rtx", ("sm86", target)))


def test_int8_without_qdq_is_refused(tmp_path: Path) -> None:
    onnx.save(in_precision("plain_conv", "fp32"), tmp_path / "graph.onnx")
    with pytest.raises(EngineError, match=r"no QuantizeLinear .*calibration\.quantize"):
        build_plan(tmp_path / "graph.onnx", "int8", RTX)


def test_an_asymmetric_graph_is_refused_in_the_words_of_tensorrt(tmp_path: Path) -> None:
    onnx.save(relabel_u8(in_precision("plain_conv", "int8")), tmp_path / "graph.onnx")
    with pytest.raises(EngineError, match=r"TensorRT cannot (read|build) .*graph\.onnx.*zero"):
        build_plan(tmp_path / "graph.onnx", "int8", RTX)


def test_an_unknown_operator_is_refused_in_the_words_of_tensorrt(tmp_path: Path) -> None:
    model = in_precision("plain_conv", "fp32")
    model.opset_import.append(onnx.helper.make_opsetid("plant", 1))
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Frobnicate"
    next(node for node in model.graph.node if node.op_type == "Frobnicate").domain = "plant"
    onnx.save(model, tmp_path / "graph.onnx")
    with pytest.raises(EngineError, match=r"TensorRT cannot read .*Frobnicate"):
        build_plan(tmp_path / "graph.onnx", "fp32", RTX)


def test_a_file_that_is_no_graph_is_told(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"not protobuf at all")
    with pytest.raises(EngineError, match="not a readable ONNX graph"):
        build_plan(tmp_path / "graph.onnx", "fp32", RTX)


@pytest.mark.parametrize(("option", "value"), [("dla", 0), ("timing_cache", "cache")])
def test_what_rtx_lacks_is_told(option: str, value: object, tmp_path: Path) -> None:
    onnx.save(in_precision("plain_conv", "fp32"), tmp_path / "graph.onnx")
    given = {option: tmp_path / value if isinstance(value, str) else value}
    with pytest.raises(EngineError, match=f"--{option.replace('_', '-')}.*drop"):
        build_plan(tmp_path / "graph.onnx", "fp32", PlanSpec("tensorrt-rtx", ("sm86",), **given))  # type: ignore[arg-type]


def test_without_a_driver_the_error_says_so(tmp_path: Path) -> None:
    """The real library and the real plan, up to the point where a GPU is needed."""
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a GPU")
    manifest = save(in_precision("plain_conv", "fp32"), tmp_path / "graph.onnx")
    with pytest.raises(EngineError, match=r"no NVIDIA GPU answers here .*driver.* CPU"):
        tensorrt.load(tmp_path / "graph.plan", replace(manifest, backend="tensorrt-rtx", targets=("sm86",)))
