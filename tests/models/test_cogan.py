"""CoGAN's checkable properties and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.batches import Adaptation
from models.errors import ConfigError
from models.registry import build_system
from models.system import Clock
from models.systems.cogan import CoGan, CoupledGenerator

CLOCK = Clock()
ADAPTATION = {"lambda_class": 10.0, "lambda_feature": 0.01}
Tiny = Callable[..., tuple[CoGan, Adaptation]]


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("cogan", ADAPTATION)
    assert count(system.get_submodule("generator")) == pytest.approx(7.84, rel=1e-3)
    assert count(system.get_submodule("critic")) == pytest.approx(0.43, rel=0.01)  # given to two digits


def test_first_generator_and_last_critic_layers_are_one_storage(tiny_system: Tiny) -> None:
    system, batch = tiny_system("cogan", **ADAPTATION)
    own = sum(p.numel() for net in system.generator.own.values() for p in net.parameters())
    assert count(system.generator) * 1e6 - own == sum(p.numel() for p in system.generator.shared.parameters())
    image_a, image_b = system.generator(torch.rand(2, system.cfg.latent))
    weight = system.generator.shared[1].weight
    for image in (image_a, image_b):
        (gradient,) = torch.autograd.grad(image.sum(), weight, retain_graph=True)
        assert gradient.abs().sum() > 0
    for image, domain in ((batch.source, "a"), (batch.target, "b")):
        (gradient,) = torch.autograd.grad(system.critic(image, domain).sum(), system.critic.shared[0].weight)
        assert gradient.abs().sum() > 0


def test_the_same_z_gives_corresponding_images_and_untied_layers_do_not() -> None:
    """With one domain's head a negative of the other's, the pair is an image and its negative, whatever z is."""
    torch.manual_seed(0)
    generator, other = CoupledGenerator(4, 1, 4).eval(), CoupledGenerator(4, 1, 4).eval()
    for key in ("weight", "bias"):
        own_a, own_b = (getattr(generator.own[domain], key) for domain in "ab")
        own_b.data.copy_(-own_a)
    z = torch.rand(8, 4)
    image_a, image_b = generator(z)
    torch.testing.assert_close(image_b, -image_a)
    untied = torch.tanh(generator.own["b"](other.shared(z)))
    assert (untied + image_a).abs().max() > 1e-3


def test_target_labels_do_not_exist_and_source_labels_teach(tiny_system: Tiny) -> None:
    system, batch = tiny_system("cogan", **ADAPTATION)
    losses = system.d_losses(batch, CLOCK)
    label = system.critic.label
    assert label is not None
    expected = 10 * F.cross_entropy(label(system.critic(batch.source, "a")), batch.label)
    torch.testing.assert_close(losses["class"], expected)
    only_b = torch.autograd.grad(losses["class"], list(system.critic.own["b"].parameters()), allow_unused=True)
    assert all(g is None for g in only_b)


def test_features_of_a_fake_pair_are_pulled_together_by_001_times_their_number(tiny_system: Tiny) -> None:
    system, batch = tiny_system("cogan", **ADAPTATION)
    torch.manual_seed(3)
    loss = system.d_losses(batch, CLOCK)["feature"]
    torch.manual_seed(3)
    z = torch.rand(2, system.cfg.latent) * 2 - 1
    one, other = (system.critic(x, d) for x, d in zip(system.generator(z), "ab", strict=True))
    torch.testing.assert_close(loss, 0.01 * one[0].numel() * F.mse_loss(one, other))


def test_the_classifier_of_b_ships_in_adaptation_only(tiny_system: Tiny) -> None:
    system, _ = tiny_system("cogan")
    assert list(system.deployables()) == ["pair"]
    assert set(system.d_losses(tiny_system("cogan")[1], CLOCK)) == {"gan_a", "gan_b"}
    system, batch = tiny_system("cogan", **ADAPTATION)
    part = system.deployables()["classifier"]
    assert part.returns == ("classes",)
    assert part.names == tuple("0123456789")
    logits: Tensor = part.module(batch.target)
    assert logits.shape == (2, 10)
    assert system.critic.label is not None
    torch.testing.assert_close(logits, system.critic.label(system.critic(batch.target, "b")))


def test_it_is_made_for_28_pixels(small: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="size = 28"):
        build_system("cogan", small("cogan") | {"size": 32})


@pytest.mark.parametrize("alike", [True, False])
def test_domains_begin_alike_where_it_is_asked_for(tiny_system: Tiny, alike: bool) -> None:
    """Then a couple is twice the same picture, until the domains are trained apart."""
    system, _ = tiny_system("cogan", **ADAPTATION, alike=alike)
    system.eval()
    assert torch.equal(*system.generator(torch.rand(2, system.cfg.latent))) == alike
