"""Label smoothing and instance noise: settings of a recipe that every system with a critic understands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from models.augment.augment import InstanceNoise, no_augment
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.recipe import make_recipe
from models.system import Clock
from models.trainer import Trainer


def test_smoothed_labels_are_cross_entropy_and_squares_against_that_label() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(50), torch.randn(50)
    loss = F.binary_cross_entropy_with_logits
    expected = loss(real, torch.full_like(real, 0.9)) + loss(fake, torch.zeros_like(fake))
    torch.testing.assert_close(adversarial("vanilla:0.9").d(real, fake), expected)
    squares = F.mse_loss(real, torch.full_like(real, 0.8)) + F.mse_loss(fake, torch.zeros_like(fake))
    torch.testing.assert_close(adversarial("lsgan:0.8").d(real, fake), squares)
    for name in ("vanilla", "saturating", "lsgan"):
        torch.testing.assert_close(adversarial(f"{name}:1").d(real, fake), adversarial(name).d(real, fake))
        assert adversarial(f"{name}:0.9").g is adversarial(name).g, "one-sided"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hinge:0.9", "labels in .* can be given to vanilla, saturating, lsgan"), ("lsgan:0.3", "labels in"),
        ("lsgan:high", "real images' label, as in lsgan:0.9"), ("lsgn:0.9", "there is no gan"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_smoothed_are_told(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        adversarial(name)


def test_noise_is_added_behind_the_augmentation_and_not_to_the_condition() -> None:
    torch.manual_seed(0)
    noisy = InstanceNoise(no_augment, 0.5)
    image = torch.zeros(8, 3, 32, 32)
    assert float(noisy(image).std()) == pytest.approx(0.5, rel=0.02)
    condition, shown = noisy.pair(image, image)
    assert torch.equal(condition, image)
    assert float(shown.std()) == pytest.approx(0.5, rel=0.02)


def test_instance_noise_falls_to_nothing_by_the_end(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("cyclegan", instance_noise=0.4, augment="", gan="lsgan:0.9")
    stds = []
    for batch in trainer.batches():
        trainer.train_step(batch)
        stds.append(getattr(trainer.system.augment, "std", 0.0))
    assert stds == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert trainer.recipe.augment(Clock(4, 0.008, 0.008)) is no_augment


def test_negative_noise_is_refused(recipe_values: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="instance_noise is a standard deviation"):
        make_recipe(recipe_values("dcgan", instance_noise=-1.0))
