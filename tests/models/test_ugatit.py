"""U-GAT-IT's checkable properties, its parameter counts, and its export's rewrites against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.adalin import AdaLin, LayerInstanceNorm, RhoMix
from models.blocks.cam import Cam
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.registry import build_system
from models.system import Clock
from models.systems.ugatit import Ugatit, UgatitGenerator, cam_loss
from models.trainer import Trainer, run_phase

CLOCK = Clock()
Tiny = Callable[..., tuple[Ugatit, TwoImages]]


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        light, full = build_system("ugatit"), UgatitGenerator(3, 64, 4, map_size=64 * 64)
    assert count(light.get_submodule("generator_ab")) == pytest.approx(10.59, rel=1e-3)
    assert count(full) == pytest.approx(278.96, rel=1e-3)
    assert count(light.get_submodule("critics_a.0")) == pytest.approx(53.13, rel=1e-3)
    assert count(light.get_submodule("critics_a.1")) == pytest.approx(3.29, rel=1e-3)


def rhos(system: nn.Module, kind: type[nn.Module]) -> list[Tensor]:
    return [layer.mix.rho for layer in system.modules() if isinstance(layer, kind)]  # type: ignore[union-attr, misc]


def test_rho_starts_at_09_in_the_blocks_and_0_in_the_head(tiny_system: Tiny) -> None:
    generator = tiny_system("ugatit", blocks=2)[0].generator_ab
    adaptive, plain = rhos(generator, AdaLin), rhos(generator, LayerInstanceNorm)
    assert (len(adaptive), len(plain)) == (4, 2)
    assert all((rho == 0.9).all() for rho in adaptive)
    assert all((rho == 0).all() for rho in plain)


def test_rho_stays_in_0_to_1_after_every_step_of_the_generators(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("ugatit", lr=0.5)  # one step of Adam moves every rho by about ±0.5
    batch = next(trainer.batches())
    phase = next(phase for phase in trainer.phases if phase.name == "G")
    run_phase(phase, trainer.optimizers, (batch, CLOCK), trainer.fabric, trainer.guard)
    mixes = torch.cat([m.rho for m in trainer.system.modules() if isinstance(m, RhoMix)])
    assert mixes.min() == 0
    assert mixes.max() == 1
    assert ((mixes != 0) & (mixes != 0.9)).any()


def test_there_are_four_critics_a_global_and_a_local_one_for_each_domain(tiny_system: Tiny) -> None:
    system, _ = tiny_system("ugatit")
    critics = [*system.critics_a, *system.critics_b]
    strides = [
        sum(m.stride == (2, 2) for m in critic.modules() if isinstance(m, nn.Conv2d)) for critic in critics
    ]  # fmt: skip
    assert strides == [5, 3, 5, 3]


def test_attention_logits_of_generators_and_critics_enter_the_losses(tiny_system: Tiny) -> None:
    system, batch = tiny_system("ugatit")
    for critic in (*system.critics_a, *system.critics_b):
        assert critic(batch.a)[1].shape == (2, 2)
        (gradient,) = torch.autograd.grad(
            sum(system.d_losses(batch, CLOCK).values()), critic.cam.attention, allow_unused=True
        )
        assert gradient.abs().sum() > 0
    losses = system.g_losses(batch, CLOCK)
    for key, generator in (("cam_ab", system.generator_ab), ("cam_ba", system.generator_ba)):
        (gradient,) = torch.autograd.grad(losses[key], generator.cam.attention, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_generators_attend_by_cross_entropy_of_weight_1000_and_critics_by_least_squares(tiny_system: Tiny) -> None:
    system, batch = tiny_system("ugatit")
    needed, idle = torch.randn(2, 2), torch.randn(2, 2)
    entropy = F.binary_cross_entropy_with_logits
    expected = entropy(needed, torch.ones(2, 2)) + entropy(idle, torch.zeros(2, 2))
    torch.testing.assert_close(cam_loss(needed, idle), expected)
    needs, spare = (system.generator_ab.with_logits(image)[1] for image in (batch.a, batch.b))
    torch.testing.assert_close(system.g_losses(batch, CLOCK)["cam_ab"], 1000 * cam_loss(needs, spare))
    undecided = nn.ModuleList([Constant(0.5), Constant(0.5)])
    assert system.d_loss(undecided, batch.a, batch.b) == 2.0  # 2 critics · 2 outputs · (0.25 + 0.25), not halved
    assert system.g_loss(undecided, batch.a) == 1.0


class Constant(nn.Module):
    """A critic that never decides."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full((2, 1, 2, 2), self.logit), torch.full((2, 2), self.logit)


