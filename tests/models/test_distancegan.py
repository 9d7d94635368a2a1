"""DistanceGAN's checkable properties."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.distance import half_distances, normalised_difference, pair_distances
from models.registry import build_system
from models.system import Clock
from models.systems.distancegan import DistanceGan
from models.trainer import Trainer

CLOCK = Clock()
Tiny = Callable[..., tuple[DistanceGan, TwoImages]]


def test_distances_are_their_definition() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 3, 6, 5)
    pairs = [(x[i] - x[j]).abs().mean() for i in range(4) for j in range(i + 1, 4)]
    torch.testing.assert_close(pair_distances(x), torch.stack(pairs))
    halves = [(image[:, :3] - image[:, 3:]).abs().mean() for image in x]
    torch.testing.assert_close(half_distances(x), torch.stack(halves))


@pytest.mark.parametrize("distances", [pair_distances, half_distances])
def test_the_loss_is_zero_for_an_affine_map_of_brightness(distances: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    images = torch.rand(6, 3, 8, 8)
    mapped = -0.4 * images + 0.3
    spreads = tuple(torch.stack([d.mean(), d.std()]) for d in (distances(images), distances(mapped)))
    loss = normalised_difference(distances(images), distances(mapped), spreads)  # type: ignore[arg-type]
    assert loss < 1e-5
    shuffled = normalised_difference(distances(images), distances(mapped).flip(0), spreads)  # type: ignore[arg-type]
    assert shuffled > 0.1


def test_statistics_of_the_data_are_kept_with_the_run_and_used(
    tiny_trainer: Callable[..., Trainer], tiny_system: Tiny, tmp_path: Path
) -> None:
    trainer = tiny_trainer("distancegan")
    trainer.save()
    state = torch.load(tmp_path / "run" / "training.pt", weights_only=True)["system"]
    system, batch = tiny_system("distancegan", batch=8)
    for key, images in (("spread_a", batch.a), ("spread_b", batch.b)):
        assert state[key][0] > 0
        found = pair_distances(images)
        torch.testing.assert_close(system.get_buffer(key), torch.stack([found.mean(), found.std()]))
    before = system.g_losses(batch, CLOCK)["distance_ab"]
    system.spread_b.mul_(2)
    assert system.g_losses(batch, CLOCK)["distance_ab"] != before


def test_one_image_has_no_pairs_but_halves(tiny_trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(ConfigError, match="batch = 1 does not suit distancegan: one image has no pairs"):
        tiny_trainer("distancegan", batch=1)
    trainer = tiny_trainer("distancegan", batch=1, distance="self")
    assert torch.isfinite(trainer.train_step(next(trainer.batches()))["G/distance_ab"])


def test_one_sided_mode_builds_no_way_back(tiny_system: Tiny) -> None:
    system, _ = tiny_system("distancegan", batch=3)
    networks = {net for phase in system.phases() for net in phase.updates}
    assert networks == {system.ab.generator, system.ab.critic}
    assert sum(isinstance(m, nn.Tanh) for m in system.modules()) == 1
    assert list(system.deployables()) == ["ab"]
    system, batch = tiny_system("distancegan", batch=3, two_sided=True, lambda_cycle=10.0)
    assert list(system.deployables()) == ["ab", "ba"]
    assert set(system.g_losses(batch, CLOCK)) == {
        "gan_ab", "gan_ba", "distance_ab", "distance_ba", "cycle_a", "cycle_b",
    }  # fmt: skip


def test_settings_that_contradict_are_refused(small: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="two_sided = true"):
        build_system("distancegan", small("distancegan") | {"lambda_cycle": 10.0})
    with pytest.raises(ConfigError, match="no distance 'far'"):
        build_system("distancegan", small("distancegan") | {"distance": "far"})
    same = TwoImages(torch.ones(4, 3, 8, 8), torch.ones(4, 3, 8, 8))
    with pytest.raises(ConfigError, match="needs several"):
        build_system("distancegan", small("distancegan")).prepare(same)
