"""`python -m export.engine`: graph → engine + manifest, without torch, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from calibration.controls import Draws
from export import agreement, engine
from runtime.engine import infer, open_engine
from runtime.errors import EngineError, GateError, ManifestError, run_command
from runtime.manifest import file_sha256, manifest_path, read_manifest, verify_engine, write_manifest
from tests.vendor_api.small_graphs import in_precision, random_inputs, save

GATE = {"verdict": "passed", "mean_psnr": 47.1}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """An INT8 graph with a control, gated and traced to its checkpoint."""
    path = tmp_path / "adain_int8.onnx"
    extra = {"checkpoint": "c" * 64, "calibration": "d" * 64}
    save(in_precision("adain", "int8"), path, "int8", system="cut", gate=GATE, parity={"max": 1}, sha256=extra)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_rtx_plan_and_its_manifest_are_written(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    out = graph.with_name("adain.plan")
    given = [str(graph), "--backend", "tensorrt-rtx", "--targets", "sm86, SM89", "--out", str(out), "--json"]
    assert engine.main(given) == 0
    told = json.loads(capsys.readouterr().out)
    before, after = read_manifest(graph), verify_engine(out)
    assert after.backend == "tensorrt-rtx"
    assert after.backend_version.startswith("1.")
    assert after.targets == ("sm86", "sm89")
    assert after.sha256["graph"] == file_sha256(graph)
    assert after.sha256["checkpoint"] == "c" * 64
    assert after.sha256["calibration"] == "d" * 64
    assert (after.gate, after.controls, after.frame, after.system) == (GATE, before.controls, before.frame, "cut")
    assert after.parity["max"] == 1
    assert after.command.startswith(f"python -m export.engine {graph} --backend tensorrt-rtx")
    assert after.created.endswith("+00:00")
    assert told["sha256"] == after.sha256["engine"] == file_sha256(out)
    assert told["bytes"] == out.stat().st_size
    assert names(graph.parent) == {graph.name, f"{graph.name}.json", "adain.plan", "adain.plan.json"}


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_cpu_engine_runs_and_agrees_with_its_graph(backend: str, precision: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    source, out = tmp_path / "graph.onnx", tmp_path / f"graph_{backend}.onnx"
    model = in_precision("adain", precision)
    save(model, source, precision)
    assert engine.main([str(source), "--backend", backend, "--out", str(out)]) == 0
    made = read_manifest(out)
    assert made.targets == ("cpu",)
    assert made.backend_version
    assert made.parity["engine"]["compared"]
    assert made.parity["engine"]["worst_mean_levels"] < 0.5
    same = out.read_bytes() == source.read_bytes()
    assert same == (backend == "openvino" or precision != "int8")
    with closing(open_engine(out)) as opened:
        assert opened.backend.startswith(backend)
        picture = infer(opened, random_inputs(model, 0))["translated"]
    assert picture.shape == (1, 32, 32, 3)


def test_the_onnxruntime_int8_engine_is_the_same_picture_in_uint8(graph: Path) -> None:
    out = graph.with_name("u8.onnx")
    assert engine.main([str(graph), "--backend", "onnxruntime", "--out", str(out)]) == 0
    quantised = [node.output[0] for node in onnx.load(out).graph.node if node.op_type == "QuantizeLinear"]
    typed = onnx.shape_inference.infer_shapes(onnx.load(out)).graph.value_info
    kinds = {info.name: info.type.tensor_type.elem_type for info in typed}
    assert {kinds[name] for name in quantised} == {onnx.TensorProto.UINT8}
    with closing(open_engine(graph, "onnxruntime")) as s8, closing(open_engine(out)) as u8:
        for seed in range(3):
            item = random_inputs(onnx.load(graph), seed)
            np.testing.assert_array_equal(infer(s8, item)["translated"], infer(u8, item)["translated"])


def test_it_runs_where_torch_is_not_installed(graph: Path, root: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    program = """
import sys
sys.modules["torch"] = None  # importing it raises
from export import engine
for backend in ("tensorrt-rtx", "openvino", "onnxruntime"):
    targets = ["--targets", "sm86"] if backend == "tensorrt-rtx" else []
    assert engine.main([sys.argv[1], "--backend", backend, "--out", f"{sys.argv[1]}.{backend}", *targets]) == 0
