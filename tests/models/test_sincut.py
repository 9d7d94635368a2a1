"""SinCUT's checkable properties, its parameter counts, and its layers against their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.contrastive import patch_nce
from models.networks.style_convs import UnitStyleUp, blurred
from models.registry import build_system
from models.system import Clock
from models.systems.sincut import SinCut

CLOCK = Clock()
Tiny = Callable[..., tuple[SinCut, TwoImages]]


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("sincut")
    assert count(system.get_submodule("generator")) == pytest.approx(3.07, abs=0.005)  # given to two decimals
    assert count(system.get_submodule("critic")) == pytest.approx(5.89, abs=0.005)


def test_negatives_come_from_the_other_crops_of_the_batch(tiny_system: Tiny) -> None:
    system, batch = tiny_system("sincut", batch=4)
    torch.manual_seed(0)
    loss = system.nce(batch.a, batch.b)
    torch.manual_seed(0)
    queries, keys = system.projected(batch.a, batch.b)
    assert all(query.shape == (4, 1, 8) for query in queries)
    expected = [patch_nce(q.mT.reshape(1, 4, 8), k.reshape(1, 4, 8)) for q, k in zip(queries, keys, strict=True)]
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    torch.manual_seed(0)
    other = TwoImages(torch.cat([batch.a[:3], -batch.a[3:]]), batch.b)
    assert system.nce(other.a, batch.b) != loss


def test_weights_are_those_of_the_paper(tiny_system: Tiny) -> None:
    system, batch = tiny_system("sincut")
    system.eval()
    losses = system.g_losses(batch, CLOCK)
    torch.testing.assert_close(losses["identity"], F.l1_loss(system.generator(batch.b), batch.b))
    system.nce = lambda *_: torch.tensor(1.0)  # type: ignore[method-assign, assignment]
    assert system.g_losses(batch, CLOCK)["nce"] == 2.0  # half of 4, the other half on the target's crops


def test_the_penalty_is_half_the_squared_gradient_at_real_crops(tiny_system: Tiny) -> None:
    system, batch = tiny_system("sincut")
    system.critic = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1))
    expected = 0.5 * system.critic[1].weight.square().sum()
    torch.testing.assert_close(system.d_losses(batch, CLOCK)["r1"], expected)


def test_the_demodulated_convolution_is_its_definition() -> None:
    """Weights · 1/√fan_in, each output filter brought to length one, transposed, blurred by [1, 3, 3, 1]²."""
    torch.manual_seed(0)
    layer, x = UnitStyleUp(3, 2).eval(), torch.randn(1, 3, 5, 6)
    nn.init.normal_(layer.bias)
    weight = layer.weight / math.sqrt(27)
    weight = torch.stack([w / (w.square().sum() + 1e-8).sqrt() for w in weight])
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    y = F.conv2d(F.pad(y, (1, 1, 1, 1)).transpose(0, 1), torch.outer(row, row)[None, None] * 4).transpose(0, 1)
    expected = F.leaky_relu(y + layer.bias[:, None, None], 0.2) * math.sqrt(2)
    assert expected.shape == (1, 2, 10, 12)
    torch.testing.assert_close(layer(x), expected)


def test_a_blur_keeps_a_plain_area() -> None:
    assert torch.allclose(blurred(torch.ones(1, 2, 9, 9), (0, 0)), torch.ones(1, 2, 6, 6))


def test_noise_is_drawn_in_training_only(tiny_system: Tiny) -> None:
    system, batch = tiny_system("sincut")
    for layer in system.generator.modules():
        if isinstance(layer, UnitStyleUp):
            nn.init.constant_(layer.noise_strength, 0.5)
    system.train()
    assert not torch.equal(system.generator(batch.a), system.generator(batch.a))
    system.eval()
    assert torch.equal(system.generator(batch.a), system.generator(batch.a))


def test_it_translates_whole_images_of_other_sizes(tiny_system: Tiny) -> None:
    system, _ = tiny_system("sincut")
    assert system.generator.eval()(torch.rand(1, 3, 40, 66)).shape == (1, 3, 40, 66)


def test_crops_that_the_critic_cannot_take_are_refused(small: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="takes crops of 8, 16, 32"):
        build_system("sincut", small("sincut") | {"size": 48})
