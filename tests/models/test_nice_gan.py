"""NICE-GAN's checkable properties, its parameter counts, and its blocks against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.adalin import AdaLin, SoftmaxMix, unbiased_instance_norm, unbiased_layer_norm
from models.blocks.cam import ResidualCam
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.registry import build_system
from models.system import Clock
from models.systems.nice_gan import NiceGan, NiceGenerator
from models.trainer import Trainer, run_phase

CLOCK = Clock()
Tiny = Callable[..., tuple[NiceGan, TwoImages]]


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        light, full = build_system("nice_gan"), NiceGenerator(128, 3, 64, 6, map_size=64 * 64)
    assert count(light.get_submodule("generator_b")) == pytest.approx(8.105, rel=1e-3)
    assert count(full) == pytest.approx(276.5, rel=1e-3)
    assert count(light.get_submodule("critic_a")) == pytest.approx(46.87, rel=1e-3)
    assert count(light.get_submodule("critic_a.encoder")) == pytest.approx(0.167, rel=5e-3)


def test_no_separate_encoder_exists(tiny_system: Tiny) -> None:
    system, _ = tiny_system("nice_gan")
    assert {name for name, _ in system.named_children()} == {"critic_a", "critic_b", "generator_a", "generator_b"}
    shipped = system.deployables()["ab"].module
    assert isinstance(shipped, nn.Sequential)
    assert shipped[0] is system.critic_a.encoder
    assert shipped[1] is system.generator_b


def test_encoders_stand_still_in_the_generators_turn_and_move_in_the_critics(
    tiny_trainer: Callable[..., Trainer]
) -> None:
    trainer = tiny_trainer("nice_gan")
    batch = next(trainer.batches())
    encoder = trainer.system.get_submodule("critic_a.encoder")
    moved = {}
    for phase in trainer.phases:
        before = [p.detach().clone() for p in encoder.parameters()]
        run_phase(phase, trainer.optimizers, (batch, CLOCK), trainer.fabric, trainer.guard)
        moved[phase.name] = [not torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True)]
    assert not any(moved["G"])
    assert all(moved["D"])


def test_gradients_of_the_generators_turn_pass_through_the_encoders(tiny_system: Tiny) -> None:
    system, batch = tiny_system("nice_gan")
    weight = next(p for name, p in system.generator_b.named_parameters() if name.startswith("head"))
    (gradient,) = torch.autograd.grad(system.g_losses(batch, CLOCK)["cycle_a"], weight)
    assert gradient.abs().sum() > 0


def test_each_critic_gives_logits_at_two_scales_and_of_its_attention(tiny_system: Tiny) -> None:
    system, batch = tiny_system("nice_gan")
    local, wide, attention = system.critic_a(batch.a)
    assert local.shape[1:] == (1, 10, 10)
    assert wide.shape[1:] == (1, 1, 1)
    assert attention.shape == (2, 1)


def test_receptive_fields_are_70_and_286_pixels(tiny_system: Tiny) -> None:
    """From strides and kernels: field = 1 + Σ (kernel - 1) · the strides in front."""
    critic = tiny_system("nice_gan")[0].critic_a
    fields = []
    for branch in ("local", "wide"):
        field, jump = 1, 1
        for part in ("encoder.stem", "shared", branch):
            for conv in (m for m in critic.get_submodule(part).modules() if isinstance(m, nn.Conv2d)):
                field, jump = field + (conv.kernel_size[0] - 1) * jump, jump * conv.stride[0]
        fields.append(field)
    assert fields == [70, 286]


def test_the_attention_starts_as_the_identity() -> None:
    cam = ResidualCam(6)
    x = torch.randn(2, 6, 5, 5)
    assert cam.strength == 0
    torch.testing.assert_close(cam(x), F.leaky_relu(x, 0.2))


def test_the_folded_attention_is_the_two_branches() -> None:
    """With the un-normalised weight in the picture and the normalised one in the logit, as released (HA5)."""
    torch.manual_seed(0)
    cam, x = ResidualCam(6), torch.randn(2, 6, 5, 5)
    nn.init.constant_(cam.strength, 0.7)
    attended = torch.cat([x, x], 1) * cam.attention[:, None, None]
    expected = F.leaky_relu(cam.strength * cam.conv(attended) + x, 0.2)
    torch.testing.assert_close(cam(x), expected, atol=1e-5, rtol=1e-5)

    linear = nn.Linear(12, 1, bias=False)
    linear.weight.data.copy_(cam.attention[None])
    normed = nn.utils.parametrizations.spectral_norm(linear)
    pooled = torch.cat([F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)], 1).flatten(1)
    torch.testing.assert_close(cam.logits(x), normed(pooled))
    (ours,) = torch.autograd.grad(cam.logits(x).square().sum(), cam.attention)
    (theirs,) = torch.autograd.grad(normed(pooled).square().sum(), linear.parametrizations.weight.original)
    torch.testing.assert_close(ours, theirs[0], atol=1e-5, rtol=1e-4)


def naive_norm(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True) + 1e-5).sqrt()  # torch.var is unbiased


@pytest.mark.parametrize("side", [2, 7])
def test_norms_take_the_unbiased_variance(side: int) -> None:
    x = torch.randn(2, 3, side, side) * 0.01 + 4
    torch.testing.assert_close(unbiased_instance_norm(x), naive_norm(x, (2, 3)), atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(unbiased_layer_norm(x), naive_norm(x, (1, 2, 3)), atol=2e-4, rtol=1e-4)


def test_adalin_mixes_by_softmax() -> None:
    torch.manual_seed(0)
    x, gamma, beta = torch.randn(2, 3, 4, 4), torch.randn(2, 3), torch.randn(2, 3)
    layer = AdaLin(SoftmaxMix(3, instance=3.2, layer=1.0))
    share = torch.tensor([3.2, 1.0]).softmax(0)
    mixed = share[0] * naive_norm(x, (2, 3)) + share[1] * naive_norm(x, (1, 2, 3))
    torch.testing.assert_close(layer(x, gamma, beta), gamma[:, :, None, None] * mixed + beta[:, :, None, None])


def test_reconstruction_and_cycle_take_the_right_encoders_and_generators(tiny_system: Tiny) -> None:
    system, batch = tiny_system("nice_gan")
    a, b = system.critic_a.encoder, system.critic_b.encoder
    losses = system.eval().g_losses(batch, CLOCK)
    same = system.generator_a(a(batch.a))
    there_and_back = system.generator_a(b(system.generator_b(a(batch.a))))
    torch.testing.assert_close(losses["reconstruction_a"], 10 * F.l1_loss(same, batch.a))
    torch.testing.assert_close(losses["cycle_a"], 10 * F.l1_loss(there_and_back, batch.a))


def test_critic_losses_are_summed_over_three_outputs_and_not_halved(tiny_system: Tiny) -> None:
    system, _ = tiny_system("nice_gan")
    undecided = tuple(torch.full((2, 1), 0.5) for _ in range(3))
    assert system.d_loss(undecided, undecided) == 1.5  # 3 · (0.25 + 0.25)
    assert system.g_loss(undecided) == 0.75


@pytest.mark.parametrize(("step", "factor"), [(150_000, 1.0), (225_000, 0.5), (300_000, 0.0)])
def test_learning_rate_decays_over_the_last_half_to_0_at_300_000(step: int, factor: float, tiny_system: Tiny) -> None:
    system, _ = tiny_system("nice_gan")
    for network in (system.critic_a, system.generator_b):
        assert system.learning_rate(network, Clock(step, step / 1000, 300.0)) == pytest.approx(factor)
        (group,) = system.optimizer(network).param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.5, 0.999), 1e-4)


def test_full_and_light_differ_only_in_the_first_fully_connected_layer(small: Callable[[str], dict[str, Any]]) -> None:
    shapes = {}
    for light in (True, False):
        system = build_system("nice_gan", small("nice_gan") | {"light": light})
        shapes[light] = {name: p.shape for name, p in system.generator_b.named_parameters()}  # type: ignore[union-attr]
    assert {name for name in shapes[True] if shapes[True][name] != shapes[False][name]} == {"affine.mlp.0.weight"}
    assert shapes[False]["affine.mlp.0.weight"][1] == shapes[True]["affine.mlp.0.weight"][1] * 24 * 24


def test_the_full_form_ships_for_one_size(small: Callable[[str], dict[str, Any]]) -> None:
    system = build_system("nice_gan", small("nice_gan") | {"light": False})
    assert system.deployables()["ab"].refusal(128, 128) == "it was built for 96×96 images"


def test_a_size_too_small_for_the_wide_critic_is_refused(small: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="multiples of 4 px, from 96"):
        build_system("nice_gan", small("nice_gan") | {"size": 64})
