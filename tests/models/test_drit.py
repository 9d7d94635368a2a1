"""DRIT's checkable properties, its parameter counts, and mode seeking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from models.blocks.gaussian_noise import GaussianNoise
from models.clipped_adam import ClippedAdam
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.networks.disentangled import ModulatedDecoder
from models.registry import build_system
from models.system import Clock
from models.systems.drit import Drit
from models.trainer import Trainer

CLOCK = Clock()
Tiny = Callable[..., tuple[Drit, TwoImages]]


def millions(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system, shapes = build_system("drit"), build_system("drit", {"concat": False})
    assert isinstance(system, Drit)
    route = system.deployables()["ab"].module
    assert millions(route.get_submodule("encoder")) == pytest.approx(5.10, rel=1e-3)
    generator = millions(route.get_submodule("shared")) + millions(route.get_submodule("decoder"))
    assert generator == pytest.approx(5.37, rel=1e-3)
    assert millions(shapes.get_submodule("generator.own.b")) == pytest.approx(8.57, rel=1e-3)
    assert millions(system.content_critic) == pytest.approx(10.68, rel=1e-3)
    for critic in system.critics.values():
        assert millions(critic) == pytest.approx(8.27, rel=1e-3)


def test_both_domains_share_one_last_content_block(tiny_system: Tiny) -> None:
    system, _ = tiny_system("drit")
    parts = system.deployables()
    ab, ba = (parts[name].module.get_submodule("encoder") for name in ("ab", "ba"))
    assert ab[1] is ba[1] is system.content.shared  # type: ignore[index]
    assert ab[0] is not ba[0]  # type: ignore[index]
    assert parts["ab"].module.get_submodule("shared") is parts["ba"].module.get_submodule("shared")


def test_there_are_four_image_critics_and_a_content_critic_without_norms(tiny_system: Tiny) -> None:
    system, _ = tiny_system("drit")
    assert list(system.critics) == ["a", "b", "a_random", "b_random"]
    for network in (system.critics, system.content_critic):
        assert not any("Norm" in type(module).__name__ for module in network.modules())


def test_the_generators_move_at_one_third_of_the_steps(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("drit", total_kimg=0.012)
    logs = [{key.partition("/")[0] for key in trainer.train_step(batch)} for batch in trainer.batches()]
    assert logs == [{"C"}, {"C"}, {"C", "D", "EG", "G"}] * 2


def test_the_content_critic_goes_to_one_half_against_the_encoders(tiny_system: Tiny) -> None:
    system, batch = tiny_system("drit")
    logits = torch.linspace(-3, 3, 61).requires_grad_()
    losses = torch.stack([system.undecided(logit) for logit in logits])
    assert int(losses.argmin()) == 30  # logit 0: probability ½
    contents = [system.content(*side).detach() for side in system.sides(batch)]
    adam = torch.optim.Adam(system.content_critic.parameters(), 1e-3)
    for _ in range(5):  # the critic learns to tell
        adam.zero_grad()
        loss = system.tell_domains([system.content_critic(c) for c in contents], system.sides(batch))
        loss.backward()
        adam.step()
    told = [system.content_critic(c).mean().item() for c in contents]
    assert told[0] < told[1]
    adam = torch.optim.Adam(system.content.parameters(), 1e-3)
    before = hidden = sum(
        system.undecided(system.content_critic(system.content(*side))) for side in system.sides(batch)
    )
    for _ in range(5):  # the encoders hide it again
        adam.zero_grad()
        hidden = sum(system.undecided(system.content_critic(system.content(*side))) for side in system.sides(batch))
        assert isinstance(hidden, torch.Tensor)
        hidden.backward()
        adam.step()
    assert hidden < before


def test_the_content_critics_gradient_is_bounded(tiny_system: Tiny) -> None:
    weight = nn.Parameter(torch.zeros(4))
    optimizer = ClippedAdam([weight], 0.1, (0.5, 0.999), 0.0, 5.0)
    weight.grad = torch.full((4,), 100.0)
    optimizer.step()
    assert weight.grad.norm() == pytest.approx(5.0, rel=1e-4)
    system, _ = tiny_system("drit")
    own = system.optimizer(system.content_critic)
    assert isinstance(own, ClippedAdam)
    assert (own.param_groups[0]["lr"], own.longest) == (4e-5, 5.0)
    assert system.optimizer(system.critics).param_groups[0]["lr"] == 1e-4


def test_noise_on_the_content_is_for_training_only(tiny_system: Tiny) -> None:
    system, batch = tiny_system("drit")
    assert isinstance(system.content.shared[1], GaussianNoise)
    assert not torch.equal(system.content(batch.a, "a"), system.content(batch.a, "a"))
    system.eval()
    assert torch.equal(system.content(batch.a, "a"), system.content(batch.a, "a"))


@pytest.mark.parametrize("concat", [True, False])
def test_z_has_an_effect_and_where_it_enters(concat: bool, tiny_system: Tiny) -> None:
    system, batch = tiny_system("drit", concat=concat)
    system.eval()
    content = system.content(batch.a, "a")
    with torch.no_grad():
        for parameter in system.generator.parameters():
            parameter.mul_(5)  # weights of N(0, 0.02) at these widths hide every effect
        first, second = (system.generator(content, z, "b") for z in (torch.zeros(2, 4), torch.ones(2, 4)))
        assert (first - second).abs().max() > 1e-3
        decoder = system.generator.own["b"]
        if isinstance(decoder, ModulatedDecoder):
            return
        x = system.generator.shared(content)
        tiled = [decoder.body(torch.cat([x, torch.full_like(x[:, :4], v)], 1)) for v in (0.0, 1.0)]  # type: ignore[operator]
    # Instance norm removes the constant map, so only the later entrances carry z.
    assert (tiled[0] - tiled[1])[:, :-4].abs().max() < 1e-3


def test_every_image_is_encoded_and_real_even_in_a_batch_of_one(tiny_system: Tiny) -> None:
    system, batch = tiny_system("drit", batch=1)
    assert set(system.d_losses(batch, CLOCK)) == {"a", "b", "a_random", "b_random"}


def test_mode_seeking_draws_two_z_and_both_are_judged(tiny_system: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, batch = tiny_system("drit")
    seeking, _ = tiny_system("drit", lambda_mode_seeking=1.0)
    assert len(plain.randomly(*plain.sides(batch))) == 1
    judged: list[bool] = []
    judge = seeking.judge
    monkeypatch.setattr(seeking, "judge", lambda *a: judged.append(a[2]) or judge(*a))
    losses = seeking.g_losses(batch, CLOCK)
    assert judged == [True] * 4
    assert set(losses) - set(plain.g_losses(batch, CLOCK)) == {"mode_seeking_a", "mode_seeking_b"}
    judged.clear()
    seeking.d_losses(batch, CLOCK)
    assert judged.count(True) == 8  # two fakes and twice the real, on both sides
    assert judged.count(False) == 4


def test_random_styles_train_content_and_generator_only(tiny_system: Tiny) -> None:
    system, _ = tiny_system("drit")
    phases = {phase.name: phase.updates for phase in system.phases()}
    assert phases["G"] == (system.content, system.generator)
    assert phases["EG"] == (system.content, system.attribute, system.generator)


def test_what_ships_takes_z_and_names_who_reads_one(tiny_system: Tiny) -> None:
    system, _ = tiny_system("drit")
    parts = system.deployables()
    assert list(parts) == ["ab", "ba", "attribute_b", "attribute_a"]
    assert [(c.shape, c.distribution, c.companion) for c in parts["ab"].controls] == [((1, 4), "normal", "attribute_b")]


def test_a_size_that_leaves_the_content_critic_nothing_is_told() -> None:
    settings: dict[str, Any] = {"size": 64, "width": 4, "critic_width": 4}
    with pytest.raises(ConfigError, match="too small for content_critic_layers = 3"):
        build_system("drit", settings)
