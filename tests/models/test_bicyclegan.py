"""BicycleGAN's checkable properties, and those of its halves cVAE-GAN and cLR-GAN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.data.batches import Pair
from models.errors import ConfigError
from models.losses.divergence import kl_to_normal
from models.networks.unet import UNetLevel
from models.registry import build_system
from models.system import Batch, Clock, System
from models.trainer import Trainer

CLOCK = Clock()
Tiny = Callable[..., tuple[System, Batch]]
CVAE = {"lambda_gan2": 0.0, "lambda_z": 0.0}
CLR = {"lambda_gan": 0.0, "lambda_l1": 0.0, "lambda_kl": 0.0}


def total(gradients: tuple[Tensor | None, ...]) -> float:
    return sum(float(g.abs().sum()) for g in gradients if g is not None)


def gradient(loss: Tensor, network: nn.Module) -> float:
    parameters = list(network.parameters())
    return total(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("bicyclegan")
    counts = {key: sum(p.numel() for p in net.parameters()) / 1e6 for key, net in system.named_children()}
    assert counts["generator"] == pytest.approx(54.80, rel=1e-3)
    assert counts["encoder"] == pytest.approx(2.590, rel=1e-3)
    assert counts["critic"] == pytest.approx(3.459, rel=1e-3)
    assert counts["critic_2"] == pytest.approx(3.459, rel=1e-3)


def test_changing_z_changes_the_output(tiny_system: Tiny) -> None:
    system, batch = tiny_system("bicyclegan")
    generator = system.eval().get_submodule("generator")
    assert isinstance(batch, Pair)
    with torch.no_grad():
        pictures = [generator(batch.source, z.expand(2, -1)) for z in torch.eye(4)[:2] * 3]
    assert (pictures[0] - pictures[1]).abs().max() > 1e-6


def test_the_gradient_of_the_latent_regression_on_the_encoder_is_zero(tiny_system: Tiny) -> None:
    system, batch = tiny_system("bicyclegan")
    losses = system.phases()[0].losses(batch, CLOCK)
    encoder, generator = system.get_submodule("encoder"), system.get_submodule("generator")
    assert gradient(losses["z"], encoder) == 0
    assert gradient(losses["z"], generator) > 0
    assert gradient(losses["gan2"], encoder) == 0
    for name in ("l1", "kl", "gan"):
        assert gradient(losses[name], encoder) > 0, name


def test_the_two_critics_have_different_weights(tiny_system: Tiny) -> None:
    system, _ = tiny_system("bicyclegan")
    one, two = (list(system.get_submodule(name).parameters()) for name in ("critic", "critic_2"))
    assert not {id(p) for p in one} & {id(p) for p in two}
    assert not torch.equal(one[0], two[0])


def test_the_divergence_is_a_sum_not_a_mean(tiny_system: Tiny) -> None:
    mean, log_variance = torch.full((3, 8), 2.0), torch.zeros(3, 8)
    assert kl_to_normal(mean, log_variance) == pytest.approx(3 * 8 * 2.0)  # ½ mean² each
    assert kl_to_normal(torch.zeros(3, 8), log_variance) == 0
    reference = torch.distributions.kl_divergence(
        torch.distributions.Normal(torch.tensor(0.3), torch.tensor(0.7).exp().sqrt()),
        torch.distributions.Normal(0.0, 1.0),
    )
    torch.testing.assert_close(kl_to_normal(torch.full((1, 1), 0.3), torch.full((1, 1), 0.7)), reference)
    system, batch = tiny_system("bicyclegan")
    assert isinstance(batch, Pair)
    expected = 0.01 * kl_to_normal(*system.get_submodule("encoder")(batch.target[:1]))
    torch.testing.assert_close(system.phases()[0].losses(batch, CLOCK)["kl"], expected)


def test_z_enters_all_8_levels() -> None:
    with torch.device("meta"):
        level: object = build_system("bicyclegan").get_submodule("generator")
    inputs = []
    while isinstance(level, UNetLevel):
        (conv,) = (layer for layer in level.down if isinstance(layer, nn.Conv2d))  # type: ignore[union-attr]
        inputs.append(conv.in_channels)
        level = level.below
    assert inputs == [channels + 8 for channels in (3, 64, 128, 256, 512, 512, 512, 512)]


def test_the_encoder_is_not_needed_to_run_the_generator(tiny_system: Tiny) -> None:
    system, _ = tiny_system("bicyclegan")
    part = system.deployables()["generator"]
    encoder = {id(p) for p in system.get_submodule("encoder").parameters()}
    assert not encoder & {id(p) for p in part.module.parameters()}
    assert [(c.name, c.distribution, c.companion) for c in part.controls] == [("z", "normal", "encoder")]


def test_the_paths_see_half_1_and_the_second_critic_half_2(tiny_system: Tiny) -> None:
    system, batch = tiny_system("bicyclegan", batch=4)
    assert isinstance(batch, Pair)
    seen: dict[str, list[Tensor]] = {"critic": [], "critic_2": []}
    for name, images in seen.items():
        system.get_submodule(name).register_forward_pre_hook(lambda _, given, to=images: to.append(given[0].detach()))
    g, d, d2 = system.phases()
    g.losses(batch, CLOCK)
    fakes = [images.pop() for images in seen.values()]
    d.losses(batch, CLOCK)
    d2.losses(batch, CLOCK)
    assert torch.equal(seen["critic"][0], batch.target[:2])
    assert torch.equal(seen["critic_2"][0], batch.target[2:])
    assert torch.equal(seen["critic"][1], fakes[0]), "the critic judges the fake of the generator's turn"
    assert torch.equal(seen["critic_2"][1], fakes[1])


def test_critic_losses_are_summed_over_scales_and_not_halved(tiny_system: Tiny) -> None:
    """A critic that answers 0 everywhere loses 1 per scale on real images, nothing on fakes."""
    system, batch = tiny_system("bicyclegan")
    with torch.no_grad():
        for parameter in system.get_submodule("critic").parameters():
            parameter.zero_()
    g, d, _ = system.phases()
    torch.testing.assert_close(g.losses(batch, CLOCK)["gan"], torch.tensor(2.0))
    torch.testing.assert_close(d.losses(batch, CLOCK)["gan"], torch.tensor(2.0))


def test_cvae_gan_has_no_random_path(tiny_system: Tiny) -> None:
    system, batch = tiny_system("bicyclegan", **CVAE)
    phases = system.phases()
    assert [phase.name for phase in phases] == ["G", "D"]
    assert set(phases[0].losses(batch, CLOCK)) == {"l1", "kl", "gan"}
    assert not any(name.startswith("critic_2") for name, _ in system.named_parameters())


def test_clr_gan_has_no_pairs_and_its_encoder_learns_to_read_z(tiny_system: Tiny) -> None:
    system, batch = tiny_system("bicyclegan", **CLR)
    phases = system.phases()
    assert [phase.name for phase in phases] == ["G", "D2"]
    losses = phases[0].losses(batch, CLOCK)
    assert set(losses) == {"z", "gan2"}
    assert gradient(losses["z"], system.get_submodule("encoder")) > 0
    with pytest.raises(ConfigError, match="nothing to learn"):
        tiny_system("bicyclegan", **CVAE | CLR)


def test_an_odd_batch_is_refused_before_training(tiny_trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(ConfigError, match="batch = 3 does not suit bicyclegan: it is split in halves"):
        tiny_trainer("bicyclegan", batch=3)
    assert tiny_trainer("bicyclegan", batch=4).system.refusal(4) == ""


def test_the_learning_rate_halves_way_through_the_decay() -> None:
    with torch.device("meta"):
        system = build_system("bicyclegan")
    rates = [system.learning_rate(system, Clock(kimg=kimg, total_kimg=200)) for kimg in (0, 100, 150, 200)]
    assert rates == pytest.approx([1, 1, 0.5, 0])
