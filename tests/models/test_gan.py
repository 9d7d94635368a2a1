"""The checkable properties of the first GAN, and the Parzen-window evaluator that its figure needs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.parzen import best_sigma, log_likelihoods, made_points
from models.data.batches import OneImage
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.registry import build_system
from models.system import Batch, Clock, System
from models.systems.gan import Maxout, RisingMomentum

Tiny = Callable[..., tuple[System, Batch]]


def test_parameters_are_the_specified_ones() -> None:
    with torch.device("meta"):
        counts = {name: sum(p.numel() for p in net.parameters()) for name, net in build_system("gan").named_children()}
    assert counts["generator"] == pytest.approx(2.504e6, rel=1e-3)
    assert counts["critic"] == 784 * 1200 + 1200 + 240 * 1200 + 1200 + 241


def test_both_generator_losses_exist_and_differ_in_gradient_where_the_critic_is_sure() -> None:
    slopes = {}
    for name in ("vanilla", "saturating"):
        logit = torch.tensor([-12.0], requires_grad=True)  # D(G) ≈ 6·10⁻⁶
        (slopes[name],) = torch.autograd.grad(adversarial(name).g(logit), logit)
    assert float(slopes["vanilla"]) == pytest.approx(-1, abs=1e-4)
    assert -1e-4 < float(slopes["saturating"]) < 0  # the same direction, without force
    assert build_system("gan", {"gan": "saturating", "width": 4, "critic_width": 4}).game is adversarial("saturating")


def test_with_the_critic_at_one_half_its_loss_is_2_log_2(tiny_system: Tiny) -> None:
    system, batch = tiny_system("gan")
    with torch.no_grad():
        for parameter in system.get_submodule("critic").parameters():
            parameter.zero_()
    losses = {phase.name: phase.losses(batch, Clock()) for phase in system.phases()}
    assert float(losses["D"]["gan"].detach()) == pytest.approx(2 * math.log(2))
    assert float(losses["G"]["gan"].detach()) == pytest.approx(math.log(2))


def test_the_critic_contains_maxout_and_dropout() -> None:
    with torch.device("meta"):
        layers = list(build_system("gan").get_submodule("critic.layers").children())
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == pytest.approx([0.2, 0.5, 0.5])
    assert [layer.pieces for layer in layers if isinstance(layer, Maxout)] == [5, 5]
    unit = Maxout(1, 1, 2)
    with torch.no_grad():
        unit.linear.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        unit.linear.bias.zero_()
        assert unit(torch.tensor([[-3.0], [2.0]])).flatten().tolist() == [3.0, 2.0]  # |x|


def test_an_untrained_generator_makes_the_mean_image(tiny_system: Tiny) -> None:
    system, batch = tiny_system("gan")
    assert isinstance(batch, OneImage)
    generator = system.get_submodule("generator")
    with torch.no_grad():
        generator.hidden[0].weight.zero_()  # type: ignore[operator,union-attr]
        made = generator(torch.zeros(1, 4))
    torch.testing.assert_close(made[0], batch.image.mean(dim=0).clamp(-0.998, 0.998), atol=1e-4, rtol=1e-4)


def test_momentum_rises_and_the_learning_rate_falls_as_published() -> None:
    network = nn.Linear(1, 1)
    optimizer = RisingMomentum(network, 0.1, (0.5, 0.7), 4)
    seen = []
    for step in range(6):
        network(torch.ones(1, 1)).sum().backward()
        if step == 3:  # as after a restart
            state, optimizer = optimizer.state_dict(), RisingMomentum(network, 0.1, (0.5, 0.7), 4)
            optimizer.load_state_dict(state)
        optimizer.step()
        seen.append(optimizer.param_groups[0]["momentum"])
    assert seen == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.7])
    with torch.device("meta"):
        system = build_system("gan")
    rates = [0.1 * system.learning_rate(system, Clock(step)) for step in (0, 250_000, 10_000_000)]
    assert rates == pytest.approx([0.1, 0.1 / math.e, 1e-6], rel=1e-3)


def test_the_parzen_likelihood_is_that_of_the_mixture() -> None:
    centres, points = np.array([[0.0, 0.0], [1.0, 0.5]]), np.array([[0.2, 0.1], [3.0, 3.0]])
    squares = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
    expected = np.log((np.exp(-squares / (2 * 0.3**2)) / (2 * math.pi * 0.3**2)).mean(axis=1))
    made = log_likelihoods(torch.from_numpy(points), torch.from_numpy(centres), 0.3)
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-9)


def test_the_parzen_width_is_chosen_on_validation_points() -> None:
    torch.manual_seed(0)
    centres, valid = torch.randn(800, 2, dtype=torch.double), torch.randn(400, 2, dtype=torch.double)
    widths = (0.01, 0.25, 5.0)
    assert best_sigma(valid, centres, widths) == 0.25
    chosen = float(log_likelihoods(valid, centres, 0.25).mean())
    assert chosen == pytest.approx(-1 - math.log(2 * math.pi), abs=0.15)  # minus the entropy of N(0, I)


def test_the_parzen_window_judges_generators_of_noise_only(tiny_system: Tiny) -> None:
    points = made_points(next(iter(tiny_system("gan")[0].eval().deployables().values())), 3)
    assert points.shape == (3, 32 * 32)
    assert points.min() >= 0
    assert points.max() <= 1
    with pytest.raises(ConfigError, match="only input is noise"):
        made_points(next(iter(tiny_system("bicyclegan")[0].deployables().values())), 3)
