"""`python -m export.onnx` on checkpoints: what it writes, and what it refuses in one sentence, leaving nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from export.onnx import main
from models.checkpoint import save_checkpoint, shipped_weights
from models.registry import build_system
from runtime.engine import infer, open_engine
from runtime.errors import GateError, run_command
from runtime.images import write_image
from runtime.manifest import verify_engine

Run = Callable[..., tuple[int, str]]
COMPACT = {"generator": "compact", "width": 8, "blocks": 1}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small CycleGAN with random weights, in a folder of its own."""
    torch.manual_seed(0)
    system = build_system("cyclegan", COMPACT)
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.parent.mkdir()
    save_checkpoint(path, system, "cyclegan", 0.0, shipped_weights(system))
    return path


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Arguments → exit code and what stood on stderr; `--out` is added."""

    def command(*arguments: object) -> tuple[int, str]:
        given = [str(argument) for argument in (*arguments, "--out", tmp_path / "x.onnx")]
        return run_command(lambda: main(given)), capsys.readouterr().err

    return command


def test_the_graph_its_manifest_and_what_it_says(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "line 3"
    frames.mkdir()
    random = np.random.default_rng(0)
    for k in range(3):
        write_image(frames / f"{k}.png", random.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    out = tmp_path / "x.onnx"
    options = ["--size", "24x32", "--frames", str(frames), "--licence", "CC0", "--json", "--out", str(out)]
    assert main([str(checkpoint), *options]) == 0
    facts = json.loads(capsys.readouterr().out)
    manifest = verify_engine(out)
    assert facts["sha256"] == manifest.sha256["engine"]
    assert manifest.frame is not None
    assert manifest.frame.shape == manifest.translated[0].shape == (24, 32, 3)
    assert (manifest.system, manifest.backend, manifest.precision) == ("cyclegan", "onnx", "fp32")
    assert manifest.licence == "CC0"
    assert manifest.parity["frames"] == "3 frames of line 3"
    assert manifest.parity["max_level"] <= 1
    assert manifest.command.startswith("python -m export.onnx ")
    assert facts["macs"]["exact"] == manifest.macs > 0
    assert str(tmp_path).encode() not in out.read_bytes()


def test_the_graph_is_clean_and_runs_alike_in_every_backend(checkpoint: Path, run: Run, tmp_path: Path) -> None:
    assert run(checkpoint, "--size", "24x32")[0] == 0
    graph = onnx.load(tmp_path / "x.onnx")
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds[:2] == ["Cast", "Transpose"]  # TensorRT transposes no integers
    assert not {"Shape", "Where", "Expand", "Gather", "Constant", "Identity"} & set(kinds)
    assert {"stem.0.Conv", "head.0.Conv"} <= {node.name for node in graph.graph.node}
    frame = np.random.default_rng(0).integers(0, 256, (1, 24, 32, 3), dtype=np.uint8)
    results = []
    for backend in ("onnxruntime", "openvino"):
        engine = open_engine(tmp_path / "x.onnx", backend)
        results.append(infer(engine, {"frame": frame})["translated"].astype(int))
        engine.close()
    assert np.abs(results[0] - results[1]).max() <= 1


def test_sixteen_bit_frames(checkpoint: Path, run: Run, tmp_path: Path) -> None:
    assert run(checkpoint, "--size", "24x32", "--bits", 16)[0] == 0
    manifest = verify_engine(tmp_path / "x.onnx")
    assert manifest.translated[0].dtype == "uint16"
    assert manifest.parity["max_level"] <= 1


def test_a_truncated_checkpoint(checkpoint: Path, run: Run) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    assert_refused(run(checkpoint, "--size", "24x32"), "checkpoint.safetensors", checkpoint)


def test_a_missing_checkpoint(checkpoint: Path, run: Run) -> None:
    assert_refused(run(checkpoint.with_name("absent"), "--size", "24x32"), "absent", checkpoint)


def test_nan_in_a_checkpoint(checkpoint: Path, run: Run) -> None:
    rewrite(checkpoint, lambda name, tensor: tensor * torch.nan if name.endswith("weight") else tensor)
    assert_refused(run(checkpoint, "--size", "24x32"), "NaN", checkpoint)


def test_weights_of_another_system(checkpoint: Path, run: Run) -> None:
    rewrite(checkpoint, lambda name, tensor: tensor, system="wgan_gp", config="{}", parts='["generator"]')
    assert_refused(run(checkpoint, "--size", "24x32"), "wgan_gp", checkpoint)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", "26x32"], "cannot take 26x32 images: height and width must be multiples of 4"),
        (["--size", "0x32"], "write height x width"),
        ([], "state one with --size HxW"),
        (["--size", "24x32", "--part", "bc"], "no part 'bc'"),
        (["--size", "24x32", "--from-onnx", "g.onnx"], "name one thing to export"),
        (["--size", "24x32", "--frames", "absent"], "no folder absent"),
    ],
)
def test_options_that_do_not_fit(checkpoint: Path, run: Run, options: list[str], sentence: str) -> None:
    assert_refused(run(checkpoint, *options), sentence, checkpoint)


def test_a_folder_that_does_not_exist(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(checkpoint), "--size", "24x32", "--out", str(tmp_path / "absent" / "x.onnx")]
    assert run_command(lambda: main(arguments)) == 2
    assert "make it first" in capsys.readouterr().err


def test_a_graph_that_is_not_the_network_is_not_written(
    checkpoint: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def damage(model: onnx.ModelProto) -> onnx.ModelProto:
        for tensor in model.graph.initializer:
            if tensor.name == "to_frame.white":
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(100, np.float32), tensor.name))
        return model

    monkeypatch.setattr("export.graph.fold_affine", damage)
    code, sentence = run(checkpoint, "--size", "24x32")
    assert code == GateError.exit_code
    assert "differs from the trained network" in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def rewrite(checkpoint: Path, change: Callable[[str, torch.Tensor], torch.Tensor], **says: str) -> None:
    """Change every tensor of a checkpoint, and of what it says about itself only `says`."""
    from safetensors import safe_open

    with safe_open(checkpoint, "pt") as opened:
        metadata = opened.metadata()
    weights = load_file(checkpoint)
    save_file({name: change(name, tensor) for name, tensor in weights.items()}, checkpoint, metadata | says)


def assert_refused(result: tuple[int, str], sentence: str, checkpoint: Path) -> None:
    code, said = result
    assert code == 2
    assert sentence in said
    assert "Traceback" not in said
    assert [path.name for path in checkpoint.parents[1].iterdir()] == [checkpoint.parent.name]
