"""TUNIT's checkable properties, its parameter counts, its schedule, and the losses of the guiding network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.augment.views import random_view
from models.blocks.frn import FilterResponseNorm
from models.data.batches import OneImage
from models.losses.clustering import instance_contrast, mutual_information
from models.registry import build_system
from models.system import Clock
from models.systems.tunit import Tunit

CLOCK = Clock()
JOINT = Clock(step=9, kimg=0.9)
Tiny = Callable[..., tuple[Tunit, OneImage]]


def coloured(count: int = 16) -> tuple[OneImage, torch.Tensor]:
    """Noisy red and blue pictures, and which is which."""
    torch.manual_seed(2)
    hidden = torch.arange(count) % 2
    colours = torch.tensor([[0.8, -0.8, -0.8], [-0.8, -0.8, 0.8]])[hidden]
    return OneImage(0.2 * torch.randn(count, 3, 32, 32) + colours[:, :, None, None]), hidden


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        small, big = build_system("tunit"), build_system("tunit", {"size": 256, "width": 32})

    def count(system: nn.Module, name: str) -> float:
        return sum(p.numel() for p in system.get_submodule(name).parameters()) / 1e6

    assert count(small, "generator") == pytest.approx(27.33, rel=1e-3)
    assert count(small, "guide") == pytest.approx(9.30, rel=1e-3)
    assert count(small, "critic") == pytest.approx(70.9, rel=1e-3)
    assert count(big, "generator") == pytest.approx(27.43, rel=1e-3)
    assert count(big, "critic") == pytest.approx(71.0, rel=1e-3)


def test_no_label_is_read() -> None:
    assert Tunit.data == "images"
    assert [field.name for field in fields(OneImage)] == ["image"]


def test_the_guide_learns_alone_in_the_first_65_of_200_epochs() -> None:
    with torch.device("meta"):
        phases = build_system("tunit").phases()

    def due(epoch: float) -> list[str]:
        return [phase.name for phase in phases if phase.when(Clock(kimg=epoch * 32, total_kimg=200 * 32))]

    assert due(0) == due(64.9) == ["C"]
    assert due(65) == due(199) == ["C", "D", "G"]


def test_clusters_are_found_in_the_warm_up_while_the_generator_stands(tiny_system: Tiny) -> None:
    system, _ = tiny_system("tunit", guide_width=8)
    batch, hidden = coloured()
    before = [p.clone() for p in system.generator.parameters()]
    adam = torch.optim.Adam(system.guide.parameters(), 3e-3)
    phase = system.phases()[0]
    for _ in range(12):
        adam.zero_grad()
        torch.stack(list(phase.losses(batch, CLOCK).values())).sum().backward()
        adam.step()
    cluster = system.guided(batch.image)[0]
    agreed = (cluster == hidden).float().mean().item()
    assert max(agreed, 1 - agreed) > 0.85
    assert all(torch.equal(p, q) for p, q in zip(system.generator.parameters(), before, strict=True))


def test_mutual_information_is_log_k_for_equal_and_sure_clusters_and_0_for_one(tiny_system: Tiny) -> None:
    sure = 50 * torch.eye(3).repeat(4, 1)
    assert mutual_information(sure, sure).item() == pytest.approx(-math.log(3), rel=1e-3)
    assert mutual_information(sure[:1].expand(6, -1), sure[:1].expand(6, -1)).item() == pytest.approx(0, abs=1e-4)
    assert mutual_information(sure, torch.zeros_like(sure)).item() == pytest.approx(0, abs=1e-4)


def test_one_cluster_still_trains(tiny_system: Tiny) -> None:
    system, batch = tiny_system("tunit", clusters=1)
    for phase in system.phases():
        losses = phase.losses(batch, JOINT)
        assert all(torch.isfinite(loss) for loss in losses.values())
    assert system.c_losses(batch, CLOCK)["clusters"].item() == pytest.approx(0, abs=1e-6)


def test_the_critic_has_an_output_per_cluster_and_filter_response_norms(tiny_system: Tiny) -> None:
    system, batch = tiny_system("tunit", clusters=3)
    head = system.critic.head
    assert head.weight.shape[0] == 3
    logits = system.critic(batch.image, torch.tensor([1, 1]))
    (gradient,) = torch.autograd.grad(logits.sum(), head.weight)
    assert [bool(row.abs().sum() > 0) for row in gradient] == [False, True, False]
    norms = {type(m) for m in system.critic.modules() if "Norm" in type(m).__name__}
    assert norms == {FilterResponseNorm}


def test_a_style_finds_its_reference_in_a_batch() -> None:
    torch.manual_seed(0)
    styles, queue = torch.randn(6, 16), F.normalize(torch.randn(32, 16), dim=1)
    own, other = (instance_contrast(styles, keys, queue).item() for keys in (styles, styles.roll(1, 0)))
    assert own < 0.1 < other
    # A generator that passes the reference's style on is found: the loss is least for it.
    assert own == min(instance_contrast(styles, styles.roll(k, 0), queue).item() for k in range(6))


def test_after_the_warm_up_the_guides_own_losses_count_a_tenth(tiny_system: Tiny) -> None:
    system, batch = tiny_system("tunit")
    system.eval()
    losses = []
    for clock in (CLOCK, JOINT):
        torch.manual_seed(0)
        system.queue.copy_(F.normalize(torch.ones_like(system.queue), dim=1))
        losses.append(system.c_losses(batch, clock))
    for name in ("clusters", "moco"):
        torch.testing.assert_close(losses[1][name], 0.1 * losses[0][name])


def test_keys_come_from_a_slow_average_and_enter_the_queue(tiny_system: Tiny) -> None:
    system, batch = tiny_system("tunit")
    assert not list(system.key_guide.parameters())
    with torch.no_grad():
        for parameter in system.guide.parameters():
            parameter.add_(1.0)
    before = dict(system.key_guide.named_buffers())["style.weight"].clone()
    system.follow()
    moved = dict(system.key_guide.named_buffers())["style.weight"] - before
    torch.testing.assert_close(moved, torch.full_like(moved, 0.001), rtol=1e-2, atol=1e-6)
    oldest = system.queue[:-2].clone()
    system.c_losses(batch, CLOCK)
    assert torch.equal(system.queue[2:], oldest)
    torch.testing.assert_close(system.queue[:2].norm(dim=1), torch.ones(2))


def test_the_optimisers_are_the_papers(tiny_system: Tiny) -> None:
    system, _ = tiny_system("tunit")
    kinds = {n: type(system.optimizer(system.get_submodule(n))).__name__ for n in ("guide", "generator", "critic")}
    assert kinds == {"guide": "Adam", "generator": "RMSprop", "critic": "RMSprop"}
    decays = [system.optimizer(n).param_groups[0]["weight_decay"] for n in (system.guide, system.generator)]
    assert decays == [1e-3, 1e-4]


def test_a_view_is_another_picture_in_range_and_each_sample_has_its_own() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 24, 24).expand(4, -1, -1, -1) * 2 - 1
    views = random_view(picture)
    assert views.shape == picture.shape
    assert views.abs().max() <= 1
    assert all(not torch.equal(views[0], views[k]) for k in range(1, 4))
    assert random_view(picture[:, :1]).shape == (4, 1, 24, 24)


def test_what_ships_is_a_generator_and_the_guides_two_heads(tiny_system: Tiny) -> None:
    parts = tiny_system("tunit")[0].deployables()
    assert {name: part.returns for name, part in parts.items()} == {
        "generator": ("image",), "style": ("style",), "cluster": ("classes",),
    }  # fmt: skip
    assert parts["generator"].controls[0].companion == "style"
    assert parts["cluster"].names == ("cluster 0", "cluster 1")
