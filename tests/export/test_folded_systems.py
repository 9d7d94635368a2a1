"""What the graphs of systems must not hold, though their networks do (specification 0.2, HA3, HA5, HA7, H10)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

from export.graph import export_graph
from export.source import Trained
from models.checkpoint import save_checkpoint, shipped_weights
from models.registry import build_system, system_class
from models.system import System

Small = Callable[[str], dict[str, Any]]


@pytest.fixture
def saved(tmp_path: Path, small: Small) -> Callable[[str], tuple[System, Trained, int]]:
    """System name → the tiny system, as loaded from its checkpoint for export, and a side it takes."""

    def save(name: str) -> tuple[System, Trained, int]:
        torch.manual_seed(0)
        fields = {field.name for field in dataclasses.fields(system_class(name).config)}
        system = build_system(name, {key: value for key, value in small(name).items() if key in fields})
        with torch.no_grad():  # away from the start, where the attention is the identity and norms are plain
            for parameter in system.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        path = tmp_path / "checkpoint.safetensors"
        save_checkpoint(path, system, name, 1.0, shipped_weights(system))
        return system, Trained.load(path), small(name).get("size", 32)

    return save


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_nice_gan_exports_without_attention_and_without_hand_made_norms(
    saved: Callable[[str], tuple[System, Trained, int]], tmp_path: Path
) -> None:
    """The attention and spectral norm are in the convolutions, AdaLIN is two instance norms (HA3, HA5)."""
    system, trained, size = saved("nice_gan")
    export_graph(trained.source("ab", (size, size), 8), tmp_path / "ab.onnx")
    found = operators(tmp_path / "ab.onnx")
    norms = sum(type(module).__name__ == "SoftmaxMix" for module in system.generator_b.modules())  # type: ignore[union-attr]
    assert found["InstanceNormalization"] == 2 * norms
    assert found["ReduceMean"] + found["GlobalAveragePool"] == 1  # of the light form's γ and β
    for absent in ("Sqrt", "Shape", "MatMul", "Div", "GlobalMaxPool", "ReduceMax", "Concat", "Expand"):
        assert absent not in found, absent


def test_stargan_v2_exports_without_an_index(
    saved: Callable[[str], tuple[System, Trained, int]], tmp_path: Path
) -> None:
    _, trained, size = saved("stargan_v2")
    for part, shape in (("style_encoder", (size, size)), ("mapping", None)):
        export_graph(trained.source(part, shape, 8), tmp_path / f"{part}.onnx")
        assert not {"Gather", "GatherND", "GatherElements"} & set(operators(tmp_path / f"{part}.onnx"))


def test_ugatit_exports_without_attention_and_without_hand_made_norms(
    saved: Callable[[str], tuple[System, Trained, int]], tmp_path: Path
) -> None:
    """The attention is one 1×1 convolution, AdaLIN is two instance norms."""
    system, trained, size = saved("ugatit")
    export_graph(trained.source("ab", (size, size), 8), tmp_path / "ab.onnx")
    found = operators(tmp_path / "ab.onnx")
    names = Counter(type(module).__name__ for module in system.generator_ab.modules())  # type: ignore[union-attr]
    assert found["InstanceNormalization"] == names["InstanceNorm2d"] + 2 * names["RhoMix"]
    assert found["Conv"] == names["Conv2d"], "one of them is the attention's"
    assert found["ReduceMean"] + found["GlobalAveragePool"] == 1
    for absent in ("Sqrt", "Shape", "GlobalMaxPool", "ReduceMax", "Concat", "Div"):
        assert absent not in found, absent


def test_sincut_exports_without_demodulation(
    saved: Callable[[str], tuple[System, Trained, int]], tmp_path: Path
) -> None:
    _, trained, _ = saved("sincut")
    export_graph(trained.source("generator", (32, 48), 8), tmp_path / "g.onnx")
    found = operators(tmp_path / "g.onnx")
    assert found["ConvTranspose"] == 1
    for absent in ("Pow", "ReduceSum", "ReduceSumSquare", "Sqrt", "Reciprocal"):
        assert absent not in found, absent


def test_pix2pix_exports_without_batch_norm(
    saved: Callable[[str], tuple[System, Trained, int]], tmp_path: Path
) -> None:
    """Also behind transposed convolutions, where the exporter leaves it."""
    _, trained, _ = saved("pix2pix")
    export_graph(trained.source("generator", (128, 128), 8), tmp_path / "g.onnx")
    found = operators(tmp_path / "g.onnx")
    assert (found["Conv"], found["ConvTranspose"]) == (7, 7)
    assert not {"BatchNormalization", "Pad", "Dropout"} & set(found)


def test_tuigans_pyramid_is_one_graph_of_convolutions_and_constant_products(
    saved: Callable[[str], tuple[System, Trained, int]], tmp_path: Path
) -> None:
    system, trained, _ = saved("tuigan")
    export_graph(trained.source("ab", (36, 64), 8), tmp_path / "ab.onnx")
    found, scales = operators(tmp_path / "ab.onnx"), len(system.ab.stages)  # type: ignore[arg-type, union-attr]
    assert found["Conv"] == (system.cfg.blocks + 2) * scales + 2 * (scales - 1)
    assert found["MatMul"] == 2 * 2 * (scales - 1), "the image down, the coarser output up, by rows and by columns"
    assert not {"Resize", "BatchNormalization", "Slice", "Pad", "Where"} & set(found)


def test_diats_mask_and_switch_are_plain_operators(
    saved: Callable[[str], tuple[System, Trained, int]], tmp_path: Path
) -> None:
    _, trained, size = saved("diat")
    graphs = {name: tmp_path / f"{name}.onnx" for name in ("generator", "enhanced")}
    for name, path in graphs.items():
        export_graph(trained.source(name, (size, size), 8), path)
    found = operators(graphs["generator"])
    assert found["DepthToSpace"] == 5
    shuffles = [node for node in onnx.load(graphs["generator"]).graph.node if node.op_type == "DepthToSpace"]
    assert {item.s for node in shuffles for item in node.attribute if item.name == "mode"} == {b"CRD"}
    assert (found["Greater"], found["Resize"]) == (1, 1)
    frame = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    plain = InferenceSession(graphs["generator"]).run(None, {"frame": frame})[0]
    switched = InferenceSession(graphs["enhanced"])
    off, on = (switched.run(None, {"frame": frame, "enhance": np.full((1, 1), s, np.float32)})[0] for s in (0, 1))
    assert np.array_equal(off, plain)
    assert not np.array_equal(on, off)
