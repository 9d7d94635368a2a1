"""TuiGAN's checkable properties, its parameter counts, its resizing and its data."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.cubic_resize import cubic_matrix, resized
from models.data.batches import TwoImages
from models.data.datasets import DataConfig, open_dataset
from models.errors import ConfigError, DataError
from models.losses.gradient_penalty import gradient_penalty, pixel_gradient_penalty
from models.networks.coarse_to_fine import Pyramid, Stage
from models.registry import build_system
from models.system import Clock
from models.systems.tuigan import TuiGan, scale_factors
from models.trainer import Trainer

CLOCK = Clock()
Tiny = Callable[..., tuple[TuiGan, TwoImages]]


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("tuigan")
    stages = [count(stage) for stage in system.get_submodule("ab.stages").children()]
    assert stages[1:] == pytest.approx([0.033, 0.033, 0.033, 0.122], abs=5e-4)  # the width doubles every four scales
    assert stages[0] < stages[1], "the coarsest has nothing to mix"
    assert count(next(system.get_submodule("critics_a").children())) == pytest.approx(0.029, abs=5e-4)


def test_the_factor_is_fitted_to_the_coarsest_and_the_finest_size() -> None:
    factors = scale_factors(250, 100, 0.75)
    assert len(factors) == 5
    assert (250 * factors[0], factors[-1]) == (pytest.approx(100), 1.0)
    ratios = [small / large for small, large in pairwise(factors)]
    assert ratios == pytest.approx([0.4**0.25] * 4)
    assert scale_factors(100, 100, 0.75) == [1.0]


def test_it_is_shown_exactly_one_image_of_each_domain(images: Path) -> None:
    a, b = (images / side / "2.png" for side in ("trainA", "trainB"))
    data = open_dataset("two_images", DataConfig(data_a=str(a), data_b=str(b), size=70), 0)
    first, later = data.sample(0), data.sample(99)
    assert isinstance(first, TwoImages)
    assert isinstance(later, TwoImages)
    assert torch.equal(first.a, later.a)
    assert first.a.shape == (3, 65, 70), "whole, not cropped: the longer side is 70"
    torch.testing.assert_close(first.a, -first.b, atol=0.02, rtol=0)  # B is A's negative
    small = open_dataset("two_images", DataConfig(data_a=str(a), data_b=str(b), size=999), 0).sample(0)
    assert isinstance(small, TwoImages)
    assert small.a.shape == (3, 130, 140), "not enlarged"
    with pytest.raises(DataError, match="trainA holds 5 images, but one is learned from"):
        open_dataset("two_images", DataConfig(data=str(images)), 0)


def test_coarse_scales_are_frozen_while_a_finer_one_trains(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("tuigan", total_kimg=0.016)
    system = trainer.system
    assert isinstance(system, TuiGan)
    networks = (*system.ab.stages, *system.ba.stages, *system.critics_a, *system.critics_b)
    at_rest: list[dict[str, Tensor]] = []
    for batch in trainer.batches():
        scale = system.scale(trainer.clock)
        before = [state(network) for network in networks]
        trainer.train_step(batch)
        still = [same(was, state(network)) for was, network in zip(before, networks, strict=True)]
        assert still[1 - scale :: 2] == [True] * 4, "weights and running statistics"
        assert not all(still[scale::2])
        at_rest.append(before[0])
    assert same(at_rest[4], at_rest[7])
    assert not same(at_rest[0], at_rest[4])


def test_a_scale_begins_with_the_coarser_ones_weights(tiny_system: Tiny) -> None:
    system, batch = tiny_system("tuigan")
    for step, expected in ((3, False), (5, False), (4, True)):  # of eight
        with torch.no_grad():
            for parameter in system.critics_b[1].parameters():
                parameter.normal_()
        system.d_losses(1, batch, Clock(step, step / 1000, 0.008))
        own = dict(system.critics_b[1].named_parameters())
        taken = [torch.equal(own[name], p) for name, p in system.critics_b[0].named_parameters()]
        assert taken == [expected] * len(taken), step
        assert same(dict(system.ab.stages[1].translate.named_parameters()),  # type: ignore[arg-type]
                    dict(system.ab.stages[0].translate.named_parameters())) == expected  # type: ignore[arg-type]  # fmt: skip


def test_a_wider_scale_begins_anew(small: Callable[[str], dict[str, Any]]) -> None:
    settings = small("tuigan") | {"size": 64, "min_size": 20, "factor": 0.75}
    system = build_system("tuigan", settings)
    assert isinstance(system, TuiGan)
    assert len(system.ab.stages) == 6
    before = state(system.ab.stages[4])
    system.begin(4, Clock(4, 4.0, 6.0))
    assert same(before, state(system.ab.stages[4]))
    system.begin(5, Clock(5, 5.0, 6.0))
    assert same(state(system.ab.stages[4]), state(system.ab.stages[5]))


def test_the_mask_mixes_the_own_and_the_coarser_output() -> None:
    torch.manual_seed(0)
    stage, image, coarser = Stage(3, 4, 1, 0, first=False).eval(), torch.rand(2, 3, 9, 7), torch.rand(2, 3, 9, 7)
    own = stage.translate(image)
    assert stage.mask is not None
    mask = stage.mask(torch.cat([image, own, coarser], dim=1))
    assert mask.shape == image.shape
    assert mask.min() > 0
    assert mask.max() < 1
    torch.testing.assert_close(stage(image, coarser), mask * coarser + (1 - mask) * own)
    for bias, expected in ((50.0, coarser), (-50.0, own)):
        nn.init.constant_(stage.mask[-2].bias, bias)  # type: ignore[arg-type]
        torch.testing.assert_close(stage(image, coarser), expected)


def test_cycle_and_identity_go_through_the_other_directions_pyramid(tiny_system: Tiny) -> None:
    system, batch = tiny_system("tuigan", noise=0.0)
    system.begin(1, CLOCK)
    losses = system.g_losses(1, batch, CLOCK)
    scales = [system.ab.at(batch.a, k) for k in (0, 1)]
    fakes = system.ab.outputs(scales)
    for name, images in (("cycle_ab", fakes), ("identity_ab", scales)):
        coarse = system.ba.stages[0](images[0])
        fine = system.ba.stages[1](images[1], resized(coarse, (30, 32)).clamp(-1, 1))
        torch.testing.assert_close(losses[name], F.l1_loss(fine, batch.a))


def test_weights_are_those_of_the_paper(tiny_system: Tiny) -> None:
    system, _ = tiny_system("tuigan")
    cfg = system.cfg
    assert (cfg.lambda_gp, cfg.lambda_cycle, cfg.lambda_identity, cfg.lambda_tv) == (0.1, 1.0, 1.0, 0.1)
    rates = [system.learning_rate(system, Clock(0, kimg, 2.0)) for kimg in (0.0, 0.39, 0.41, 0.99, 1.0, 1.41)]
    assert rates == [1.0, 1.0, 0.1, 0.1, 1.0, 0.1]  # a tenth at 1600 of 4000, at each of the two scales
    system.cfg = system.cfg.__class__(turns=3)
    due = [phase.name for step in range(12) for phase in system.phases() if phase.when(Clock(step, step / 12, 1.0))]
    assert due == ["D0", "D0", "D0", "G0", "G0", "G0", "D1", "D1", "D1", "G1", "G1", "G1"]


def test_all_scales_serve_at_inference() -> None:
    torch.manual_seed(0)
    stages = [Stage(3, 2, 1, 0, first=k == 0) for k in range(3)]
    pyramid, image = Pyramid(stages, (0.5, 0.7, 1.0)).eval(), torch.rand(1, 3, 24, 40)
    before = pyramid(image)
    assert before.shape == image.shape, "also of images of another size than the one it learned from"
    for stage in stages:
        kept = state(stage)
        nn.init.constant_(stage.translate[-2].bias, 1.0)  # type: ignore[arg-type]
        assert not torch.allclose(pyramid(image), before)
        stage.load_state_dict(kept)


@pytest.mark.parametrize("size", [(62, 71), (13, 20), (31, 20)])
def test_resizing_is_the_antialiased_cubic(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 31, 50)
    torch.testing.assert_close(
        resized(x, size), F.interpolate(x, size, mode="bicubic", antialias=True), atol=1e-5, rtol=0
    )


def test_a_cubic_matrix_is_matlabs_away_from_the_edge() -> None:
    """imresize([…], 2) gives each sample to eight outputs with these weights, a = -0.5."""
    assert cubic_matrix(9, 18)[:, 4].tolist()[5:13] == pytest.approx(
        [-0.0234375, -0.0703125, 0.2265625, 0.8671875, 0.8671875, 0.2265625, -0.0703125, -0.0234375]
    )


def test_the_penalty_holds_each_pixels_gradient_over_the_channels_at_one() -> None:
    torch.manual_seed(0)
    weight, real, fake = torch.rand(1, 3, 4, 5), torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)

    def critic(image: Tensor) -> Tensor:
        return (image * weight).sum(dim=1, keepdim=True)

    expected = (weight.square().sum(dim=1).sqrt() - 1).square().mean()
    torch.testing.assert_close(pixel_gradient_penalty(critic, real, fake), expected)
    whole = (weight.square().sum().sqrt() - 1).square()
    torch.testing.assert_close(gradient_penalty(critic, real, fake), whole)


def test_sizes_that_leave_too_little_are_refused(small: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="min_size = 100 must be from 11 to size = 64"):
        build_system("tuigan", {"size": 64})
    cv2.imwrite(str(tmp_path / "long.png"), np.zeros((20, 200, 3), np.uint8))
    path = str(tmp_path / "long.png")
    sample = open_dataset("two_images", DataConfig(data_a=path, data_b=path, size=200), 0).sample(0)
    assert isinstance(sample, TwoImages)
    with pytest.raises(ConfigError, match="200×20 px is only 80×8 at the coarsest scale: raise min_size"):
        build_system("tuigan", {"size": 200, "min_size": 80}).prepare(TwoImages(sample.a[None], sample.b[None]))
