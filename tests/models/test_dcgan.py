"""DCGAN's checkable properties."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models.registry import build_system
from models.system import Batch, System

Tiny = Callable[..., tuple[System, Batch]]


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameters_are_the_specified_ones() -> None:
    with torch.device("meta"):
        paper, port = build_system("dcgan"), build_system("dcgan", {"width": 64, "critic_width": 64})
    assert count(paper.get_submodule("generator")) == pytest.approx(12.66e6, rel=1e-3)
    assert count(port.get_submodule("generator")) == pytest.approx(3.577e6, rel=1e-3)
    assert count(port.get_submodule("critic")) == pytest.approx(2.766e6, rel=1e-3)


def test_no_pooling_and_no_fully_connected_modules() -> None:
    with torch.device("meta"):
        kinds = {type(module) for module in build_system("dcgan").modules()}
    assert kinds.isdisjoint({nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Linear})


def test_no_batch_norm_on_the_generators_output_and_the_critics_input() -> None:
    with torch.device("meta"):
        system = build_system("dcgan")
    made = list(system.get_submodule("generator.layers"))  # type: ignore[call-overload]
    judged = list(system.get_submodule("critic"))  # type: ignore[call-overload]
    assert [type(layer) for layer in made[-2:]] == [nn.ConvTranspose2d, nn.Tanh]
    assert [type(layer) for layer in judged[:3]] == [nn.Conv2d, nn.LeakyReLU, nn.Conv2d]
    assert [type(layer) for layer in judged[-2:]] == [nn.Conv2d, nn.Flatten]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in made) == 4
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in judged) == 3


def test_interpolation_is_smooth(tiny_system: Tiny) -> None:
    """Halving the steps between two z halves the steps between their pictures: no jump on the way."""
    system, _ = tiny_system("dcgan")
    generator = system.eval().get_submodule("generator")
    torch.manual_seed(0)
    start, end = torch.rand(2, 4) * 2 - 1

    def widest(steps: int) -> float:
        share = torch.linspace(0, 1, steps + 1)[:, None]
        with torch.no_grad():
            pictures = generator(torch.lerp(start, end, share))
        return float((pictures[1:] - pictures[:-1]).abs().max())

    assert widest(16) > 0
    assert widest(64) == pytest.approx(widest(16) / 4, rel=0.5)


def test_a_batch_of_1_gives_the_same_picture_as_in_a_batch_of_64(tiny_system: Tiny) -> None:
    system, _ = tiny_system("dcgan")
    generator = system.get_submodule("generator")
    torch.manual_seed(0)
    z = torch.rand(64, 4) * 2 - 1
    with torch.no_grad():
        generator(z)  # running statistics move away from their start
        assert not torch.allclose(generator(z)[:1], generator(z[:8])[:1]), "in training the batch matters"
        generator.eval()
        torch.testing.assert_close(generator(z)[:1], generator(z[:1]))


def test_noise_is_uniform_and_an_input(tiny_system: Tiny) -> None:
    system, _ = tiny_system("dcgan")
    (part,) = system.deployables().values()
    (z,) = part.controls
    assert part.channels_in == 0
    assert (z.kind, z.distribution, z.low, z.high, z.shape) == ("noise", "uniform", -1.0, 1.0, (1, 4))


def test_critic_and_generator_use_the_published_optimiser() -> None:
    with torch.device("meta"):
        system = build_system("dcgan")
    for network in system.children():
        (group,) = system.optimizer(network).param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (2e-4, (0.5, 0.999), 1e-5)
