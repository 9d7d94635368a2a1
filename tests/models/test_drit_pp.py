"""DRIT++ between many domains: labels, classes, mode seeking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from models.data.batches import DomainImages
from models.recipe import read_recipe
from models.system import Clock
from models.systems.drit_pp import DritPlusPlus

CLOCK = Clock()
Tiny = Callable[..., tuple[DritPlusPlus, DomainImages]]


def test_mode_seeking_is_on_and_its_absence_is_drit(tiny_system: Tiny) -> None:
    system, batch = tiny_system("drit_pp")
    assert system.cfg.lambda_mode_seeking == 1.0
    plain, _ = tiny_system("drit_pp", lambda_mode_seeking=0.0)
    new = set(system.g_losses(batch, CLOCK)) - set(plain.g_losses(batch, CLOCK))
    assert new == {"mode_seeking_a", "mode_seeking_b"}


def test_the_two_domain_form_is_a_recipe_of_drit(root: Path) -> None:
    recipe = read_recipe(root / "models" / "recipes" / "msgan_drit.toml")
    assert (recipe.train.system, recipe.system.lambda_mode_seeking) == ("drit", 1.0)


def test_the_class_terms_weigh_5_and_1_and_each_moves_its_player(tiny_system: Tiny) -> None:
    system, batch = tiny_system("drit_pp")
    for critic in system.critics.values():
        torch.nn.init.zeros_(critic.classes.weight)  # type: ignore[union-attr, arg-type]
    undecided = 0.693147  # of two classes
    assert system.d_losses(batch, CLOCK)["class"].item() == pytest.approx(1 * 4 * undecided, rel=1e-4)
    for losses in (system.eg_losses(batch, CLOCK), system.g_losses(batch, CLOCK)):
        assert losses["class"].item() == pytest.approx(5 * 2 * undecided, rel=1e-4)


def test_the_content_critic_names_domains_and_the_encoder_wants_them_uniform(tiny_system: Tiny) -> None:
    system, batch = tiny_system("drit_pp")
    contents = [system.content(*side) for side in system.sides(batch)]
    logits = [system.content_critic(content) for content in contents]
    assert all(logit.shape[:2] == (2, 2) for logit in logits)
    certain = torch.tensor([[8.0, -8.0]])[:, :, None, None]
    assert system.undecided(torch.zeros_like(certain)) < system.undecided(certain)
    right = [20 * side[1][:, :, None, None] for side in system.sides(batch)]
    assert system.tell_domains(right, system.sides(batch)) < 1e-3


def test_content_does_not_hear_of_the_label_and_the_picture_does(tiny_system: Tiny) -> None:
    system, batch = tiny_system("drit_pp")
    system.eval()
    with torch.no_grad():
        for parameter in system.generator.parameters():
            parameter.mul_(5)
        labels = [F.one_hot(torch.full((2,), k), 2).float() for k in (0, 1)]
        contents = [system.content(batch.image, label) for label in labels]
        assert torch.equal(*contents)
        pictures = [system.generator(contents[0], torch.zeros(2, 4), label) for label in labels]
    assert (pictures[0] - pictures[1]).abs().max() > 1e-3


def test_what_ships_takes_z_and_a_domain_by_name(tiny_system: Tiny) -> None:
    parts = tiny_system("drit_pp")[0].deployables()
    z, domain = parts["generator"].controls
    assert (z.companion, domain.names, domain.default) == ("attribute", ("dark", "light"), (1.0, 0.0))
    assert parts["attribute"].controls == (domain,)
