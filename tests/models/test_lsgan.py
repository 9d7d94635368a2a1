"""LSGAN's checkable properties, with and without classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models.data.batches import LabelledImage
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.registry import build_system
from models.system import Batch, Clock, System

CLOCK = Clock()
Tiny = Callable[..., tuple[System, Batch]]


def test_the_critic_is_unbounded() -> None:
    with torch.device("meta"):
        system = build_system("lsgan")
    assert isinstance(list(system.get_submodule("critic.layers").children())[-1], nn.Linear)
    assert not any(isinstance(module, (nn.Sigmoid, nn.Tanh)) for module in system.get_submodule("critic").modules())


@pytest.mark.parametrize(("scheme", "labels"), [("binary", (0, 1, 1)), ("pearson", (-1, 1, 0))])
def test_both_label_schemes_in_closed_form(scheme: str, labels: tuple[int, int, int], tiny_system: Tiny) -> None:
    """½(D(x) - b)² + ½(D(G) - a)² and ½(D(G) - c)² of a critic that answers 0.3 everywhere."""
    system, batch = tiny_system("lsgan", scheme=scheme)
    last = list(system.get_submodule("critic.layers").children())[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(0.3)
    a, b, c = labels
    d, g = (phase.losses(batch, CLOCK)["gan"].detach() for phase in system.phases())
    assert float(d) == pytest.approx(0.5 * (0.3 - b) ** 2 + 0.5 * (0.3 - a) ** 2)
    assert float(g) == pytest.approx(0.5 * (0.3 - c) ** 2)
    with pytest.raises(ConfigError, match="no scheme 'ternary'"):
        tiny_system("lsgan", scheme="ternary")


def test_pearsons_scheme_is_the_chi_squared_divergence() -> None:
    """Its labels keep b - c = 1 and b - a = 2; with the best critic, G's loss is ½ χ²(p + q ‖ 2q) on two points."""
    p, q = torch.tensor([0.8, 0.2]), torch.tensor([0.3, 0.7])
    best = (p - q) / (p + q)  # minimises p (D - 1)² + q (D + 1)²
    loss = 0.5 * ((p + q) * best.square()).sum()  # G's loss and a term that does not move it
    torch.testing.assert_close(loss, 0.5 * ((2 * q - (p + q)).square() / (p + q)).sum())


def test_a_fake_far_on_the_right_side_is_still_pulled() -> None:
    logit = torch.tensor([5.0], requires_grad=True)
    (squares,) = torch.autograd.grad(adversarial("lsgan").g(logit), logit)
    (logs,) = torch.autograd.grad(adversarial("vanilla").g(logit), logit)
    assert float(squares) == pytest.approx(8.0)
    assert abs(float(logs)) < 0.01


def test_cyclegan_and_cut_play_the_same_game() -> None:
    with torch.device("meta"):
        games = {build_system(name).game for name in ("lsgan", "cyclegan", "cut")}
    assert games == {adversarial("lsgan")}


def test_the_class_reaches_generator_and_critic(tiny_system: Tiny) -> None:
    system, batch = tiny_system("lsgan")
    assert isinstance(batch, LabelledImage)
    system.eval()
    z, classes = torch.rand(1, 4).expand(2, -1), torch.eye(2)
    with torch.no_grad():
        one, other = system.get_submodule("generator")(z, classes)
        answers = system.get_submodule("critic")(batch.image[:1].expand(2, -1, -1, -1), classes)
    assert not torch.equal(one, other)
    assert answers[0] != answers[1]
    (part,) = system.deployables().values()
    assert [(c.name, c.kind, c.names) for c in part.controls] == [
        ("z", "noise", ()), ("class", "label", ("dark", "light")),
    ]  # fmt: skip


def test_without_names_there_are_no_classes(tiny_system: Tiny) -> None:
    system, batch = tiny_system("lsgan", domains=[])
    assert isinstance(batch, LabelledImage)
    assert batch.label.tolist() == [0, 0]
    assert not any("embed" in name for name, _ in system.named_parameters())
    for phase in system.phases():
        assert torch.isfinite(phase.losses(batch, CLOCK)["gan"])
    assert [c.name for c in system.deployables()["generator"].controls] == ["z"]


def test_the_network_is_that_of_the_112_px_scenes() -> None:
    with torch.device("meta"):
        system = build_system("lsgan")
        assert system.get_submodule("generator")(torch.zeros(2, 1024)).shape == (2, 3, 112, 112)
        assert system.get_submodule("critic")(torch.zeros(2, 3, 112, 112)).shape == (2, 1)
    ups = [m for m in system.get_submodule("generator").modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.out_channels, m.stride[0], m.kernel_size[0]) for m in ups] == [
        (256, 2, 3), (256, 1, 3), (256, 2, 3), (256, 1, 3), (128, 2, 3), (64, 2, 3), (3, 1, 3),
    ]  # fmt: skip
    downs = [m for m in system.get_submodule("critic").modules() if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.stride[0], m.kernel_size[0]) for m in downs] == [
        (64, 2, 5), (128, 2, 5), (256, 2, 5), (512, 2, 5),
    ]  # fmt: skip
