"""The command: what it writes, what it refuses, and how it repairs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from calibration.quantize import main
from runtime.errors import run_command
from runtime.manifest import Control, file_sha256, verify_engine

Command = Callable[..., int]


@pytest.fixture
def quantize(monkeypatch: pytest.MonkeyPatch, photos: Path, tmp_path: Path) -> Command:
    """`quantize(graph, *options)` → exit code; writes out.onnx."""

    def run(graph: Path, *options: str, frames: Path = photos) -> int:
        arguments = [
            str(graph),
            "--frames",
            str(frames),
            "--out",
            str(tmp_path / "out.onnx"),
            "--quiet",
            "--json",
            "--calibration-frames",
            "16",
            "--gate-frames",
            "6",
            *options,
        ]
        monkeypatch.setattr(sys, "argv", ["quantize", *arguments])
        return run_command(main)

    return run


@pytest.fixture
def outlier(builder: Any) -> ModelProto:
    """A generator whose `guilty` layer takes one channel a thousand times louder than all others together
    need."""
    g, c = builder, 8
    x = g.add("Relu", g.conv(g.picture(), (3, c, 3), 2, "first"))
    x = g.add("Relu", g.conv(x, (c, c, 3), 1, "innocent"))
    loud = np.ones((1, c, 1, 1))
    loud[0, 0] = 3000
    x = g.add("Relu", g.conv(g.add("Mul", x, g.constant(loud)), (c, c, 3), 1, "guilty"))
    weight = next(t for t in g.constants if t.name == g.nodes[-2].input[1])
    values = numpy_helper.to_array(weight).copy()
    values[:, 0] /= 3000
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    x = g.add("Relu", g.conv(x, (c, c, 3), 1, "bystander"))
    x = g.add("DepthToSpace", g.conv(x, (c, 12, 3), 1, "last"), blocksize=2, mode="CRD")
    return g.finish(g.add("Tanh", x))


def test_a_network_that_shows_one_picture_is_told_of(
    generator: ModelProto, put_graph: Callable[..., Path], quantize: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(put_graph(generator), "--precision", "fp16") == 0
    assert "the same picture" not in capsys.readouterr().err
    stem = next(node for node in generator.graph.node if node.op_type == "Conv").input[1]
    weight = next(tensor for tensor in generator.graph.initializer if tensor.name == stem)
    weight.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(weight), stem))
    assert quantize(put_graph(generator), "--precision", "fp16") == 0
    assert "the same picture whatever it is shown" in capsys.readouterr().err


def test_int8_is_written_with_its_manifest_and_frame_list(
    generator: ModelProto,
    put_graph: Callable[..., Path],
    quantize: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph = put_graph(generator, system="cyclegan")
    assert quantize(graph, "--precision", "int8") == 0
    told = json.loads(capsys.readouterr().out)
    manifest = verify_engine(tmp_path / "out.onnx")
    assert manifest.precision == "int8"
    assert manifest.system == "cyclegan"
    assert manifest.parity == {"largest": 1}
    assert manifest.gate["verdict"] == "passed"
    assert manifest.gate == told["gate"]
    assert manifest.gate["mean_psnr"] >= 38
    assert manifest.sha256["graph"] == file_sha256(graph)
    assert manifest.sha256["checkpoint"] == "c"
    frames = tmp_path / "out.onnx.frames.txt"
    assert manifest.sha256["calibration"] == file_sha256(frames)
    assert len(frames.read_text().splitlines()) == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "graph.onnx",
        "graph.onnx.json",
        "out.onnx",
        "out.onnx.frames.txt",
        "out.onnx.json",
    ]


def test_fp16_is_written(
    generator: ModelProto, put_graph: Callable[..., Path], quantize: Command, tmp_path: Path
) -> None:
    assert quantize(put_graph(generator), "--precision", "fp16") == 0
    manifest = verify_engine(tmp_path / "out.onnx")
    assert manifest.precision == "fp16"
    assert manifest.gate["mean_psnr"] >= 50


def test_every_method_passes_and_auto_names_its_choice(
    generator: ModelProto, put_graph: Callable[..., Path], quantize: Command, tmp_path: Path
) -> None:
    assert (
        quantize(put_graph(generator), "--precision", "int8", "--method", "auto", "--transposed", "int8") == 0
    )
    decisions = verify_engine(tmp_path / "out.onnx").decisions
    assert decisions["calibration_method"] in ("minmax", "percentile", "mse")
    assert decisions["transposed"] == "int8"


def test_a_generator_with_controls_is_calibrated_and_judged(
    builder: Any, put_graph: Callable[..., Path], quantize: Command, tmp_path: Path
) -> None:
    g, style = builder, Control("style", "style", (1, 8, 1, 1), distribution="normal")
    x = g.add("Relu", g.conv(g.picture(), (3, 8, 3), 2, "first"))
    x = g.add("Relu", g.conv(g.add("Mul", x, "style"), (8, 8, 3), 1, "middle"))
    x = g.add("DepthToSpace", g.conv(x, (8, 12, 3), 1, "last"), blocksize=2, mode="CRD")
    graph = put_graph(g.finish(g.add("Tanh", x), (style,)), controls=(style,))
    assert quantize(graph, "--precision", "int8") == 0
    assert verify_engine(tmp_path / "out.onnx").controls == (style,)


def test_a_failing_gate_writes_nothing(
    outlier: ModelProto,
    put_graph: Callable[..., Path],
    quantize: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph = put_graph(outlier)
    before = sorted(tmp_path.iterdir())
    assert quantize(graph, "--precision", "int8", "--method", "minmax") == 1
    assert "int8 is refused and nothing was written: mean PSNR" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_explain_names_the_guilty_layer(
    outlier: ModelProto, put_graph: Callable[..., Path], quantize: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(put_graph(outlier), "--precision", "int8", "--method", "minmax", "--explain") == 1
    told = capsys.readouterr()
    suspects = json.loads(told.out)["suspects"]
    assert suspects[0]["layer"] == "guilty"
    assert suspects[0]["gain_db"] > 6
    assert suspects[0]["share"] > 0.75
    assert "--keep-fp16 guilty" in told.err


@pytest.mark.parametrize("keep", ["auto", "guilty"])
def test_keeping_the_guilty_layer_repairs(
    keep: str, outlier: ModelProto, put_graph: Callable[..., Path], quantize: Command, tmp_path: Path
) -> None:
    assert quantize(put_graph(outlier), "--precision", "int8", "--method", "minmax", "--keep-fp16", keep) == 0
    manifest = verify_engine(tmp_path / "out.onnx")
    assert manifest.decisions["kept_layers"] == "guilty"
    assert manifest.gate["verdict"] == "passed"
    nodes = {node.name: node for node in onnx.load(tmp_path / "out.onnx").graph.node}
    assert nodes["guilty"].input[0].endswith("_fp16")
    assert nodes["innocent"].input[0].endswith("_dq")


def test_a_gate_that_nothing_can_pass_is_refused_after_repair(
    generator: ModelProto,
    put_graph: Callable[..., Path],
    quantize: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        quantize(put_graph(generator), "--precision", "int8", "--keep-fp16", "auto", "--mean-psnr", "101")
        == 1
    )
    assert "use fp16" in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--precision", "int8", "--keep-fp16", "conv_9000"],
            "no layer of this precision is called 'conv_9000'",
        ),
        (["--precision", "fp16", "--keep-fp16", "auto"], "use --keep-fp32"),
        (["--precision", "int8", "--calibration-frames", "8"], "too few to mean anything"),
        (["--precision", "int8", "--out", "/nowhere/x.onnx"], "/nowhere is not a folder"),
        (["--precision", "int8", "--out", "x.plan"], "must end in .onnx"),
    ],
)
def test_bad_options_are_told_in_words(
    options: list[str],
    words: str,
    generator: ModelProto,
    put_graph: Callable[..., Path],
    quantize: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert quantize(put_graph(generator), *options) == 2
    assert words in capsys.readouterr().err


def test_a_quantised_graph_is_not_quantised_again(
    generator: ModelProto,
    put_graph: Callable[..., Path],
    quantize: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert quantize(put_graph(generator, precision="int8"), "--precision", "int8") == 2
    assert "give the fp32 graph" in capsys.readouterr().err


def test_too_few_frames_exit_with_two(
    generator: ModelProto,
    put_graph: Callable[..., Path],
    quantize: Command,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(photos.iterdir())[:5]:
        shutil.copy(path, few)
    assert quantize(put_graph(generator), "--precision", "int8", frames=few) == 2
    assert "5 distinct frames" in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()
