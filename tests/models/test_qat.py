"""Rounding in training: its arithmetic, when it begins, what it leaves in the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from calibration.int8 import WEIGHT_AXIS, quantised_weight
from calibration.methods import Histogram, mse
from models.checkpoint import load_system
from models.compress.placement import Placement, plan_rounding
from models.compress.qat import NAME, OBSERVED, FakeQuant, attach, best_range, fake_round, fake_round_weight
from models.errors import ConfigError
from models.networks.compact import CompactGenerator
from models.recipe import make_recipe
from models.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
# Two generator passes a step: one for the critic, one for the generator.
LONG = {"total_kimg": 0.048, "qat_after": 0.25, "generator": "compact", "augment": "", "ema": 0.5}


@pytest.fixture
def image() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(1, 3, 16, 24) * 2 - 1


def quantiser_of(trainer: Trainer) -> FakeQuant:
    (quantiser,) = trainer.last_phase.quantisers.values()
    return quantiser


def run(trainer: Trainer, steps: int) -> None:
    for _, batch in zip(range(steps), trainer.batches(), strict=False):
        trainer.train_step(batch)


def test_activations_round_as_the_onnx_operators_do() -> None:
    """Half to even, saturation at -128 and 127."""
    scale = 0.25
    x = torch.tensor([0.125, 0.375, -0.125, -0.375, 0.3, 31.75, 40.0, -32.0, -40.0])
    codes = np.clip(np.rint(x.numpy() / np.float32(scale)), -128, 127)
    assert codes.tolist() == [0, 2, 0, -2, 1, 127, 127, -128, -128]
    torch.testing.assert_close(fake_round(x, torch.tensor(scale)), torch.from_numpy(codes * scale).float())


def test_the_gradients_are_straight_through_and_lsq_s() -> None:
    x = torch.tensor([0.3, 40.0, -40.0], requires_grad=True)
    scale = torch.tensor(0.25, requires_grad=True)
    fake_round(x, scale).sum().backward()
    assert x.grad is not None
    assert scale.grad is not None
    assert x.grad.tolist() == [1, 0, 0]
    # Inside: rounded code minus exact code; outside: the bound (LSQ, equation 3).
    assert float(scale.grad) == pytest.approx((1 - 0.3 / 0.25) + 127 - 128, abs=1e-5)


@pytest.mark.parametrize("bits", [7, 8])
@pytest.mark.parametrize("axis", [*WEIGHT_AXIS.values(), -1])
def test_weights_round_as_calibration_writes_them(axis: int, bits: int) -> None:
    weight = np.random.default_rng(axis + bits).standard_normal((6, 5, 3, 3)).astype(np.float32)
    weight[2], weight[:, 1] = 0, 0
    codes, scales = quantised_weight(weight, axis, bits)
    shape = [-1 if k == axis else 1 for k in range(4)] if axis >= 0 else []
    rounded = fake_round_weight(torch.from_numpy(weight), axis, bits).numpy()
    np.testing.assert_allclose(rounded, codes * scales.reshape(shape), atol=1e-7)


@pytest.mark.parametrize("outlier", [0.0, 6.0, 40.0])
def test_the_first_range_is_as_good_as_calibration_s(outlier: float) -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.randn(8000), torch.tensor([outlier])])
    histogram = Histogram()
    histogram.add(x.numpy())

    def error(limit: float) -> float:
        return float((fake_round(x, torch.tensor(limit / 127)) - x).square().mean())

    assert error(float(best_range(x))) <= 1.1 * error(mse(histogram))


@pytest.mark.parametrize(
    ("norm", "ends", "layers", "sums"),
    [("none", False, 4, 2), ("batch", False, 4, 2), ("instance", False, 4, 0), ("none", True, 6, 2)],
)
def test_a_compact_generator_rounds_its_body_and_its_sums(
    image: Tensor, norm: str, ends: bool, layers: int, sums: int
) -> None:
    """Instance norm stands between a convolution and its sum, and stays exact with it; batch norm folds away."""
    plan = plan_rounding(CompactGenerator(width=4, blocks=2, norm_kind=norm), [image], Placement(ends=ends))
    kinds = [site.kind for site in plan.sites.values()]
    assert (kinds.count("conv2d"), kinds.count("add")) == (layers, sums)
    assert all(bool(site.norm) == (norm == "batch" and site.kind == "conv2d") for site in plan.sites.values())


def test_off_it_changes_nothing_and_on_it_rounds(image: Tensor) -> None:
    torch.manual_seed(0)
    generator = CompactGenerator(width=4, blocks=2)
    before = generator(image)
    quantiser = attach(generator, [image], Placement())
    assert torch.equal(generator(image), before)
    quantiser.start()
    for _ in range(OBSERVED):
        assert torch.equal(generator(image), before), "observing is exact"
    assert not torch.equal(generator(image), before)
    assert (generator(image) - before).abs().max() < 0.05
    generator(image).sum().backward()
    assert quantiser.log_ranges.grad is not None
    assert all(p.grad is not None for p in generator.parameters())


def test_a_generator_that_rounds_runs_as_it_ships_and_is_given_back_in_training(image: Tensor) -> None:
    generator = CompactGenerator(width=4, blocks=2, norm_kind="batch")
    attach(generator, [image], Placement()).adopt([1.0] * 6)
    statistics = {name: b.clone() for name, b in generator.named_buffers() if "running" in name}
    generator.train()(image)
    assert all(torch.equal(statistics[n], b) for n, b in generator.named_buffers() if "running" in n)
    assert all(module.training for module in generator.modules())


def test_a_generator_that_is_a_sequence_rounds_too(image: Tensor) -> None:
    generator = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)))
    exact = generator(image)
    attach(generator, [image], Placement()).adopt([1.0])
    assert 0 < (generator(image) - exact).abs().max() < 0.05


def test_an_error_within_leaves_no_rounding_behind(image: Tensor) -> None:
    generator = CompactGenerator(width=4, blocks=2)
    attach(generator, [image], Placement()).adopt([1.0] * 6)
    with pytest.raises(RuntimeError):
        generator(image[:, :2])
    conv = nn.Conv2d(3, 3, 1)
    assert torch.equal(conv(image), nn.functional.conv2d(image, conv.weight, conv.bias))


def test_the_last_phase_begins_at_its_share_and_its_ranges_reach_the_checkpoint(
    tiny_trainer: MakeTrainer, tmp_path: Path
) -> None:
    trainer = tiny_trainer("pix2pix", **LONG)
    quantiser = quantiser_of(trainer)
    run(trainer, 6)
    assert int(quantiser.observed) == 0
    run(trainer, trainer.total_steps - trainer.step)
    assert quantiser.rounds
    trainer.save()
    plain, info = load_system(tmp_path / "run" / "checkpoint.safetensors")
    assert not any(NAME in name for name in plain.state_dict())
    trained = info.ranges["generator"]
    assert len(trained.ranges) == quantiser.plan.tensors > 0
    # EMA of ranges that a few steps have moved: near those of the last step.
    np.testing.assert_allclose(trained.ranges, quantiser.ranges, rtol=0.01)
    assert trained.ranges != pytest.approx(quantiser.ranges, rel=1e-7)


def test_without_a_last_phase_nothing_is_added(tiny_trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer = tiny_trainer("pix2pix", generator="compact")
    run(trainer, 1)
    trainer.save()
    assert load_system(tmp_path / "run" / "checkpoint.safetensors")[1].ranges == {}
    assert not any(NAME in name for name in load_file(tmp_path / "run" / "checkpoint.safetensors"))


@pytest.mark.parametrize("stop", [10, 22])  # while observing, and while rounding
def test_going_on_ends_where_an_uninterrupted_run_does(tiny_trainer: MakeTrainer, stop: int) -> None:
    whole, first = tiny_trainer("pix2pix", "whole", **LONG), tiny_trainer("pix2pix", "parts", **LONG)
    run(whole, whole.total_steps)
    run(first, stop)
    first.save()
    second = tiny_trainer("pix2pix", "parts", **LONG)
    assert second.resume()
    run(second, second.total_steps)
    for name, tensor in whole.system.state_dict().items():
        assert torch.equal(tensor, second.system.state_dict()[name]), name


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("unit", {"qat_after": 0.5}, "ships as it is trained"),
        ("pix2pix", {"qat_after": 1.5}, "share of the training"),
        ("pix2pix", {"qat_after": 0.5, "qat_weight_bits": 4}, "7 or 8"),
    ],
)
def test_what_cannot_be_rounded_is_refused(
    recipe_values: Callable[..., dict[str, Any]], tmp_path: Path, name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Trainer(make_recipe(recipe_values(name, **settings)), tmp_path / "run")
