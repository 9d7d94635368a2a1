"""What a generator gave in training, rounded, its INT8 engine gives: within two levels, in both CPU backends."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

from calibration import quantize
from calibration.wiring import Wiring
from export import engine as build
from export import onnx as export
from export.frame_graph import FrameGraph
from models.checkpoint import load_system, save_checkpoint
from models.compress.last_phase import LastPhase, round_as_trained
from models.compress.placement import Placement
from models.compress.qat import OBSERVED
from models.registry import build_system
from models.system import Clock
from runtime.engine import infer, open_engine
from runtime.errors import EngineError

SIZE = 48
LOOSE = ("--mean-psnr", "1", "--worst-psnr", "1", "--largest-bias", "255")  # random weights: the gate is not the point


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for k in range(40):
        coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{k:02}.png"), cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path, pictures: Path) -> Callable[..., Path]:
    """`checkpoint(qat_ends, **settings)`: a Pix2Pix generator off its neutral start that has observed its ranges."""

    def make(placement: Placement, **settings: Any) -> Path:
        torch.manual_seed(0)
        system = build_system("pix2pix", {"width": 16, "critic_width": 4, "critic_field": 1} | settings)
        generator = system.deployables()["generator"].module
        for name, tensor in (*generator.named_parameters(), *generator.named_buffers()):
            if name.endswith("running_var"):
                torch.nn.init.uniform_(tensor, 0.5, 2.0)
            elif tensor.dtype == torch.float32 and tensor.ndim != 4:
                torch.nn.init.normal_(tensor, 1.0 if "weight" in name else 0.0, 0.2)
        phase = LastPhase(system, 0.5, placement, SIZE)
        phase.begin(Clock(1, 1.0, 1.0))
        for k in range(OBSERVED):
            generator.train()(_image(pictures / f"{k:02}.png"))
        path = tmp_path / "checkpoint.safetensors"
        save_checkpoint(path, system, "pix2pix", 1.0, dict(system.state_dict()))
        return path

    return make


def _image(path: Path) -> torch.Tensor:
    pixels = cv2.imread(str(path))[:, :, ::-1].astype(np.float32) / 127.5 - 1
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


def int8_engine(checkpoint: Path, pictures: Path, *arguments: str) -> Path:
    graph, out = checkpoint.with_name("graph.onnx"), checkpoint.with_name("int8.onnx")
    export.main([str(checkpoint), "--size", f"{SIZE}x{SIZE}", "--out", str(graph), "--json"])
    counts = ("--calibration-frames", "16", "--gate-frames", "4")
    given = [str(graph), "--frames", str(pictures), "--precision", "int8", "--out", str(out), "--quiet", "--json"]
    quantize.main([*given, *counts, *LOOSE, *arguments])
    return out


def differences(engine_path: Path, backend: str, checkpoint: Path, pictures: Path) -> np.ndarray:
    system, info = load_system(checkpoint)
    part = system.deployables()["generator"]
    frames = [cv2.imread(str(path))[None] for path in sorted(pictures.glob("*.png"))[-6:]]
    round_as_trained(part, info.ranges["generator"], SIZE)
    graph = FrameGraph.around(part)
    with closing(open_engine(engine_path, backend)) as engine, torch.no_grad():
        pairs = [
            (graph(torch.from_numpy(frame))[0].numpy(), infer(engine, {"frame": frame})["translated"].copy())
            for frame in frames
        ]
    return np.array([np.abs(mine.astype(int) - theirs) for mine, theirs in pairs])


KINDS: dict[str, tuple[Placement, dict[str, Any]]] = {
    "plain": (Placement(), {"generator": "compact", "norm": "none", "blocks": 2}),
    "deep": (Placement(), {"generator": "compact", "norm": "none", "blocks": 2, "deep_blocks": 1, "deep_width": 24}),
    "batch norm": (Placement(), {"generator": "compact", "norm": "batch", "blocks": 2}),
    "instance norm": (Placement(), {"generator": "compact", "norm": "instance", "blocks": 2}),
    "8 bits and ends": (Placement(ends=True, weight_bits=8), {"generator": "compact", "norm": "none", "blocks": 2}),
    "ResNet": (Placement(transposed=True), {"generator": "resnet6", "norm": "batch", "width": 8}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_gives_what_training_saw(kind: str, checkpoint: Callable[..., Path], pictures: Path) -> None:
    placement, settings = KINDS[kind]
    path = checkpoint(placement, **settings)
    made = int8_engine(path, pictures, "--scales", "trained")
    portable = made.with_name("ort.onnx")
    build.main([str(made), "--backend", "onnxruntime", "--out", str(portable), "--json"])
    for engine, backend in ((made, "openvino"), (portable, "onnxruntime")):
        if placement.weight_bits == 8 and backend == "openvino":
            continue  # its AVX2 kernels may saturate on 8-bit weights
        found = differences(engine, backend, path, pictures)
        assert found.max() <= 2, backend
        assert found.mean() < 0.4


def test_the_ranges_of_training_stand_in_the_graph_and_its_policy_wins(
    checkpoint: Callable[..., Path], pictures: Path
) -> None:
    path = checkpoint(Placement(weight_bits=8), **KINDS["plain"][1])
    made = int8_engine(path, pictures, "--weight-bits", "7")
    manifest = json.loads(made.with_name(made.name + ".json").read_text(encoding="utf-8"))
    assert manifest["decisions"]["calibration_method"] == "trained"
    assert (manifest["decisions"]["weight_bits"], manifest["decisions"]["bias_correction"]) == ("8", "off")
    wiring = Wiring(onnx.load(made))
    scales = [float(wiring.array(n.input[1])) for n in wiring.nodes.values() if n.op_type == "QuantizeLinear"]
    trained = load_system(path)[1].ranges["generator"].ranges
    np.testing.assert_allclose(sorted(scales), sorted(np.array(trained) / 127), rtol=1e-6)
    measured = int8_engine(path, pictures, "--scales", "measured")
    manifest = json.loads(measured.with_name(measured.name + ".json").read_text(encoding="utf-8"))
    assert manifest["decisions"]["calibration_method"] == "mse"


def test_a_graph_of_plain_training_has_no_ranges_to_take(tmp_path: Path, pictures: Path) -> None:
    system = build_system("pix2pix", {"generator": "compact", "width": 4, "blocks": 1, "critic_width": 4})
    save_checkpoint(tmp_path / "checkpoint.safetensors", system, "pix2pix", 0.0, dict(system.state_dict()))
    with pytest.raises(EngineError, match="carries no trained ranges"):
        int8_engine(tmp_path / "checkpoint.safetensors", pictures, "--scales", "trained")