def test_full_and_light_differ_only_in_the_first_fully_connected_layer(small: Callable[[str], dict[str, Any]]) -> None:
    shapes = {}
    for light in (True, False):
        generator = build_system("ugatit", small("ugatit") | {"light": light}).get_submodule("generator_ab")
        shapes[light] = {name: p.shape for name, p in generator.named_parameters()}
    assert {name for name in shapes[True] if shapes[True][name] != shapes[False][name]} == {"affine.mlp.0.weight"}
    assert shapes[False]["affine.mlp.0.weight"][1] == shapes[True]["affine.mlp.0.weight"][1] * 24 * 24


def test_the_full_form_ships_for_one_size(small: Callable[[str], dict[str, Any]]) -> None:
    system = build_system("ugatit", small("ugatit") | {"light": False})
    assert system.deployables()["ab"].refusal(128, 128) == "it was built for 96×96 images"
    with pytest.raises(ConfigError, match="multiples of 4 px, from 96"):
        build_system("ugatit", small("ugatit") | {"size": 64})


@pytest.mark.parametrize("normalise", [False, True])
def test_the_folded_attention_is_the_two_branches(normalise: bool) -> None:
    """The un-normalised weights in the picture; in critics, the spectrally normalised ones in the logits (HA5)."""
    torch.manual_seed(0)
    cam, x = Cam(6, nn.ReLU(), normalise), torch.randn(2, 6, 5, 5)
    average, greatest = (w[None, :, None, None] for w in cam.attention.view(2, -1))
    expected = F.relu(cam.conv(torch.cat([x * average, x * greatest], 1)))
    torch.testing.assert_close(cam(x), expected, atol=1e-5, rtol=1e-5)
    logits = []
    pooled = (F.adaptive_avg_pool2d(x, 1).flatten(1), F.adaptive_max_pool2d(x, 1).flatten(1))
    for weight, features in zip(cam.attention.view(2, -1), pooled, strict=True):
        linear = nn.Linear(6, 1, bias=False)
        linear.weight.data.copy_(weight[None])
        logits.append((nn.utils.parametrizations.spectral_norm(linear) if normalise else linear)(features))
    torch.testing.assert_close(cam.logits(x), torch.cat(logits, 1))


def naive_norm(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True) + 1e-5).sqrt()  # torch.var is unbiased


def test_adalin_as_instance_norms_is_its_definition() -> None:
    torch.manual_seed(0)
    x, gamma, beta = torch.randn(2, 3, 4, 4), torch.randn(2, 3), torch.randn(2, 3)
    layer = AdaLin(RhoMix(3, 0.3))
    mixed = 0.3 * naive_norm(x, (2, 3)) + 0.7 * naive_norm(x, (1, 2, 3))
    torch.testing.assert_close(layer(x, gamma, beta), gamma[:, :, None, None] * mixed + beta[:, :, None, None])


@pytest.mark.parametrize(("step", "factor"), [(500_000, 1.0), (750_000, 0.5), (1_000_000, 0.0)])
def test_learning_rate_decays_over_the_last_half(step: int, factor: float, tiny_system: Tiny) -> None:
    system, _ = tiny_system("ugatit")
    for network in (system.critics_a, system.generator_ab):
        assert system.learning_rate(network, Clock(step, step / 1000, 1000.0)) == pytest.approx(factor)
        (group,) = system.optimizer(network).param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.5, 0.999), 1e-4)
