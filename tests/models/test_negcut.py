"""NEGCUT's checkable properties and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.batches import TwoImages
from models.losses.contrastive import nce_against
from models.registry import build_system
from models.system import Clock, Phase
from models.systems.negcut import NegCut, diversity
from models.trainer import Trainer, run_phase

CLOCK = Clock()
Tiny = Callable[..., tuple[NegCut, TwoImages]]


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def run(trainer: Trainer, phase: Phase, batch: TwoImages) -> None:
    run_phase(phase, trainer.optimizers, (batch, CLOCK), trainer.fabric, trainer.guard)


def state(network: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def same(network: nn.Module, before: list[Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(network.state_dict().values(), before, strict=True))


def test_parameters_are_those_of_the_papers_layers() -> None:
    with torch.device("meta"):
        system = build_system("negcut")
    maker = sum(p.numel() for p in system.get_submodule("maker").parameters())
    assert maker == 5 * (320 * 256 + 256 + 256 * 256 + 256)
    generator = sum(p.numel() for p in system.get_submodule("generator").parameters())
    assert generator == pytest.approx(11.378e6, rel=1e-3)


def test_the_loss_is_its_formula_with_made_negatives_only() -> None:
    torch.manual_seed(0)
    query, key, negatives = unit(2, 3, 5), unit(2, 3, 5), unit(2, 4, 5)
    losses = []
    for n in range(2):
        for p in range(3):
            scores = torch.stack([query[n, p] @ key[n, p], *(query[n, p] @ other for other in negatives[n])]) / 0.07
            losses.append(torch.logsumexp(scores, 0) - scores[0])
    torch.testing.assert_close(nce_against(query, key, negatives), torch.stack(losses).mean())


def test_players_take_turns_d_n_g(tiny_system: Tiny) -> None:
    system, _ = tiny_system("negcut")
    assert [phase.name for phase in system.phases()] == ["D", "N", "G"]
    assert system.shipped() == (system.generator,)


def test_the_makers_step_raises_the_contrastive_loss(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("negcut", lambda_diversity=0.0, lr=0.01)
    system, batch = trainer.system, next(trainer.batches())
    phase = trainer.phases[1]
    torch.manual_seed(0)
    before = phase.losses(batch, CLOCK)["nce"]
    torch.manual_seed(0)
    run(trainer, phase, batch)
    torch.manual_seed(0)
    assert phase.losses(batch, CLOCK)["nce"] < before  # it is minus the loss
    assert isinstance(system, NegCut)


def test_negatives_differ_between_draws_and_diversity_says_how_much(tiny_system: Tiny) -> None:
    system, batch = tiny_system("negcut", negatives=8)
    negatives = system.maker(system.means(batch.a))
    assert all(layer.shape == (2, 8, 8) for layer in negatives)
    assert diversity(negatives) > 0
    assert diversity([layer[:, :1].expand(-1, 8, -1) for layer in negatives]) == 0
    for layer in system.maker.layers:
        nn.init.zeros_(layer[0].weight[:, -64:])  # deaf to noise
    assert diversity(system.maker(system.means(batch.a))) < 1e-6


def test_query_and_key_are_detached_in_the_makers_turn(tiny_system: Tiny) -> None:
    system, batch = tiny_system("negcut")
    total = torch.stack(list(system.n_losses(batch, CLOCK).values())).sum()
    others = [*system.generator.parameters(), *system.heads.parameters()]
    assert all(g is None for g in torch.autograd.grad(total, others, allow_unused=True, retain_graph=True))
    assert all(g is not None for g in torch.autograd.grad(total, list(system.maker.parameters())))


def test_averaged_heads_have_no_optimiser_and_follow_with_decay_09(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("negcut", lr=0.01)
    system, batch = trainer.system, next(trainer.batches())
    assert isinstance(system, NegCut)
    assert system.averaged_heads not in trainer.optimizers
    before, maker = state(system.averaged_heads), state(system.maker)
    for phase in trainer.phases[:2]:
        run(trainer, phase, batch)
        assert same(system.averaged_heads, before)
        assert same(system.maker, maker) == (phase.name == "D")
    maker = state(system.maker)
    run(trainer, trainer.phases[2], batch)
    assert same(system.maker, maker)  # the generator's step does not move the adversary
    for old, new, head in zip(before, system.averaged_heads.buffers(), system.heads.parameters(), strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * head)


def test_features_are_projected_by_two_sets_of_heads(tiny_system: Tiny) -> None:
    system, batch = tiny_system("negcut")
    means = system.means(batch.a)
    with torch.no_grad():
        for parameter in system.heads.parameters():
            parameter.add_(1.0)
    for before, after in zip(means, system.means(batch.a), strict=True):
        assert torch.equal(before, after)
    with torch.no_grad():
        for average in system.averaged_heads.buffers():
            average.add_(torch.randn_like(average))
    assert not torch.equal(means[0], system.means(batch.a)[0])
