"""TransGaGa's checkable properties: landmarks and their heat-maps, shape spaces, stages, and what stays fp32."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.augment.warps import random_warp
from models.blocks.init import init_kaiming
from models.blocks.landmarks import rendered, soft_argmax
from models.checkpoint import save_checkpoint, shipped_weights
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.landmarks import concentration, gram, separation
from models.networks.shape_space import LIMIT, ShapeSpace, SummedLinear
from models.registry import build_system
from models.system import Clock
from models.systems.transgaga import Coder, TransGaGa, Translate
from models.trainer import Trainer

Tiny = Callable[..., tuple[TransGaGa, TwoImages]]


def coder_of(system: TransGaGa, name: str) -> Coder:
    coder = system.coders[name]
    assert isinstance(coder, Coder)
    return coder


def test_soft_argmax_finds_a_peak_between_pixels_and_its_variance() -> None:
    x = torch.linspace(-1, 1, 65)
    at, sigma = (0.217, -0.431), 0.1
    logits = -((x[None, :] - at[0]) ** 2 + (x[:, None] - at[1]) ** 2) / (2 * sigma**2)
    positions, variance = soft_argmax(logits[None, None])
    torch.testing.assert_close(positions[0, 0], torch.tensor(at), rtol=0, atol=1e-4)
    assert variance.item() == pytest.approx(2 * sigma**2, rel=1e-2)


def test_heat_maps_are_thirty_single_gaussians_and_soft_argmax_reads_them_back() -> None:
    torch.manual_seed(0)
    positions = torch.rand(2, 30, 2) * 1.2 - 0.6
    maps = rendered(positions, (48, 64), 0.08)
    assert maps.shape == (2, 30, 48, 64)
    assert maps.max() <= 1
    peak = maps.flatten(2).argmax(dim=2)
    found = torch.stack([(peak % 64) / 63 * 2 - 1, (peak // 64) / 47 * 2 - 1], dim=2)
    torch.testing.assert_close(found, positions, rtol=0, atol=1 / 47 + 1e-6)
    # One peak: rows and columns of the map rise to it and fall behind it.
    steps = maps[0, 0].sum(dim=0).diff().sign()
    assert (steps[steps != 0].diff() != 0).sum() == 1
    again, _ = soft_argmax(maps.clamp(min=1e-30).log())
    torch.testing.assert_close(again, positions, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_landmarks_are_of_full_precision_whatever_the_network_runs_in(dtype: torch.dtype) -> None:
    logits = torch.randn(1, 3, 16, 16).to(dtype)
    positions, variances = soft_argmax(logits)
    assert positions.dtype == variances.dtype == torch.float32
    assert rendered(positions.to(dtype), (8, 8), 0.1).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(soft_argmax(logits)[0], positions)


def test_the_prior_by_hand() -> None:
    positions = torch.tensor([[[0.0, 0.0], [0.3, 0.4]]])
    assert separation(positions, 0.5).item() == pytest.approx(math.exp(-0.25 / 0.5))
    assert separation(torch.zeros(1, 5, 2), 0.1).item() == pytest.approx(1.0)
    assert concentration(torch.tensor([[1.0, 3.0]])).item() == 2
    image = torch.rand(1, 2, 5, 6)
    here = image[0, :, :-1, :-1]
    right, below = image[0, :, :-1, 1:] - here, image[0, :, 1:, :-1] - here
    features = torch.cat([here, right, below]).reshape(6, -1)
    torch.testing.assert_close(gram(image)[0], features @ features.T / 20)


def test_a_warp_says_where_its_pixels_come_from() -> None:
    torch.manual_seed(0)
    at = torch.rand(4, 1, 2) * 0.6 - 0.3
    spots = rendered(at, (97, 97), 0.06)
    warp = random_warp(spots)
    seen, _ = soft_argmax((20 * warp.image(spots)).clamp(min=1e-6).log() * 4)
    assert (seen - at).abs().max() > 0.05
    torch.testing.assert_close(warp.origin(seen), at, rtol=0, atol=0.02)
    still = random_warp(spots, strength=0.0)
    torch.testing.assert_close(still.image(spots), spots, rtol=0, atol=1e-5)


def test_the_shape_space_is_principal_components() -> None:
    random = np.random.default_rng(0)
    mixing, mean = random.normal(size=(3, 8)) * [[1.0], [0.5], [0.2]], random.normal(size=8)
    shapes = (random.normal(size=(500, 3)) @ mixing + mean).astype(np.float32)
    space = ShapeSpace(4, 3)
    positions = torch.from_numpy(shapes).view(500, 4, 2)
    adam = torch.optim.SGD(space.parameters(), 0.05)
    for _ in range(200):
        adam.zero_grad()
        space.loss(positions).backward()
        adam.step()
    space.fit()
    _, values, axes = np.linalg.svd(shapes - shapes.mean(axis=0), full_matrices=False)
    torch.testing.assert_close(space.spread, torch.from_numpy(values[:3] / math.sqrt(500)), rtol=2e-2, atol=0)
    aligned = (space.basis.numpy() * axes[:3]).sum(axis=1)
    np.testing.assert_allclose(np.abs(aligned), 1, atol=1e-2)
    codes = space.encode(positions)
    torch.testing.assert_close(codes.std(dim=0), torch.ones(3), rtol=2e-2, atol=0)
    usual = codes.abs().amax(dim=1) < LIMIT
    assert 0.97 < usual.float().mean() < 1
    torch.testing.assert_close(space.decode(codes)[usual], positions[usual], rtol=0, atol=1e-2)
    torch.testing.assert_close(space.encode(space.decode(50 * codes)), (50 * codes).clamp(-LIMIT, LIMIT))


def test_a_summed_linear_layer_is_a_linear_layer() -> None:
    layer, x = SummedLinear(5, 3), torch.randn(4, 5)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))


def test_stages_follow_each_other(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("transgaga", total_kimg=0.02, stages=[0.2, 0.4, 0.7])
    names = [sorted({key.partition("/")[0] for key in trainer.train_step(b)}) for b in trainer.batches()]
    assert names == [["A"]] * 2 + [["P"]] * 2 + [["D", "T"]] * 3 + [["D", "J"]] * 3
    phases = {phase.name: phase.updates for phase in trainer.phases}
    system = trainer.system
    assert isinstance(system, TransGaGa)
    assert phases["T"] == (system.shapes, system.looks)


def test_landmarks_learn_to_move_with_a_warp_and_not_with_colour(tiny_system: Tiny) -> None:
    system, batch = tiny_system("transgaga", width=8, batch=4)
    coder = coder_of(system, "a")
    adam = torch.optim.Adam(coder.parameters(), 3e-3)
    torch.manual_seed(0)

    def equivariance() -> float:
        with torch.no_grad():
            torch.manual_seed(9)
            return float(np.mean([system.auto_encoder_losses(coder, batch.a)["equivariance"] for _ in range(5)]))

    before = equivariance()
    for _ in range(25):
        adam.zero_grad()
        torch.stack(list(system.auto_encoder_losses(coder, batch.a).values())).sum().backward()
        adam.step()
    assert equivariance() < 0.7 * before


def test_an_exemplar_changes_the_texture_and_no_landmark(tiny_system: Tiny) -> None:
    system, batch = tiny_system("transgaga")
    part = system.deployables()["ab_styled"].module
    assert isinstance(part, Translate)
    maps: list[Tensor] = []
    part.geometry.register_forward_pre_hook(lambda _, given: maps.append(given[0]))
    read = system.deployables()["appearance_b"].module
    with torch.no_grad():
        for network in (part.decoder, read):
            init_kaiming(network)  # as strong as a trained one, which a new one is not
        first, second = (part(batch.a, read(image)) for image in (batch.b, 1 - batch.b))
    assert (first - second).abs().max() > 1e-3
    assert torch.equal(maps[0], maps[1])


def test_what_ships_is_what_trains(tiny_system: Tiny) -> None:
    system, batch = tiny_system("transgaga")
    system.eval()
    with torch.no_grad():
        wanted = system.moved("ab", system.codes("a", batch.a), batch.a)[2]
        torch.testing.assert_close(system.deployables()["ab"].module(batch.a), wanted)
        look = system.looks["ab"](system.codes("a", batch.a)[1])
        torch.testing.assert_close(system.deployables()["ab_styled"].module(batch.a, look), wanted)
        positions = system.deployables()["landmarks_a"].module(batch.a)
    torch.testing.assert_close(positions, coder_of(system, "a").positions(batch.a))


def test_losses_of_perfect_coders_are_zero(tiny_system: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    system, batch = tiny_system("transgaga")
    monkeypatch.setattr(system, "moved", lambda way, codes, like: (codes[0], codes[1], like))
    for way in ("ab", "ba"):
        system.looks[way] = nn.Identity()
    losses = system.t_losses(batch, Clock())
    assert {name for name, loss in losses.items() if not loss} == {
        f"{name}_{way}" for name in ("cycle", "look_cycle", "style") for way in ("ab", "ba")
    }


def test_coordinates_stay_fp32_in_an_fp16_graph(tiny_system: Tiny, tmp_path: Path) -> None:
    from calibration.fp16 import cast_nodes, safe_nodes
    from calibration.wiring import prepared
    from export.graph import export_graph
    from export.source import Trained

    system, _ = tiny_system("transgaga")
    save_checkpoint(tmp_path / "c.safetensors", system, "transgaga", 0.0, shipped_weights(system))
    source = Trained.load(tmp_path / "c.safetensors").source("ab", (32, 32))
    export_graph(source, tmp_path / "g.onnx")
    graph = prepared(onnx.load(tmp_path / "g.onnx"))
    inside = [node.name for node in graph.graph.node if "fp32" in node.name.split(".")]
    kinds = {node.op_type for node in graph.graph.node if node.name in inside}
    assert {"Softmax", "Exp", "Mul", "ReduceSum"} <= kinds
    assert not {"Gemm", "MatMul"} & kinds  # which no Turing GPU has in full precision
    chosen = safe_nodes(graph, {})
    assert chosen
    assert not set(chosen) & set(inside)
    lowered = cast_nodes(graph, chosen)
    names = {node.name for node in lowered.graph.node if any(out.endswith("_fp16") for out in node.output)}
    assert not names & set(inside)


def test_settings_that_do_not_fit_are_told() -> None:
    wrong: list[dict[str, Any]] = [{"stages": (0.5, 0.8)}, {"stages": (0.9, 0.5, 1.0)}, {"components": 61}]
    for settings in wrong:
        with pytest.raises(ConfigError, match="three rising shares of training, and components"):
            build_system("transgaga", settings)


def test_a_reconstruction_from_its_own_codes_is_learnt(tiny_system: Tiny) -> None:
    system, batch = tiny_system("transgaga", width=8)
    coder = coder_of(system, "a")
    adam = torch.optim.Adam(coder.parameters(), 3e-3)

    def loss() -> Tensor:
        return F.l1_loss(coder.draw(coder.positions(batch.a), coder.appearance(batch.a)[0], batch.a), batch.a)

    before = loss().item()
    for _ in range(20):
        adam.zero_grad()
        loss().backward()
        adam.step()
    assert loss().item() < 0.8 * before


def test_heat_maps_begin_sharp_so_that_landmarks_do_not_begin_in_the_middle(tiny_system: Tiny) -> None:
    flat, batch = tiny_system("transgaga", sharpness=1.0)
    sharp, _ = tiny_system("transgaga", sharpness=8.0)
    spreads = {}
    for name, system in (("flat", flat), ("sharp", sharp)):
        with torch.no_grad():
            positions, variances = soft_argmax(coder_of(system, "a").landmarks(batch.a))
        spreads[name] = float(variances.mean()), float(positions.norm(dim=2).mean())
    assert spreads["sharp"][0] < 0.8 * spreads["flat"][0]
    assert spreads["sharp"][1] > 1.5 * spreads["flat"][1]
