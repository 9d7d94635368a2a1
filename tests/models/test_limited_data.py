"""Limited data: what is off changes nothing, closed forms of the terms, p that follows the critic, exact resuming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.augment.alike import Change
from models.augment.anchors import Anchors
from models.augment.apa import PseudoReal
from models.augment.augment import no_augment
from models.augment.front import Front
from models.augment.mirrored import Mirrored, draw_mirrored
from models.augment.overfitting import Controller, sureness
from models.augment.rehearsal import Judged, Script
from models.errors import ConfigError, ModelsError
from models.losses.adversarial import ADVERSARIAL, adversarial
from models.losses.limited import consistency, lecam
from models.losses.verdicts import Verdict, witnessed
from models.recipe import make_recipe
from models.system import Batch, System
from models.trainer import Trainer
from tests.models.test_systems import assert_same_state

MakeTrainer = Callable[..., Trainer]
AT_REST: dict[str, dict[str, Any]] = {
    "ada": {"ada": "blit,geometry,color,filter,noise,cutout", "ada_target": 1.0},
    "ada of no strength": {"ada": "blit:0,color:0", "ada_p": 0.5},
    "apa": {"apa": True, "ada_target": 1.0},
    "consistency": {"consistency": "bcr", "lambda_consistency": 0.0},
}
ALL = {"ada": "blit,geometry,color", "ada_kimg": 0.008, "ada_target": -0.99, "apa": True, "lecam": 0.3,
       "consistency": "bcr"}  # fmt: skip


def steps(trainer: Trainer, until: int) -> dict[str, Tensor]:
    log: dict[str, Tensor] = {}
    for batch in trainer.batches():
        log = trainer.train_step(batch)
        if trainer.step >= until:
            break
    return log


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix"])
def test_a_switch_at_rest_is_bit_for_bit_the_baseline(name: str, tiny_trainer: MakeTrainer) -> None:
    """p = 0 (a critic is never surer than 1), strength 0, no weight: the same losses, weights and random numbers."""
    baseline = tiny_trainer(name, augment="")
    losses = steps(baseline, 2)
    for switch, settings in AT_REST.items():
        trainer = tiny_trainer(name, augment="", **settings)
        log = steps(trainer, 2)
        assert all(torch.equal(log[key], loss) for key, loss in losses.items()), switch
        assert_same_state(trainer.system.state_dict(), baseline.system.state_dict())
        states = [[optimizer.state_dict()["state"] for optimizer in t.optimizers.values()] for t in (trainer, baseline)]
        assert_same_state(*states)


def test_without_switches_systems_get_the_recipes_own_augmentation(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("cut", augment="")
    steps(trainer, 1)
    assert trainer.system.augment is no_augment
    assert trainer.limited.scripts == {}


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix"])
def test_switches_change_what_critics_learn_and_never_what_is_generated(name: str, tiny_trainer: MakeTrainer) -> None:
    trainers = [tiny_trainer(name, augment=""), tiny_trainer(name, augment="", **(ALL | {"ada_p": 0.7}))]
    batch = next(trainers[0].batches())
    rows = [trainer.samples() for trainer in trainers]
    assert_same_state(*rows)
    logs = []
    for trainer in trainers:
        trainer.system.augment = trainer.limited.before_critics(no_augment)
        phase = next(phase for phase in trainer.phases if phase.name == "G")
        torch.manual_seed(0)
        logs.append(phase.losses(batch, trainer.clock))
    untouched = {"cyclegan": ("cycle_a", "cycle_b", "identity_a", "identity_b"), "pix2pix": ("l1",)}[name]
    assert all(torch.equal(logs[0][key], logs[1][key]) for key in untouched)
    assert any(not torch.equal(logs[0][key], logs[1][key]) for key in logs[0] if key.startswith("gan"))


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix"])
def test_resuming_with_all_switches_equals_an_uninterrupted_run(
    name: str, tiny_trainer: MakeTrainer, tmp_path: Path
) -> None:
    # Logits of an untrained critic are about 0, which is the boundary of the vanilla game.
    kind = {"consistency": "accr", "gan": "vanilla"} if name == "cyclegan" else {}
    whole = tiny_trainer(name, "whole", total_kimg=0.014, **(ALL | kind))
    steps(whole, 7)
    whole.save()
    first = tiny_trainer(name, "parts", total_kimg=0.014, **(ALL | kind))
    steps(first, 5)
    first.save()
    second = tiny_trainer(name, "parts", total_kimg=0.014, **(ALL | kind))
    assert second.resume()
    assert second.limited.controller.p == whole.limited.controller.p > 0
    steps(second, 7)
    second.save()
    states = [torch.load(tmp_path / run / "training.pt", weights_only=True) for run in ("whole", "parts")]
    assert_same_state(*states)
    state = states[0]["processes"][0]["limited"]
    assert state["anchors"]["steps"]
    assert state["pseudo"]


def test_p_and_r_are_logged(tiny_trainer: MakeTrainer) -> None:
    log = steps(tiny_trainer("pix2pix", **ALL), 4)
    assert {"augment/p", "augment/r", "D/lecam", "D/consistency"} <= log.keys()
    assert log["augment/p"] > 0


# The critic's overfitting.


def verdict(real: float, boundary: float | None = 0.0, share: float = 1.0) -> Verdict:
    """A map of logits of which `share` are `real` and the others as far on the other side of 0.5."""
    logits = torch.full((2, 1, 10, 10), real)
    logits.flatten()[int(200 * share) :] = 1 - real
    return Verdict(logits, torch.zeros(2, 1, 10, 10), boundary)


@pytest.mark.parametrize("game", ["lsgan", "lsgan_pearson", "vanilla", "hinge", "lsgan:0.9"])
def test_the_boundary_is_where_the_best_critic_cannot_tell(game: str) -> None:
    """Of a half real, half fake density the critic's loss is least at the boundary: found by a search."""
    levels = torch.linspace(-2, 2, 4001)
    losses = [float(adversarial(game).d(level[None], level[None])) for level in levels]
    with witnessed() as verdicts:
        adversarial(game).d(levels[:1], levels[:1])
    assert verdicts[0].boundary is not None
    # Hinge is flat between -1 and 1: the middle of the least.
    least = levels[np.isclose(losses, min(losses), atol=1e-6)]
    assert float(least.mean()) == pytest.approx(verdicts[0].boundary, abs=2e-3 if ":" not in game else 0.06)


