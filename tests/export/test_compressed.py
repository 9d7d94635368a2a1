"""What a compressed student's graph holds: one convolution for its branches, and no channel that was closed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from export.onnx import main
from models.checkpoint import save_checkpoint, shipped_weights
from models.compress.gated import GatedGenerator
from models.registry import build_system
from models.system import System


def exported(system: System, name: str, folder: Path) -> onnx.ModelProto:
    """Through the public command, which compares the graph with the network."""
    torch.manual_seed(0)
    for parameter in system.deployables()["generator"].module.parameters():
        nn.init.normal_(parameter, 0.0, 0.1)
    save_checkpoint(folder / "checkpoint.safetensors", system, name, 1.0, shipped_weights(system))
    assert main([str(folder / "checkpoint.safetensors"), "--size", "32x48", "--out", str(folder / "x.onnx")]) == 0
    return onnx.load(folder / "x.onnx")


def kernels(graph: onnx.ModelProto) -> list[tuple[int, ...]]:
    """Shapes of the convolutions' weights, which must be constants."""
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer}
    return [constants[node.input[1]] for node in graph.graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_branches_are_one_convolution(norm: str, tmp_path: Path) -> None:
    graph = exported(build_system("omgd", {"width": 8, "blocks": 2, "norm": norm}), "omgd", tmp_path)
    assert kernels(graph) == [(8, 3, 4, 4), *[(8, 8, 3, 3)] * 4, (48, 8, 3, 3)]
    assert not {"BatchNormalization", "Gather", "Pad"} & {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize("name", ["gan_compression", "cat", "dmad", "gan_slimming"])
def test_closed_channels_are_not_in_the_graph(name: str, tmp_path: Path) -> None:
    settings = {"width": 16, "blocks": 2, "norm": "batch"} | ({"widths": (8, 16)} if name == "gan_compression" else {})
    system = build_system(name, settings)
    student = system.student
    assert isinstance(student, GatedGenerator)
    masks = [torch.from_numpy((np.arange(16) % 16 < kept).astype(np.float32)) for kept in (16, 8, 12)]
    student.keep(masks)
    graph = exported(system, name, tmp_path)
    assert kernels(graph) == [
        (16, 3, 4, 4), (8, 16, 3, 3), (16, 8, 3, 3), (12, 16, 3, 3), (16, 12, 3, 3), (48, 16, 3, 3),
    ]  # fmt: skip
    assert "Gather" not in {node.op_type for node in graph.graph.node}


def test_the_published_student_exports(tmp_path: Path) -> None:
    system = build_system("omgd", {"generator": "mobile_resnet9", "width": 4, "norm": "instance", "branched": False})
    graph = exported(system, "omgd", tmp_path)
    assert len(kernels(graph)) == 4 + 36  # and two transposed ones