assert sys.modules.pop("torch") is None
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "models", "lightning_fabric")]
"""
    done = subprocess.run([sys.executable, "-c", program, str(graph)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_companions_go_where_the_engine_goes(tmp_path: Path) -> None:
    encoder, source, away = tmp_path / "encoder.onnx", tmp_path / "graph.onnx", tmp_path / "device"
    away.mkdir()
    save(in_precision("plain_conv", "fp32"), encoder)
    save(in_precision("adain", "fp32"), source, companions={"style": encoder.name})
    assert engine.main([str(source), "--backend", "openvino", "--out", str(away / "out.onnx")]) == 0
    verify_engine(away / "out.onnx")
    assert names(away) == {"out.onnx", "out.onnx.json", "out_style.onnx", "out_style.onnx.json"}


def test_an_engine_that_draws_another_picture_is_refused(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = graph.with_name("other.onnx")
    save(in_precision("adain", "fp32"), other)
    before = names(graph.parent)
    model = onnx.load(graph)
    for tensor in model.graph.initializer:  # what a miscompiled plan does
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 1:
            array = onnx.numpy_helper.to_array(tensor) * 3
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    monkeypatch.setattr(engine, "_relabelled", lambda _: model.SerializeToString())
    out = graph.with_name("bad.onnx")
    with pytest.raises(GateError, match=r"differ from its graph's by .* levels .*nothing was written"):
        engine.main([str(graph), "--backend", "onnxruntime", "--out", str(out)])
    assert names(graph.parent) == before
    assert GateError.exit_code == 1


def test_an_engine_that_cannot_run_here_is_recorded_as_not_compared(graph: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a GPU")
    out = graph.with_name("adain.plan")
    engine.main([str(graph), "--backend", "tensorrt-rtx", "--targets", "sm86", "--out", str(out)])
    told = read_manifest(out).parity["engine"]
    assert told["compared"] is False
    assert "no NVIDIA GPU" in told["why"]


BAD: list[tuple[list[str], str]] = [
    (["missing.onnx", "--backend", "openvino", "--out", "x.onnx"], r"no engine .*missing\.onnx"),
    (["GRAPH", "--backend", "openvino", "--out", "GRAPH"], "is the graph itself"),
    (["GRAPH", "--backend", "openvino", "--out", "nowhere/x.onnx"], "there is no folder"),
    (["GRAPH", "--backend", "openvino", "--out", "x.onnx", "--targets", "sm86"], "--targets belongs to TensorRT"),
    (["GRAPH", "--backend", "openvino", "--out", "x.onnx", "--dla", "0"], "--dla belongs to TensorRT"),
    (["GRAPH", "--backend", "tensorrt-rtx", "--out", "x", "--targets", "86"], "'86' is no compute capability"),
    (["GRAPH", "--backend", "tensorrt-rtx", "--out", "x", "--targets", "sm87"], "does not compile for sm87"),
    (["GRAPH", "--backend", "tensorrt-rtx", "--out", "x", "--workspace-mib", "0"], "must be at least 1"),
    (["GRAPH", "--backend", "tensorrt-rtx", "--out", "x", "--targets", "sm75"], "Turing.*FP32 GEMM"),
    (["GRAPH", "--backend", "tensorrt-rtx", "--out", "x"], "name only the GPUs you have with --targets"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_is_one_sentence_and_exit_2_and_nothing_written(
    arguments: list[str], words: str, graph: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "tensorrt-rtx" in arguments:
        pytest.importorskip("tensorrt_rtx_bindings")
    monkeypatch.chdir(graph.parent)
    before = {path: path.read_bytes() for path in graph.parent.iterdir()}
    given = [graph.name if item == "GRAPH" else item for item in arguments]
    assert run_command(lambda: engine.main(given)) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(words, told), told
    assert {path: path.read_bytes() for path in graph.parent.iterdir()} == before


def test_a_graph_with_one_byte_flipped_never_reaches_a_library(graph: Path) -> None:
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(ManifestError, match="SHA-256 differs"):
        engine.main([str(graph), "--backend", "openvino", "--out", str(graph.with_name("x.onnx"))])


def test_an_engine_is_no_graph(graph: Path) -> None:
    out = graph.with_name("x.onnx")
    engine.main([str(graph), "--backend", "openvino", "--out", str(out)])
    with pytest.raises(ManifestError, match="already a openvino engine"):
        engine.main([str(out), "--backend", "onnxruntime", "--out", str(graph.with_name("y.onnx"))])


def test_a_full_disk_leaves_what_was_there(graph: Path, root: Path) -> None:
    """A limit on the size of files stands for the full disk: the write fails in its middle."""
    out = graph.with_name("x.onnx")
    assert engine.main([str(graph), "--backend", "openvino", "--out", str(out)]) == 0
    before = {path.name: path.read_bytes() for path in graph.parent.iterdir()}
    program = """