def test_a_wasserstein_critic_has_no_boundary_and_nothing_is_seen_outside() -> None:
    with witnessed() as verdicts:
        ADVERSARIAL["wasserstein"].d(torch.zeros(1), torch.zeros(1))
    assert verdicts[0].boundary is None
    ADVERSARIAL["hinge"].d(torch.zeros(1), torch.zeros(1))
    assert len(verdicts) == 1


def test_sureness_is_the_mean_sign_about_the_boundary_over_all_patches() -> None:
    assert float(sureness([verdict(0.8, 0.5)])) == 1
    assert float(sureness([verdict(0.8, 0.5, share=0.75)])) == pytest.approx(0.5)
    assert float(sureness([verdict(0.2, 0.5)])) == -1
    assert float(sureness([verdict(0.2, 0.0), verdict(-0.2, 0.0)])) == 0


def test_p_rises_while_the_critic_overfits_and_falls_otherwise() -> None:
    controller = Controller(target=0.6, images=1000, ceiling=0.8)
    seen = []
    for r in [1.0] * 400 + [0.0] * 300 + [1.0] * 40:
        controller.observe(torch.tensor(r), batch=10, mean=lambda x: x)
        seen.append(controller.p)
    assert seen[2] == 0.0
    assert seen[3] == pytest.approx(0.04)  # four minibatches of 10 of 1000 images
    assert seen[7] == pytest.approx(0.08)
    assert max(seen) == 0.8
    assert seen[699] == 0.0
    assert seen[-1] == pytest.approx(0.4)


