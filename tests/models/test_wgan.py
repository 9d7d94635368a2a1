"""WGAN's and WGAN-GP's checkable properties, and DCGAN's parameter counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.errors import ConfigError
from models.losses.adversarial import nonsaturating_d, wasserstein_d
from models.losses.gradient_penalty import gradient_penalty, r1
from models.registry import build_system
from models.system import Batch, Clock, System
from models.systems.wgan import ends_turn
from models.trainer import Trainer

CLOCK = Clock()
Tiny = Callable[..., tuple[System, Batch]]


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("wgan")
        wide = build_system("wgan", {"width": 128})
    counts = {key: sum(p.numel() for p in net.parameters()) / 1e6 for key, net in system.named_children()}
    assert counts["generator"] == pytest.approx(3.577, rel=1e-3)
    assert counts["critic"] == pytest.approx(2.766, rel=1e-3)
    assert sum(p.numel() for p in wide.get_submodule("generator").parameters()) == pytest.approx(12.66e6, rel=1e-3)


@pytest.mark.parametrize("name", ["wgan", "wgan_gp"])
def test_there_is_no_pooling_and_no_hidden_fully_connected_layer(name: str) -> None:
    with torch.device("meta"):
        kinds = {type(module) for module in build_system(name).modules()}
    assert kinds.isdisjoint({nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Linear, nn.Sigmoid})


def test_every_critic_weight_is_clipped_after_every_critic_step(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("wgan", lr=1e-2)
    critic = trainer.system.get_submodule("critic")
    for batch in trainer.batches():
        trainer.train_step(batch)
        assert max(float(p.detach().abs().max()) for p in critic.parameters()) <= trainer.recipe.system.clip


def official_turns(generator_steps: int) -> list[int]:
    """Critic steps in front of each generator step, as the released loop counts them."""
    return [100 if g < 25 or g % 500 == 0 else 5 for g in range(generator_steps)]


def test_the_bursts_of_critic_steps_are_the_official_ones() -> None:
    turns, since = [], 0
    for step in range(12000):
        since += 1
        if ends_turn(step, 5, 100):
            turns.append(since)
            since = 0
    assert len(turns) > 1500
    assert turns == official_turns(len(turns))


def test_without_bursts_the_generator_follows_every_fifth_step() -> None:
    assert [step for step in range(3000) if ends_turn(step, 5, 5)] == list(range(4, 3000, 5))


def test_the_generator_moves_on_its_turns_only(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("wgan_gp")
    logs = [trainer.train_step(batch) for batch in trainer.batches()]
    assert ["G/gan" in log for log in logs] == [False, True, False, True]


def test_the_critic_with_penalty_has_no_norm_that_couples_samples(tiny_system: Tiny) -> None:
    for kind in ("none", "layer"):
        system, batch = tiny_system("wgan_gp", critic_norm=kind)
        images = batch.image  # type: ignore[attr-defined]
        both = system.critic(images)  # type: ignore[operator]
        torch.testing.assert_close(both[:1], system.critic(images[:1]))  # type: ignore[operator]
    with pytest.raises(ConfigError, match="couples"):
        tiny_system("wgan_gp", critic_norm="batch")


def test_the_penalty_of_a_linear_critic_in_closed_form() -> None:
    """‖∇D‖ = ‖w‖ everywhere, so the penalty is (‖w‖ - 1)²: below one as well as above it."""
    torch.manual_seed(0)
    for length in (0.25, 1.0, 3.0):
        weight = torch.randn(12)
        weight *= length / weight.norm()
        penalty = gradient_penalty(lambda x, w=weight: x.flatten(1) @ w, torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2))
        torch.testing.assert_close(penalty, torch.tensor((length - 1) ** 2), atol=1e-5, rtol=1e-4)


def test_each_sample_has_its_own_epsilon() -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    torch.manual_seed(0)
    gradient_penalty(critic, torch.ones(8, 3, 4, 4), torch.zeros(8, 3, 4, 4))
    shares = seen[0]
    assert all(sample.unique().numel() == 1 for sample in shares)  # one for all pixels
    assert shares[:, 0, 0, 0].unique().numel() == 8
    assert shares.min() >= 0
    assert shares.max() <= 1


def test_the_penalty_moves_the_critic_through_a_double_backward(tiny_system: Tiny) -> None:
    system, batch = tiny_system("wgan_gp")
    losses = system.phases()[0].losses(batch, CLOCK)
    losses["gp"].backward()
    gradients = [p.grad for p in system.get_submodule("critic").parameters() if p.grad is not None and p.ndim > 1]
    assert gradients
    assert all(g.abs().sum() > 0 for g in gradients)


def test_r1_of_a_quadratic_critic_in_closed_form() -> None:
    image = torch.rand(3, 1, 2, 2).requires_grad_()
    penalty = r1(image.square().flatten(1).sum(1), image)
    torch.testing.assert_close(penalty, 0.5 * (2 * image).square().flatten(1).sum(1).mean())


def critic_loss(distance: float, wasserstein: bool) -> float:
    """What a small critic reaches between two points on a plane, `distance` apart."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(critic.parameters(), 2e-2)
    real, fake = torch.zeros(16, 2), torch.tensor([[distance, 0.0]]).expand(16, 2)
    loss = torch.zeros(())
    for _ in range(150):
        if wasserstein:
            loss = wasserstein_d(critic(real), critic(fake))
            total = loss + 10 * gradient_penalty(critic, real, fake)
        else:
            total = loss = nonsaturating_d(critic(real), critic(fake))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return float(loss.detach())


def test_the_negated_critic_loss_is_a_distance_where_the_classical_one_saturates() -> None:
    distances = (0.5, 1.0, 2.0, 4.0)
    estimates = [-critic_loss(d, wasserstein=True) for d in distances]
    assert estimates == sorted(estimates)
    assert estimates[-1] == pytest.approx(4.0, rel=0.25)
    divergences = [math.log(2) - critic_loss(d, wasserstein=False) / 2 for d in distances]
    assert all(value == pytest.approx(math.log(2), abs=0.05) for value in divergences)


@pytest.mark.parametrize("name", ["wgan", "wgan_gp"])
def test_what_ships_takes_noise_and_no_image(name: str, tiny_system: Tiny) -> None:
    system, _ = tiny_system(name)
    (part,) = system.deployables().values()
    assert part.channels_in == 0
    assert [(c.name, c.kind, c.distribution) for c in part.controls] == [("z", "noise", "normal")]


@pytest.mark.parametrize("size", [4, 48])
def test_other_sizes_are_refused(size: int, small: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=f"not size = {size}"):
        build_system("wgan", small("wgan") | {"size": size})
