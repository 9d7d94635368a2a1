"""MUNIT's checkable properties, and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.blocks.sample_norm import SampleNorm
from models.data.batches import TwoImages
from models.networks.content_style import AdaInConv
from models.registry import build_system
from models.system import Clock
from models.systems.munit import Munit

CLOCK = Clock()
Tiny = Callable[..., tuple[Munit, TwoImages]]


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("munit")

    def count(name: str) -> float:
        return sum(p.numel() for p in system.get_submodule(name).parameters()) / 1e6

    assert count("coder_a.content") == pytest.approx(5.386, rel=1e-3)
    assert count("coder_a.style") == pytest.approx(2.765, rel=1e-3)
    assert count("coder_a.decoder.mlp") == pytest.approx(1.121, rel=1e-3)
    assert count("coder_a.decoder") == pytest.approx(5.755 + 1.121, rel=1e-3)
    assert count("coder_a") == pytest.approx(15.03, rel=1e-3)
    assert count("critic_a") == pytest.approx(8.27, rel=1e-3)
    shipped = sum(p.numel() for p in system.deployables()["ab"].module.parameters()) / 1e6
    assert shipped == pytest.approx(12.26, rel=1e-3)


def test_a_style_sets_4096_numbers() -> None:
    with torch.device("meta"):
        decoder = build_system("munit").get_submodule("coder_a.decoder")
    assert sum(decoder.affines) == 4096  # type: ignore[arg-type]
    assert sum(isinstance(module, AdaInConv) for module in decoder.modules()) == 8


def test_two_styles_of_one_content_differ_and_their_contents_agree_more_than_another_images(tiny_system: Tiny) -> None:
    system, batch = tiny_system("munit")
    assert isinstance(system, Munit)
    content = system.coder_a.content(batch.a[:1])
    first, second = (system.coder_b.decoder(content, torch.randn(1, 4)) for _ in range(2))
    assert (first - second).abs().mean() > 1e-2
    other = system.coder_b.decoder(system.coder_a.content(batch.a[1:]), torch.randn(1, 4))
    contents = [system.coder_b.content(image) for image in (first, second, other)]
    assert F.l1_loss(contents[0], contents[1]) < F.l1_loss(contents[0], contents[2])


def test_training_the_image_loss_brings_the_image_back(tiny_system: Tiny) -> None:
    system, batch = tiny_system("munit", width=8)
    adam = torch.optim.Adam(system.coder_a.parameters(), 2e-3)

    def loss() -> torch.Tensor:
        coder = system.coder_a
        return F.l1_loss(coder.decoder(coder.content(batch.a), coder.style(batch.a)), batch.a)

    before = loss()
    for _ in range(12):
        adam.zero_grad()
        loss().backward()
        adam.step()
    assert loss() < 0.7 * before


def test_content_does_not_hear_of_styles(tiny_system: Tiny) -> None:
    system, _ = tiny_system("munit")
    assert not any(isinstance(module, AdaInConv) for module in system.coder_a.content.modules())
    norms = [m for m in system.coder_a.content.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert norms
    assert not any(m.affine or m.track_running_stats for m in norms)


def test_the_style_encoder_and_the_critics_have_no_norm(tiny_system: Tiny) -> None:
    system, _ = tiny_system("munit")
    for network in (system.coder_a.style, system.critic_b):
        assert not any("Norm" in type(module).__name__ for module in network.modules())


def test_adain_takes_the_shift_first_and_the_scale_as_it_is() -> None:
    conv, x = AdaInConv(2, 3, 3), torch.rand(1, 2, 8, 8)
    y = conv(x, torch.tensor([[1.0, 2.0, 3.0, 0.5, 1.0, 2.0]]))
    torch.testing.assert_close(y.mean(dim=(2, 3)), torch.tensor([[1.0, 2.0, 3.0]]))
    torch.testing.assert_close(y.std(dim=(2, 3), correction=0), torch.tensor([[0.5, 1.0, 2.0]]), rtol=1e-2, atol=0)


def test_the_decoders_norm_is_the_papers_and_not_the_ordinary_one() -> None:
    norm, x = SampleNorm(3), 0.05 * torch.rand(2, 3, 2, 2)
    with torch.no_grad():
        norm.beta.uniform_()
    mean, deviation = x.mean(dim=(1, 2, 3), keepdim=True), x.std(dim=(1, 2, 3), keepdim=True)
    expected = (x - mean) / (deviation + 1e-5) * norm.gamma[:, None, None] + norm.beta[:, None, None]
    torch.testing.assert_close(norm(x), expected)
    ordinary = F.group_norm(x, 1, norm.gamma, norm.beta)
    assert (norm(x) - ordinary).abs().max() > 1e-3
    assert 0 <= norm.gamma.min() <= norm.gamma.max() < 1


def test_the_decoders_norm_stays_finite_on_big_maps_in_half_precision_and_on_constant_ones() -> None:
    norm = SampleNorm(2)
    big = 100 * torch.rand(1, 2, 64, 64, dtype=torch.bfloat16)
    assert norm(big).dtype == torch.promote_types(torch.bfloat16, norm.gamma.dtype)
    constant = torch.ones(1, 2, 4, 4, requires_grad=True)
    norm(constant).sum().backward()
    assert constant.grad is not None
    assert torch.isfinite(constant.grad).all()


def test_losses_of_perfect_coders_are_zero(tiny_system: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    system, batch = tiny_system("munit", lambda_cycle=10.0)

    class Copy(nn.Module):
        def forward(self, content: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return content

    class NoStyle(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(image), 4)

    drawn = torch.zeros(2, 4)
    monkeypatch.setattr(system, "drawn_style", lambda _: drawn)
    for coder in (system.coder_a, system.coder_b):
        coder.content, coder.decoder, coder.style = nn.Identity(), Copy(), NoStyle()  # type: ignore[assignment]
    losses = system.g_losses(batch, CLOCK)
    assert {name for name, loss in losses.items() if loss} == {"gan_ab", "gan_ba"}


def test_the_learning_rate_is_halved_every_100_000_steps() -> None:
    with torch.device("meta"):
        system = build_system("munit")
    rates = [system.learning_rate(nn.Identity(), Clock(kimg=k)) for k in (0.0, 99.9, 100.0, 250.0)]
    assert rates == [1.0, 1.0, 0.5, 0.25]


def test_what_ships_takes_a_style_and_names_who_makes_one(tiny_system: Tiny) -> None:
    system, batch = tiny_system("munit")
    parts = system.deployables()
    assert list(parts)[:4] == ["ab", "ba", "style_b", "style_a"]
    (style,) = parts["ab"].controls
    assert (style.shape, style.distribution, style.companion) == ((1, 4), "normal", "style_b")
    given = parts["style_b"].module(batch.b)
    expected = system.coder_b.decoder(system.coder_a.content(batch.a), given)
    assert torch.equal(parts["ab"].module(batch.a, given), expected)
    content = parts["encode_ab"].module(batch.a)
    assert torch.equal(parts["decode_ab"].module(content, given), expected), "the same in two graphs"