def test_p_rests_at_the_target_and_forgets_what_is_not_a_number() -> None:
    controller = Controller(target=0.5, images=100, ceiling=1.0, p=0.3)
    for r in (1.0, 0.0, float("nan"), 1.0, 0.0):
        controller.observe(torch.tensor(r), batch=10, mean=lambda x: x)
    assert controller.p == 0.3
    assert controller.r == 0.5


# The terms.


def test_lecam_is_its_closed_form() -> None:
    real, fake = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 3.0])
    term = lecam(real, fake, torch.tensor(0.5), torch.tensor(-1.0))
    assert float(term) == pytest.approx(((1 + 1) ** 2 + 0) / 2 + (0.5**2 + 0) / 2)


def test_lecam_is_nothing_where_logits_are_on_the_others_side() -> None:
    real, fake = torch.full((3, 1, 4, 4), -1.0), torch.full((3, 1, 4, 4), 1.0)
    assert float(lecam(real, fake, anchor_real=torch.tensor(0.9), anchor_fake=torch.tensor(-0.9))) == 0


def test_anchors_are_means_that_forget_without_the_bias_of_their_beginning() -> None:
    anchors, random = Anchors(0.9), np.random.default_rng(0)
    values = random.normal(size=(6, 2)).astype(np.float32)
    for k, value in enumerate(values):
        real, fake = anchors.update("D/0", torch.from_numpy(value))
        weights = 0.9 ** np.arange(k, -1, -1)
        expected = weights @ values[: k + 1] / weights.sum()
        assert [float(real), float(fake)] == pytest.approx(expected.tolist(), abs=1e-5)
    before = anchors.state()["sums"]["D/0"].clone()
    anchors.update("D/0", torch.tensor([float("nan"), 1.0]))
    assert torch.equal(anchors.state()["sums"]["D/0"], before)


def test_lecam_in_training_is_the_term_on_the_critics_own_logits(tiny_trainer: MakeTrainer) -> None:
    """The first step's anchors are that step's means."""
    trainer = tiny_trainer("pix2pix", augment="", lecam=0.5, generator="compact", norm="none", size=32, critic_field=16)
    trainer.system.augment = trainer.limited.before_critics(no_augment)
    batch = next(trainer.batches())
    with witnessed() as verdicts, torch.no_grad():
        losses = trainer.phases[0].losses(batch, trainer.clock)
    real, fake = verdicts[0].real, verdicts[0].fake
    assert float(losses["lecam"]) == pytest.approx(0.5 * float(lecam(real, fake, real.mean(), fake.mean())))


def test_a_mirrored_map_is_mirrored_back() -> None:
    random = np.random.default_rng(1)
    images = torch.from_numpy(random.random((4, 3, 32, 32), np.float32))
    mirror = torch.tensor([True, False, True, False])
    change = Mirrored(mirror, lambda x: x)
    torch.testing.assert_close(change.back(change(images)), images)
    assert torch.equal(change(images)[0], images[0].flip(2))
    vector = torch.rand(4, 1)
    assert torch.equal(change.back(vector), vector)
    torch.manual_seed(0)
    drawn = draw_mirrored(torch.zeros(400, 3, 64, 64))
    assert 0.4 < float(drawn.mirror.float().mean()) < 0.6


def test_consistency_is_the_mean_square_and_nothing_for_a_critic_that_does_not_mind() -> None:
    assert float(consistency(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]))) == 2.5


@pytest.mark.parametrize("kind", ["cr", "bcr", "accr"])
def test_consistency_in_training_is_that_of_the_critic_asked_again(kind: str, tiny_trainer: MakeTrainer) -> None:
    """CycleGAN's critic of A, by hand: on real, pooled and returned images, and the same ones changed."""
    trainer = tiny_trainer("cyclegan", augment="", consistency=kind, lambda_consistency=3.0)
    system: Any = trainer.system
    batch: Any = next(trainer.batches())
    shown: list[Tensor] = []
    system.augment = trainer.limited.before_critics(no_augment)
    phases = {phase.name: phase for phase in trainer.phases}
    change = Change(trainer.recipe.train.seed, trainer.step)

    def term(number: int, image: Tensor) -> float:
        changed = change(number, (None, image))[1]
        assert any(torch.equal(changed, seen) for seen in shown)
        back = change.drawn[number].back(system.critic_a(changed))
        return float((system.critic_a(image) - back).square().mean())

    with torch.no_grad():
        phases["G"].losses(batch, trainer.clock)
        hook = system.critic_a.register_forward_hook(lambda _, given, __: shown.append(given[0].clone()))
        losses = phases["D_a"].losses(batch, trainer.clock)
        hook.remove()
        expected = term(0, batch.a)
        if kind != "cr":
            expected += term(1, system.pool_a.draw())
        if kind == "accr":
            expected += term(0, system.generator_ba(system.generator_ab(batch.a)))
    assert len(shown) == {"cr": 4, "bcr": 4, "accr": 8}[kind]
    assert float(losses["consistency"]) == pytest.approx(3 * expected, rel=1e-4)


