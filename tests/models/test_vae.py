"""The VAE's checkable properties: its bound in closed form, and nothing drawn in what ships."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from models.data.batches import OneImage
from models.losses.divergence import kl_to_normal, sampled
from models.registry import build_system
from models.system import Batch, Clock, System

Tiny = Callable[..., tuple[System, Batch]]


def test_parameters_are_the_specified_ones() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in build_system("vae").parameters())
    assert count == pytest.approx(0.653e6, rel=1e-3)


def test_the_reconstruction_is_a_sum_of_cross_entropies(tiny_system: Tiny) -> None:
    """A decoder that says one half everywhere loses log 2 per pixel, whatever the picture."""
    system, batch = tiny_system("vae")
    assert isinstance(batch, OneImage)
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.zero_()
    losses = system.phases()[0].losses(batch, Clock())
    assert float(losses["reconstruction"].detach()) == pytest.approx(batch.image.numel() * math.log(2), rel=1e-5)
    assert float(losses["kl"].detach()) == 0


def test_the_divergence_agrees_with_many_draws() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.tensor([0.7]), torch.tensor([-0.8])
    z = sampled(mean.expand(200_000), log_variance.expand(200_000))
    inside = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(z)
    outside = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    assert float((inside - outside).mean()) == pytest.approx(float(kl_to_normal(mean, log_variance)), rel=0.02)


def test_a_dozen_steps_lower_the_bound(tiny_system: Tiny) -> None:
    system, batch = tiny_system("vae", batch=8, width=32, lr=1e-2)
    (phase,) = system.phases()
    optimizers = [system.optimizer(network) for network in phase.updates]
    bounds = []
    for _ in range(12):
        total = torch.stack([*phase.losses(batch, Clock()).values()]).sum()
        for optimizer in optimizers:
            optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        bounds.append(float(total.detach()))
    assert bounds[-1] < bounds[0]


def test_the_decoder_ships_alone_and_the_reconstruction_through_the_mean(tiny_system: Tiny) -> None:
    system, batch = tiny_system("vae")
    assert isinstance(batch, OneImage)
    parts = system.deployables()
    assert list(parts) == ["decoder", "reconstruction"]
    assert [(c.name, c.distribution) for c in parts["decoder"].controls] == [("z", "normal")]
    encoder = system.get_submodule("encoder")
    assert not {id(p) for p in encoder.parameters()} & {id(p) for p in parts["decoder"].module.parameters()}
    with torch.no_grad():
        expected = parts["decoder"].module(encoder(batch.image)[0])
        torch.testing.assert_close(parts["reconstruction"].module(batch.image), expected)
