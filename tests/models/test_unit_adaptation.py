"""The checkable properties of UNIT's digit adaptation, and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.data.batches import Adaptation
from models.errors import ConfigError
from models.registry import build_system
from models.system import Clock
from models.systems.unit_adaptation import Located, UnitAdaptation

CLOCK = Clock()
Tiny = Callable[..., tuple[UnitAdaptation, Adaptation]]


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("unit_adaptation")
    assert count(system.get_submodule("vae")) == pytest.approx(22.6, rel=1e-3)
    assert count(system.get_submodule("critic")) == pytest.approx(4.33, rel=1e-3)


def test_only_the_first_layer_and_the_last_two_are_a_domains_own(tiny_system: Tiny) -> None:
    system, _ = tiny_system("unit_adaptation")
    parts = system.deployables()
    to_b, to_a = ({id(p) for p in parts[way].module.parameters()} for way in ("ab", "ba"))
    own = {id(p) for nets in (system.vae.own_encode, system.vae.own_decode) for p in nets.parameters()}
    assert not (to_b & to_a) & own
    assert (to_b | to_a) - own == to_b & to_a
    convolutions = [m for m in system.vae.own_decode["a"].modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert len(convolutions) == 2
    assert sum(isinstance(m, nn.Conv2d) for m in system.vae.own_encode["a"].modules()) == 1


def test_there_is_no_cycle_and_no_target_label(tiny_system: Tiny) -> None:
    system, batch = tiny_system("unit_adaptation")
    assert set(system.d_losses(batch, CLOCK)) == {"gan_a", "gan_b", "class", "feature"}
    assert set(system.g_losses(batch, CLOCK)) == {"gan_a", "image_a", "kl_a", "gan_b", "image_b", "kl_b"}
    only_b = torch.autograd.grad(
        system.d_losses(batch, CLOCK)["class"], list(system.critic.own["b"].parameters()), allow_unused=True
    )
    assert all(gradient is None for gradient in only_b)


def test_losses_are_the_specified_sums(tiny_system: Tiny) -> None:
    """Without noise and dropout, every term by its formula."""
    system, batch = tiny_system("unit_adaptation")
    system.eval()
    torch.manual_seed(2)
    d, _ = system.d_losses(batch, CLOCK), torch.manual_seed(2)
    (aa, ab), (ba, bb) = (system.decoded(x, k)[0] for x, k in ((batch.source, "a"), (batch.target, "b")))
    seen = {name: system.critic(x, name[-1]) for name, x in (("aa", aa), ("ab", ab), ("ba", ba), ("bb", bb))}
    apart = sum(((seen[x] - seen[y]) ** 2).sum() for x, y in (("ab", "aa"), ("ba", "bb")))
    torch.testing.assert_close(d["feature"], 1e-4 * apart)
    expected = 10 * F.cross_entropy(system.critic.label(system.critic(batch.source, "a")), batch.label)
    torch.testing.assert_close(d["class"], expected)
    torch.manual_seed(2)
    g = system.g_losses(batch, CLOCK)
    torch.testing.assert_close(g["image_a"], 1e-3 * (aa - batch.source).square().sum())
    mean, log_variance = system.vae.code(batch.source, "a")
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(g["kl_a"], 1e-4 * kl)
    fooled = sum(F.softplus(-system.critic.real(seen[name])).mean() for name in ("aa", "ab"))
    torch.testing.assert_close(g["gan_a"], fooled)


def test_the_classifier_of_b_ships_and_is_the_critics(tiny_system: Tiny) -> None:
    system, batch = tiny_system("unit_adaptation")
    system.eval()
    part = next(iter(system.deployables().values()))
    assert (part.returns, part.names) == (("classes",), ("dark", "light"))
    expected = system.critic.label(system.critic(batch.target, "b"))
    torch.testing.assert_close(part.module(batch.target), expected)


def test_where_a_pixel_is_changes_what_it_becomes(tiny_system: Tiny) -> None:
    """With the place's two channels a shifted image is not a shifted code's input: both see −1 … 1 on each axis."""
    _, batch = tiny_system("unit_adaptation")
    placed = Located()(batch.source)
    assert placed.shape[1] == batch.source.shape[1] + 2
    assert placed[0, -2, 0].tolist() == pytest.approx(torch.linspace(-1, 1, 32).tolist())
    assert torch.equal(placed[0, -1], placed[0, -2].T)


def test_one_image_is_no_batch(tiny_system: Tiny) -> None:
    system, _ = tiny_system("unit_adaptation")
    assert "two images or more" in system.refusal(1)
    assert not system.refusal(2)


def test_it_is_made_for_32_pixels_and_two_classes(small: Callable[[str], dict[str, Any]]) -> None:
    for wrong in ({"size": 28}, {"domains": ("only",)}):
        with pytest.raises(ConfigError, match="size = 32 and two classes"):
            build_system("unit_adaptation", small("unit_adaptation") | wrong)


@pytest.mark.parametrize("alike", [True, False])
def test_domains_begin_alike_where_it_is_asked_for(tiny_system: Tiny, alike: bool) -> None:
    """Then the critic reads an image the same through either domain's layers, until they are trained apart."""
    system, batch = tiny_system("unit_adaptation", alike=alike)
    system.eval()
    code = system.vae.code(batch.source, "a")[0]
    assert torch.equal(*system.vae.images(code)) == alike
    assert torch.equal(system.critic(batch.source, "a"), system.critic(batch.source, "b")) == alike
    assert {id(p) for p in system.critic.own["a"].parameters()}.isdisjoint(map(id, system.critic.own["b"].parameters()))
