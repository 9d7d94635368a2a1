"""What the graphs of NICE-GAN and StarGAN v2 must not hold (specification HA3, HA5, H10)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from export.onnx import export_graph
from export.source import Trained
from models.checkpoint import save_checkpoint, shipped_weights
from models.registry import build_system
from models.system import System

Small = Callable[[str], dict[str, Any]]


@pytest.fixture
def saved(tmp_path: Path, small: Small) -> Callable[[str], tuple[System, Trained, int]]:
    """System name → the tiny system, as loaded from its checkpoint for export, and a side it takes."""

    def save(name: str) -> tuple[System, Trained, int]:
        torch.manual_seed(0)
        system = build_system(name, small(name))
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
