"""DTN's checkable properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.data.batches import Adaptation
from models.errors import ConfigError
from models.losses.total_variation import total_variation
from models.registry import build_system
from models.system import Clock
from models.systems.dtn import Dtn
from models.trainer import Trainer, run_phase

CLOCK = Clock()
Tiny = Callable[..., tuple[Dtn, Adaptation]]


def test_the_critic_has_three_logits_and_three_distinct_training_labels(tiny_system: Tiny) -> None:
    system, batch = tiny_system("dtn")
    assert system.critic(system.as_target(batch.target)).shape == (2, 3)
    kinds: list[int] = []
    taken_for = system.taken_for

    def recorded(image: torch.Tensor, kind: int) -> torch.Tensor:
        kinds.append(kind)
        return taken_for(image, kind)

    system.taken_for = recorded  # type: ignore[method-assign]
    system.d_losses(batch, CLOCK)
    assert kinds == [0, 1, 2]
    kinds.clear()
    system.g_losses(batch, CLOCK)
    assert kinds == [2, 2]  # both fakes want to be taken for real ones


def test_the_ternary_losses_are_their_formula(tiny_system: Tiny) -> None:
    system, batch = tiny_system("dtn")
    system.critic = Undecided()
    third = torch.tensor(3.0).log()
    torch.testing.assert_close(system.d_losses(batch, CLOCK)["gan"], 3 * third)
    torch.testing.assert_close(system.g_losses(batch, CLOCK)["gan"], 2 * third)


class Undecided(nn.Module):
    """A critic that gives each class a third."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(image), 3)


def test_f_is_frozen_to_the_bit_while_the_others_train(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("dtn")
    batch = next(trainer.batches())
    encoder = trainer.system.get_submodule("encoder")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    for phase in trainer.phases[1:]:
        run_phase(phase, trainer.optimizers, (batch, CLOCK), trainer.fabric, trainer.guard)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    run_phase(trainer.phases[0], trainer.optimizers, (batch, CLOCK), trainer.fabric, trainer.guard)
    assert not all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_f_learns_first_and_alone(tiny_system: Tiny) -> None:
    system, _ = tiny_system("dtn")
    due = [
        [phase.name for phase in system.phases() if phase.when(Clock(0, kimg, 100.0))] for kimg in (0.0, 19.0, 20.0)
    ]  # fmt: skip
    assert due == [["F"], ["F"], ["D", "G"]]


def test_target_images_and_their_labels_do_not_teach_f(tiny_system: Tiny) -> None:
    system, batch = tiny_system("dtn")
    system.eval()
    other = Adaptation(batch.source, batch.label, torch.rand_like(batch.target))
    assert system.f_losses(batch, CLOCK)["class"] == system.f_losses(other, CLOCK)["class"]


def test_identity_on_targets_and_constancy_are_their_definitions(tiny_system: Tiny) -> None:
    system, batch = tiny_system("dtn")
    system.eval()
    losses = system.g_losses(batch, CLOCK)
    gray = batch.target.mean(1, keepdim=True)
    torch.testing.assert_close(losses["tid"], 15 * F.mse_loss(system.generator(system.code(batch.target)), gray))
    code = system.encoder(batch.source)
    again = system.encoder(system.generator(code).repeat(1, 3, 1, 1))
    torch.testing.assert_close(losses["const"], 15 * F.mse_loss(again, code))


def test_constancy_moves_the_generator_through_f(tiny_system: Tiny) -> None:
    system, batch = tiny_system("dtn")
    weights = [p for p in system.generator.parameters() if p.ndim == 4]
    gradients = torch.autograd.grad(system.g_losses(batch, CLOCK)["const"], weights)
    assert all(g.abs().sum() > 0 for g in gradients)


def test_total_variation_counts_steps_between_neighbours() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(4).expand(1, 1, 6, 8)
    assert total_variation(stripes) == 1.0
    assert total_variation(torch.ones(1, 1, 4, 4)) == 0.0


def test_f_and_g_ship_as_one_graph(tiny_system: Tiny) -> None:
    system, batch = tiny_system("dtn")
    system.eval()
    part = system.deployables()["generator"]
    torch.testing.assert_close(part.module(batch.source), system.generator(system.code(batch.source)))
    assert part.refusal(64, 64) == "it was built for 32×32 images"


def test_channels_that_do_not_fit_are_refused(small: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="it is 1, or channels = 1"):
        build_system("dtn", small("dtn") | {"channels": 1, "target_channels": 3})
