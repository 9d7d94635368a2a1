"""CycleGAN's checkable properties, and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models.blocks.image_pool import ImagePool
from models.data.batches import TwoImages
from models.data.datasets import DataConfig, Unpaired
from models.registry import build_system
from models.system import Clock, System
from models.systems.cyclegan import CycleGan

CLOCK = Clock()


def perfect(**settings: object) -> tuple[CycleGan, TwoImages]:
    """Both generators are the identity."""
    system = build_system("cyclegan", {"generator": "resnet6", "width": 2, "critic_width": 2, **settings})
    assert isinstance(system, CycleGan)
    system.generator_ab, system.generator_ba = nn.Identity(), nn.Identity()
    torch.manual_seed(0)
    return system, TwoImages(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("cyclegan")
        six = build_system("cyclegan", {"generator": "resnet6"})
    counts = {key: sum(p.numel() for p in net.parameters()) / 1e6 for key, net in system.named_children()}
    assert counts["generator_ab"] == pytest.approx(11.378, rel=1e-3)
    assert counts["critic_a"] == pytest.approx(2.765, rel=1e-3)
    assert sum(counts.values()) == pytest.approx(28.3, rel=1e-3)
    assert sum(p.numel() for p in six.get_submodule("generator_ab").parameters()) == pytest.approx(7.838e6, rel=1e-3)


def test_identity_generators_have_no_cycle_and_no_identity_loss() -> None:
    system, batch = perfect()
    losses = system.g_losses(batch, CLOCK)
    for name in ("cycle_a", "cycle_b", "identity_a", "identity_b"):
        assert losses[name] == 0


def test_generator_and_critic_losses_in_closed_form() -> None:
    system, batch = perfect()
    for critic in (system.critic_a, system.critic_b):
        nn.init.zeros_(critic[-1].weight)
        nn.init.constant_(critic[-1].bias, 0.5)  # an undecided critic
    losses = system.g_losses(batch, CLOCK)
    assert losses["gan_ab"] == losses["gan_ba"] == 0.25
    assert system.d_losses(system.critic_a, batch.a, system.pool_a)["gan"] == 0.25  # half of 0.25 + 0.25


def test_identity_weight_scales_with_the_cycle_weight() -> None:
    values = []
    for weight in (10.0, 20.0):
        system, batch = perfect(lambda_cycle_a=weight)
        system.generator_ba = nn.Sequential(nn.Identity(), nn.Hardtanh(0.0, 0.5))
        values.append((system.g_losses(batch, CLOCK)["identity_a"], (batch.a - batch.a.clamp(0, 0.5)).abs().mean()))
    for (loss, distance), weight in zip(values, (5.0, 10.0), strict=True):  # 0.5 · λ
        torch.testing.assert_close(loss, weight * distance)


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (50, 1.0), (100, 1.0), (150, 0.5), (200, 0.0)])
def test_learning_rate_is_constant_for_100_epochs_and_0_at_200(epoch: int, factor: float) -> None:
    system, _ = perfect()
    clock = Clock(step=epoch * 1000, kimg=float(epoch), total_kimg=200.0)
    for network in (system.generator_ab, system.critic_a):
        assert system.learning_rate(network, clock) == pytest.approx(factor)


def test_a_pool_gives_every_fake_until_it_is_full() -> None:
    pool = ImagePool(3)
    for value in range(3):
        pool.push(torch.full((1, 1, 1, 1), float(value)))
        assert pool.draw().item() == value


def test_a_full_pool_gives_an_older_fake_half_of_the_time_and_keeps_the_new_one_for_it() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50)
    older = 0
    for value in range(2050):
        pool.push(torch.full((1, 1, 1, 1), float(value)))
        drawn = pool.draw().item()
        held = {image.item() for image in pool.get_extra_state()}
        if value >= 50:
            older += drawn != value
            assert (value in held) == (drawn != value)  # stored exactly when an older one left for it
            assert drawn not in held
        assert len(held) == min(50, value + 1)
    assert 0.45 < older / 2000 < 0.55


def test_the_two_domains_are_independent_sets(images: object) -> None:
    data = Unpaired(DataConfig(data=str(images), size=130, load_size=0, flip=False), 0)
    samples = [data.sample(k) for k in range(40)]
    # B is A's negative, file by file: paired sampling would make every sum 0.
    paired = [bool((s.a + s.b).abs().max() < 0.1) for s in samples]
    assert 0 < sum(paired) < 20
    assert len({float(s.a[0, 5, 5]) for s in samples[:5]}) == 5  # one pass of A shows every image once


def test_input_and_output_have_the_same_channels(tiny_system: Callable[..., tuple[System, TwoImages]]) -> None:
    system, batch = tiny_system("cyclegan", channels=1)
    assert all(row.shape == batch.a.shape for row in system.eval().samples(batch).values())


def test_noise_on_the_way_back_is_the_only_source_of_difference() -> None:
    system, batch = perfect(noise_ba=0.1)
    assert not torch.equal(system.back(batch.b), system.back(batch.b))
    quiet, _ = perfect()
    assert torch.equal(quiet.back(batch.b), quiet.back(batch.b))
