"""Pix2Pix's checkable properties, and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.data.batches import Pair
from models.errors import ConfigError
from models.networks.patch_critic import patch_critic
from models.networks.unet import UNetLevel, unet_generator
from models.recipe import make_recipe
from models.registry import build_system
from models.system import Clock
from models.systems.pix2pix import Pix2Pix
from models.trainer import Trainer

CLOCK = Clock()


def tiny(**settings: Any) -> tuple[Pix2Pix, Pair]:
    system = build_system("pix2pix", {"generator": "unet128", "width": 2, "critic_width": 2, **settings})
    assert isinstance(system, Pix2Pix)
    torch.manual_seed(0)
    return system, Pair(torch.rand(2, 3, 128, 128), torch.rand(2, 3, 128, 128))


def levels(network: UNetLevel) -> list[UNetLevel]:
    """From the outermost to the innermost."""
    found = [network]
    while isinstance(found[-1].below, UNetLevel):
        found.append(found[-1].below)
    return found


def kinds(network: nn.Module) -> list[type]:
    return [type(module) for module in network.modules()]


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("pix2pix")
    counts = {key: sum(p.numel() for p in net.parameters()) / 1e6 for key, net in system.named_children()}
    assert counts["generator"] == pytest.approx(54.414, rel=1e-3)
    assert counts["critic"] == pytest.approx(2.769, rel=1e-3)


def test_the_critic_is_conditional() -> None:
    system, batch = tiny()
    logits = system.eval().judge(batch.source, batch.target)
    assert not torch.equal(logits, system.judge(batch.source.flip(0), batch.target))


def test_first_and_innermost_encoder_layers_have_no_norm() -> None:
    with torch.device("meta"):
        every = levels(unet_generator())
    assert len(every) == 8
    normed = [nn.BatchNorm2d in kinds(level.down) for level in every]
    assert normed == [False] + [True] * 6 + [False]
    assert [nn.BatchNorm2d in kinds(level.up) for level in every] == [False] + [True] * 7


def test_dropout_is_in_exactly_three_decoder_levels() -> None:
    with torch.device("meta"):
        every = levels(unet_generator())
    dropped = [nn.Dropout in kinds(level.up) for level in every]
    assert dropped == [False] * 4 + [True] * 3 + [False]
    rates = [module.p for level in every for module in level.up if isinstance(module, nn.Dropout)]
    assert rates == [0.5] * 3


def test_dropout_is_off_in_what_ships_and_the_decision_is_recorded() -> None:
    system, batch = tiny()
    part = system.deployables()["generator"]
    assert dict(part.decisions) == {"dropout": "off", "batch norm": "running statistics"}
    with torch.no_grad():
        training = part.module(batch.source), part.module(batch.source)
        part.module.eval()
        shipped = part.module(batch.source), part.module(batch.source)
    assert not torch.equal(*training)
    assert torch.equal(*shipped)


def test_the_l1_only_ablation_has_no_critic_in_the_generators_loss() -> None:
    system, batch = tiny(lambda_gan=0.0)
    losses = system.g_losses(batch, CLOCK)
    assert set(losses) == {"l1"}
    system.generator = nn.Identity()  # type: ignore[assignment]
    expected = 100 * (batch.source - batch.target).abs().mean()
    torch.testing.assert_close(system.g_losses(batch, CLOCK)["l1"], expected)


def test_losses_of_an_undecided_critic_in_closed_form() -> None:
    system, batch = tiny()
    nn.init.zeros_(system.critic[-1].weight)
    assert system.d_losses(batch, CLOCK)["gan"].item() == pytest.approx(0.693147, rel=1e-5)
    assert system.g_losses(batch, CLOCK)["gan"].item() == pytest.approx(0.693147, rel=1e-5)


@pytest.mark.parametrize("field", [1, 16, 34, 70, 142, 286])
def test_a_logit_sees_a_patch_of_the_stated_side(field: int) -> None:
    critic = patch_critic(1, 1, field, "none").double()
    for parameter in critic.parameters():
        nn.init.constant_(parameter, 0.5)  # positive: no path is cut by a slope or a zero
    image = torch.rand(1, 1, 640, 640, dtype=torch.float64, requires_grad=True)
    logits = critic(image)
    middle = logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2]
    (gradient,) = torch.autograd.grad(middle, image)
    seen = gradient[0, 0].abs() > 0
    assert int(seen.any(0).sum()) == int(seen.any(1).sum()) == field


def test_output_has_the_size_of_the_input() -> None:
    system, batch = tiny()
    assert system.generator(batch.source).shape == batch.target.shape


def test_a_size_not_divisible_by_256_is_refused_before_training(images: Path, tmp_path: Path) -> None:
    values = {"system": "pix2pix", "data": str(images), "size": 250, "width": 1, "accelerator": "cpu"}
    with pytest.raises(ConfigError, match=r"size = 250 does not suit pix2pix: .* multiples of 256"):
        Trainer(make_recipe(values), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("field", [16, 34, 70, 142])
def test_a_patch_critic_knows_the_smallest_crop_it_takes(field: int, antialias: bool) -> None:
    critic = patch_critic(1, 1, field, antialias=antialias)
    least = critic.least_size
    assert critic(torch.rand(1, 1, least, least)).shape[2:] == (1, 1)
    with pytest.raises((RuntimeError, ValueError)):
        critic(torch.rand(1, 1, least - 1, least - 1))


def test_crops_that_are_too_small_are_refused_before_training(tiny_trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(ConfigError, match="size = 20 does not suit gcgan: its PatchGAN takes crops from 24 px"):
        tiny_trainer("gcgan", size=20)
    with pytest.raises(ConfigError, match="its PatchGAN takes crops from 96 px; raise size, or lower critic_field"):
        tiny_trainer("bicyclegan", size=64, critic_field=142)
