"""Real networks that we did not train, taken over as they are: a style transfer (TensorFlow) and a denoiser."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from benchmarks.compression.denoiser import Denoiser
from benchmarks.compression.style_network import StyleTransfer
from calibration.fidelity import psnr
from export.onnx import main
from export.tensorrt import PlanSpec, build_plan
from runtime.engine import infer, open_engine
from runtime.errors import GraphError, run_command
from runtime.manifest import verify_engine

SIZE = (64, 80)


@pytest.fixture(scope="module", params=["onnx", "torchscript"])
def save(request: pytest.FixtureRequest) -> Callable[[nn.Module, int, Path], list[str]]:
    """Network, channels and path without suffix → the options that name the saved file."""

    def as_onnx(network: nn.Module, channels: int, path: Path) -> list[str]:
        path = path.with_suffix(".onnx")
        image = torch.zeros(1, channels, *SIZE)
        axes = {"x": {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}}
        torch.onnx.export(network.eval(), (image,), path, dynamo=True, dynamic_shapes=axes, external_data=False)
        return ["--from-onnx", str(path)]

    def as_torchscript(network: nn.Module, channels: int, path: Path) -> list[str]:
        torch.jit.trace(network.eval(), torch.zeros(1, channels, *SIZE)).save(path.with_suffix(".pt"))
        return ["--from-torchscript", str(path.with_suffix(".pt"))]

    return as_onnx if request.param == "onnx" else as_torchscript


def photographs(folder: Path, channels: int) -> list[NDArray[np.uint8]]:
    flag = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    images = [cv2.imread(str(path), flag) for path in sorted(folder.glob("*"))[:3]]
    return [cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA).reshape(*SIZE, channels) for image in images]


def translate(graph: Path, backend: str, frames: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    engine = open_engine(graph, backend)
    results = [infer(engine, {"frame": frame[None]})["translated"][0].copy() for frame in frames]
    engine.close()
    return results


def assert_within_one_level(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> None:
    assert np.abs(left.astype(int) - right).max() <= 1


@pytest.fixture(scope="module")
def style(
    save: Callable[..., list[str]], shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, Path]:
    """The style network, and the frame graph that the command made of its file."""
    folder = tmp_path_factory.mktemp("style")
    network = StyleTransfer(shared_data / "weights/fast_style_wave_fp16.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporters warn of their own future
        source = save(network, 3, folder / "style")
    wanted = ["--range", "0:255", "--size", "64x80", "--frames", str(shared_data / "cats_dogs/testA")]
    assert main([*source, *wanted, "--out", str(folder / "style_frames.onnx")]) == 0
    return network, folder / "style_frames.onnx"


def test_a_style_transfer_network_is_taken_over(style: tuple[nn.Module, Path], shared_data: Path) -> None:
    network, graph = style
    assert verify_engine(graph).parity["max_level"] <= 1
    assert "Gather" not in {node.op_type for node in onnx.load(graph).graph.node}  # the weights are for BGR now
    photos = photographs(shared_data / "cats_dogs/testA", 3)
    for backend in ("onnxruntime", "openvino"):
        for photo, styled in zip(photos, translate(graph, backend, photos), strict=True):
            with torch.no_grad():
                y = network(torch.from_numpy(photo[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)))[0]
            expected = y.clamp(0, 255).round().to(torch.uint8).numpy().transpose(1, 2, 0)[:, :, ::-1]
            assert_within_one_level(styled, expected)
            assert np.abs(styled.astype(int) - photo).mean() > 20  # repainted
            assert np.corrcoef(styled.mean(2).ravel(), photo.mean(2).ravel())[0, 1] > 0.3  # and still that picture


@pytest.mark.filterwarnings("ignore")
def test_a_denoiser_of_gray_images_is_taken_over(
    save: Callable[..., list[str]], shared_data: Path, tmp_path: Path
) -> None:
    source = save(Denoiser(shared_data / "weights/dncnn_gray_sigma25.npz"), 1, tmp_path / "dncnn")
    graph = tmp_path / "dncnn_frames.onnx"
    wanted = ["--range", "0:1", "--colour", "gray", "--size", "64x80", "--out", str(graph)]
    assert main([*source, *wanted]) == 0
    clean = photographs(shared_data / "cats_dogs/testA", 1)
    rng = np.random.default_rng(0)
    noisy = [(image + rng.normal(0, 25, image.shape)).round().clip(0, 255).astype(np.uint8) for image in clean]
    denoised = translate(graph, "onnxruntime", noisy)
    triples = zip(clean, noisy, denoised, strict=True)
    gains = [psnr(after, image) - psnr(before, image) for image, before, after in triples]
    assert min(gains) > 6
    for left, right in zip(denoised, translate(graph, "openvino", noisy), strict=True):
        assert_within_one_level(left, right)


def test_tensorrt_compiles_a_network_taken_over(style: tuple[nn.Module, Path]) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    built = build_plan(style[1], "fp32", PlanSpec(backend="tensorrt-rtx", targets=("sm86",)))
    assert len(built.plan) > 3_000_000  # 1.7 M weights


def conv_graph(path: Path, inputs: int = 1, rank: int = 4, op: str = "Conv") -> Path:
    """x (1, 3, "H", "W") → Conv 3×3; with a second input it is added; or a random node in its place."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "H", "W", 1][:rank])
    more = [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3, 1, 1])] if inputs == 2 else []
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 3, 3, 3], np.full(81, 0.02).tolist())
    nodes = {
        "Conv": [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])],
        "RandomNormalLike": [
            helper.make_node(op, ["x"], ["n"], name="noise"), helper.make_node("Add", ["x", "n"], ["c"])
        ],
        "Relu": [helper.make_node("Relu", ["x"], ["c"])],
    }[op]
    last = helper.make_node("Add", ["c", "z"], ["y"]) if inputs == 2 else helper.make_node("Identity", ["c"], ["y"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"][:rank])
    used = [weight] if op == "Conv" else []
    graph = helper.make_graph([*nodes, last], "g", [x, *more], [y], used)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({"inputs": 2}, [], "has 2 inputs"),
        ({"rank": 3, "op": "Relu"}, [], "rank 3"),
        ({"op": "RandomNormalLike"}, [], "draws random numbers .RandomNormalLike at noise"),
        ({}, ["--colour", "gray"], "takes .*'any'.*, not .1, 1, 16, 24."),
        ({}, ["--range", "1:0"], "black must be below white"),
        ({}, ["--range", "wide"], "needs --range"),
        ({}, ["--size", "16"], "write height x width"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_taken_over_is_refused(
    change: dict[str, object], options: list[str], sentence: str, tmp_path: Path
) -> None:
    graph = conv_graph(tmp_path / "g.onnx", **change)  # type: ignore[arg-type]
    out = tmp_path / "out.onnx"
    with pytest.raises(GraphError, match=sentence):
        main(["--from-onnx", str(graph), "--size", "16x24", "--range", "-1:1", *options, "--out", str(out)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.onnx"]


@pytest.mark.parametrize("option", ["--from-onnx", "--from-torchscript"])
def test_a_file_that_is_no_network_is_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g").write_bytes(b"not a network")
    arguments = [option, str(tmp_path / "g"), "--size", "16x24", "--range", "-1:1", "--out", str(tmp_path / "o.onnx")]
    assert run_command(lambda: main(arguments)) == 2
    assert "is not " in capsys.readouterr().err
    assert not (tmp_path / "o.onnx").exists()


def test_an_older_operator_set_is_raised_and_json_tells_what_was_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = conv_graph(tmp_path / "g.onnx")
    out = tmp_path / "o.onnx"
    arguments = ["--from-onnx", str(graph), "--size", "16x24", "--range", "-1:1", "--json", "--out", str(out)]
    assert main(arguments) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["macs"] == {"exact": 16 * 24 * 81, "published": 16 * 24 * 81}
    assert facts["parity"]["max_level"] <= 1
    assert max(entry.version for entry in onnx.load(out).opset_import) >= 18


def test_the_layout_nhwc_and_the_order_bgr_need_no_transpose_and_no_flip(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, None, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    gain = helper.make_tensor("gain", TensorProto.FLOAT, [3], [0.5, 1.0, 0.25])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "gain"], ["y"])], "g", [x], [y], [gain])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "g.onnx")
    out = tmp_path / "o.onnx"
    options = ["--range", "0:255", "--colour", "bgr", "--layout", "nhwc", "--size", "4x6", "--out", str(out)]
    assert main(["--from-onnx", str(tmp_path / "g.onnx"), *options]) == 0
    assert [node.op_type for node in onnx.load(out).graph.node] == ["Cast", "Mul", "Clip", "Round", "Cast"]
    frame = np.arange(72, dtype=np.uint8).reshape(4, 6, 3) * 3
    np.testing.assert_array_equal(translate(out, "onnxruntime", [frame])[0], np.round(frame * [0.5, 1.0, 0.25]))