import resource, sys
from export import engine
from runtime.errors import run_command
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
raise SystemExit(run_command(lambda: engine.main(sys.argv[1:])))
"""
    given = [str(graph), "--backend", "onnxruntime", "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", program, *given], cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"cannot write {out}" in done.stderr
    assert {path.name: path.read_bytes() for path in graph.parent.iterdir()} == before


def test_the_module_is_a_command(graph: Path, root: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "export.engine"]
    helped = subprocess.run([*command, "--help"], cwd=root, capture_output=True, text=True, env=environment)
    assert helped.returncode == 0
    assert "--backend tensorrt-rtx" in helped.stdout
    done = subprocess.run(
        [*command, str(graph), "--backend", "nothing", "--out", "x"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "invalid choice: 'nothing'" in done.stderr


def test_frames_for_the_comparison_fit_the_engine(tmp_path: Path) -> None:
    manifest = save(in_precision("adain", "fp32"), tmp_path / "graph.onnx")
    items: list[dict[str, Any]] = list(agreement._items(Draws(manifest)))
    assert len(items) == agreement.FRAMES
    for item in items:
        assert item["frame"].shape == (1, 32, 32, 3)
        assert item["frame"].dtype == np.uint8
        assert item["style"].shape == (1, 8)
    assert len({item["frame"].tobytes() for item in items}) == agreement.FRAMES


def test_a_missing_builder_is_told(graph: Path, root: Path) -> None:
    """A device holds the runtime's few dependencies; building wants two more."""
    program = """
import sys
sys.modules["onnx"] = None  # importing it raises
from export import engine
from runtime.errors import run_command
raise SystemExit(run_command(lambda: engine.main(sys.argv[1:])))
"""
    given = [str(graph), "--backend", "tensorrt", "--out", str(graph.with_name("x.plan"))]
    done = subprocess.run([sys.executable, "-c", program, *given], cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert "this build needs 'onnx', which is not installed: pip install onnx tqdm" in done.stderr


def test_without_its_manifest_a_graph_is_refused(graph: Path) -> None:
    manifest_path(graph).unlink()
    with pytest.raises(ManifestError, match="has no manifest"):
        engine.main([str(graph), "--backend", "openvino", "--out", str(graph.with_name("x.onnx"))])


def test_int8_in_name_only_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    source = tmp_path / "graph.onnx"
    manifest = save(in_precision("plain_conv", "fp32"), source, "int8")
    write_manifest(manifest, source)
    with pytest.raises(EngineError, match="no QuantizeLinear"):
        engine.main([str(source), "--backend", "tensorrt-rtx", "--out", str(tmp_path / "x.plan")])