def test_consistency_leaves_losses_and_random_numbers_as_they_were(tiny_trainer: MakeTrainer) -> None:
    logs = []
    for settings in ({}, {"consistency": "bcr"}):
        trainer = tiny_trainer("bicyclegan", augment="color,cutout", **settings)
        logs.append((steps(trainer, 1), torch.get_rng_state()))
    assert all(torch.equal(logs[1][0][key], loss) for key, loss in logs[0][0].items() if key != "G/gan")
    assert torch.equal(logs[0][1], logs[1][1])


# APA.


def test_apa_shows_a_critic_what_it_was_shown_as_generated_a_step_before(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("pix2pix", augment="", apa=True, ada_p=1.0, generator="compact", norm="none", size=32,
                           critic_field=16)  # fmt: skip
    shown: list[Tensor] = []
    system: Any = trainer.system
    system.critic.register_forward_hook(lambda _, given, __: shown.append(given[0].detach().clone()))
    shows = []
    batches = trainer.batches()
    for _ in range(2):
        shown.clear()
        batch = next(batches)
        trainer.train_step(batch)
        shows.append([batch, *shown])
    (first, real, fake, _), (_, swapped, _, _) = shows
    assert torch.equal(real, torch.cat([first.source, first.target], dim=1))  # nothing is kept yet
    assert torch.equal(swapped, fake)  # condition and image together
    assert not swapped.requires_grad


def test_the_share_of_exchanged_pictures_is_p() -> None:
    script = Script(2, 1, (Judged(0, (0,), (1,), 0.0),), frozenset(), {})
    pseudo = PseudoReal()
    torch.manual_seed(0)
    real, fake = torch.zeros(2000, 1, 2, 2), torch.ones(2000, 1, 2, 2)
    for k in range(2):
        front = Front()
        front.begin(pseudo.edit("D", script, 0.3))
        shown = front(real)
        assert torch.equal(front(fake), fake)
        pseudo.keep()
        assert float(shown.mean()) == pytest.approx(0.3 * k, abs=0.04)
        assert set(shown.flatten(1).mean(1).tolist()) <= {0.0, 1.0}


# Settings.


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"ada": "blur"}, "'blur' is no class of augmentations"), ({"consistency": "zcr"}, "there are cr, bcr, accr"),
     ({"ada_p": 1.5}, "are probabilities"), ({"lecam": -1.0}, "not negative"), ({"lecam_decay": 1.0}, r"in \[0, 1\)")],
)  # fmt: skip
def test_a_wrong_switch_is_told(
    settings: dict[str, Any], words: str, recipe_values: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError, match=words):
        make_recipe(recipe_values("cut", **settings))


def test_a_phase_that_departs_from_its_rehearsal_is_told(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("cut", lecam=0.1)
    batch = next(trainer.batches())
    system: System = trainer.system
    trainer.train_step(batch)
    shown = system.d_losses  # type: ignore[attr-defined]

    def twice(given: Batch, clock: Any) -> Any:
        return shown(given, clock) and shown(given, clock)

    phase = trainer.phases[0]
    script = trainer.limited
    with pytest.raises(ModelsError, match="showed its critics 4 batches of pictures, not 2 as in the rehearsal"):
        script._run((phase.__class__("D", (), twice), batch, trainer.clock), lambda _, pictures: pictures)
