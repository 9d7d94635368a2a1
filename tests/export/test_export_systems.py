"""Every part of every system of the registry becomes a frame graph that equals it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from calibration import fp16
from calibration.wiring import prepared
from export.graph import export_graph
from export.source import Trained
from models.checkpoint import save_checkpoint, shipped_weights
from models.registry import SYSTEMS, build_system, system_class
from models.system import System
from runtime.manifest import read_manifest, write_manifest

Small = Callable[[str], dict[str, Any]]
CLUTTER = {"Shape", "Where", "Equal", "ConstantOfShape", "Constant", "Identity", "BatchNormalization"}


# A batch norm behind a reshaped linear layer has no convolution to be folded into.
LEFT = {"lsgan": {"BatchNormalization"}}

SPREADS = {"transgaga"}  # vectors over the pixels, though nobody gives it one


@dataclass(frozen=True)
class Exported:
    """A tiny system of the registry, and the graphs of its parts."""

    name: str
    trained: Trained
    graphs: dict[str, Path]


@pytest.fixture(scope="module", params=SYSTEMS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, small: Small) -> Exported:
    name, folder = str(request.param), tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    fields = {field.name for field in dataclasses.fields(system_class(name).config)}
    system = build_system(name, {key: value for key, value in small(name).items() if key in fields})
    liven(system)
    save_checkpoint(folder / "checkpoint.safetensors", system, name, 0.0, shipped_weights(system))
    trained = Trained.load(folder / "checkpoint.safetensors")
    graphs = {part: folder / f"{part}.onnx" for part in unlike(trained)}
    for part, graph in graphs.items():
        manifest = export_graph(trained.source(part, size_of(trained, part)), graph)  # GateError beyond one level
        assert write_manifest(manifest, graph).is_file()
    return Exported(name, trained, graphs)


def unlike(trained: Trained) -> list[str]:
    """The parts without those that differ from another in their weights alone, such as the way back."""
    kinds: dict[str, str] = {}
    for name in trained.info.parts:
        part = trained.part(name)
        controls = [(control.kind, control.shape, control.names) for control in part.controls]
        kinds.setdefault(f"{part.module} {controls} {part.returns}", name)
    return list(kinds.values())


def liven(system: System) -> None:
    """Biases, norms and running statistics off their neutral values: a mistake in folding them must show."""
    for name, tensor in system.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            tensor.normal_(std=0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)


def size_of(trained: Trained, part: str) -> tuple[int, int]:
    side = max(32, trained.part(part).multiple)
    return trained.part(part).fixed_size or (side, side)


def test_every_part_exports_and_equals_its_module(exported: Exported) -> None:
    for part, graph in exported.graphs.items():
        kinds = {node.op_type for node in onnx.load(graph).graph.node}
        assert not kinds & (CLUTTER - LEFT.get(exported.name, set())), part
        assert "Expand" not in kinds or read_manifest(graph).controls or exported.name in SPREADS, part
        assert not {kind for kind in kinds if kind.startswith("Random")}


def test_the_first_part_in_fp16_and_all_that_computes_styles_in_fp32_compile_for_every_gpu(exported: Exported) -> None:
    """As they ship: calibration casts an engine, and leaves its companions as they are."""
    pytest.importorskip("tensorrt_rtx_bindings")
    from export.tensorrt import RTX_TARGETS, PlanSpec, build_plan

    path = exported.graphs[exported.trained.info.parts[0]]
    graph = prepared(onnx.load(path))
    half = path.with_name("half.onnx")
    onnx.save(fp16.cast_nodes(graph, fp16.layers(graph)), half)
    styles = [graph for part, graph in exported.graphs.items() if exported.trained.part(part).returns == ("style",)]
    for file, precision in ((half, "fp16"), *((style, "fp32") for style in styles)):
        built = build_plan(file, precision, PlanSpec(backend="tensorrt-rtx"))
        assert built.targets == RTX_TARGETS, file.name
        assert built.plan


def test_style_encoder_and_mapping_are_written_beside_their_generator(
    tmp_path: Path, write_checkpoint: Callable[..., Path]
) -> None:
    from export.onnx import main
    from runtime.manifest import verify_engine

    checkpoint = write_checkpoint("stargan_v2")
    assert main([str(checkpoint), "--size", "32x32", "--out", str(tmp_path / "x.onnx")]) == 0
    manifest = verify_engine(tmp_path / "x.onnx")  # and its companions
    assert manifest.companions == {"style_encoder": "x_style_encoder.onnx", "mapping": "x_mapping.onnx"}


@pytest.fixture
def write_checkpoint(tmp_path: Path, small: Small) -> Callable[[str], Path]:
    """System name → a small checkpoint of it."""

    def write(name: str) -> Path:
        system = build_system(name, small(name))
        save_checkpoint(tmp_path / "c.safetensors", system, name, 0.0, shipped_weights(system))
        return tmp_path / "c.safetensors"

    return write
