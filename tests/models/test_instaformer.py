"""InstaFormer's checkable properties: tokens, styles, boxes that may be absent, and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.data.batches import TwoBoxed
from models.errors import ConfigError
from models.networks.token_generator import TokenBlock, TokenGenerator, position_codes, token_adain
from models.registry import build_system
from models.system import Clock
from models.systems.instaformer import InstaFormer

Tiny = Callable[..., tuple[InstaFormer, TwoBoxed]]


def millions(*networks: nn.Module) -> float:
    return sum(p.numel() for network in networks for p in network.parameters()) / 1e6


def enlivened(generator: TokenGenerator) -> TokenGenerator:
    """Weights of N(0, 0.02) at these widths hide every effect."""
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.normal_(std=0.3)
    return generator


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        generator = build_system("instaformer").generator
    assert isinstance(generator, TokenGenerator)
    stems = millions(generator.patch_stem), millions(generator.box_stem)
    assert millions(generator.encoder) == pytest.approx(0.38, abs=0.005)
    assert millions(generator.blocks) == pytest.approx(75.6, rel=1e-3)
    assert stems == pytest.approx((9.3, 9.3), abs=0.05)
    assert millions(generator.blocks) + sum(stems) == pytest.approx(94.2, rel=1e-3)
    unfold = millions(generator.patch_unfold, generator.box_unfold)
    assert millions(generator.decoder) + unfold == pytest.approx(33.9, rel=1e-3)
    assert millions(generator.mlp) == pytest.approx(0.59, abs=0.005)
    assert millions(generator) == pytest.approx(129, rel=1e-3)


def test_there_are_121_tokens_and_one_more_for_each_slot() -> None:
    with torch.device("meta"):
        system = build_system("instaformer")
        generator = system.generator
        assert isinstance(generator, TokenGenerator)
        seen: list[tuple[int, ...]] = []
        block = generator.blocks[0]
        block.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
        image, style, boxes = torch.empty(1, 3, 352, 352), torch.empty(1, 8), torch.empty(1, 20, 5)
        generator(image, style)
        generator(image, style, boxes)
    assert seen == [(1, 121, 1024), (1, 141, 1024)]


def test_one_checkpoint_runs_with_and_without_boxes_and_none_is_as_if_there_were_no_slot(tiny_system: Tiny) -> None:
    system, batch = tiny_system("instaformer")
    generator, style = enlivened(system.generator), torch.randn(2, 4)
    parts = system.deployables()
    assert parts["generator"].module is parts["with_boxes"].module
    with torch.no_grad():
        plain = generator(batch.a, style)
        empty = generator(batch.a, style, torch.zeros(2, 5, 5))
        boxed = generator(batch.a, style, batch.boxes_a)
    torch.testing.assert_close(empty, plain, rtol=0, atol=1e-4)
    levels = [((image + 1) * 127.5).round() for image in (empty, plain)]
    assert (levels[0] - levels[1]).abs().max() <= 1
    assert (boxed - plain).abs().max() > 0.05


def test_a_style_changes_the_output_and_no_content_token(tiny_system: Tiny) -> None:
    system, batch = tiny_system("instaformer")
    generator = enlivened(system.generator)
    tokens: list[torch.Tensor] = []
    generator.blocks[0].register_forward_pre_hook(lambda _, given: tokens.append(given[0]))
    with torch.no_grad():
        first, second = (generator(batch.a, torch.full((2, 4), value)) for value in (-1.0, 1.0))
    assert (first - second).abs().mean() > 1e-2
    assert torch.equal(tokens[0], tokens[1])


def test_one_scale_and_shift_serve_every_block() -> None:
    with torch.device("meta"):
        generator = build_system("instaformer").generator
    assert isinstance(generator, TokenGenerator)
    assert isinstance(generator.mlp[-1], nn.Linear)
    assert generator.mlp[-1].out_features == 2048
    assert len(generator.blocks) == 6


def test_adain_over_tokens_is_instance_norm_of_the_tokens_that_are_there() -> None:
    torch.manual_seed(0)
    tokens, scale, shift = torch.randn(2, 7, 6), torch.randn(2, 6), torch.randn(2, 6)
    there = torch.tensor([[1.0] * 5 + [0, 0], [1.0] * 5 + [0, 0]])
    wanted = F.instance_norm(tokens[:, :5].mT).mT * scale[:, None] + shift[:, None]
    torch.testing.assert_close(token_adain(tokens[:, :5], None, (scale, shift)), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(token_adain(tokens, there, (scale, shift))[:, :5], wanted, rtol=1e-4, atol=1e-5)


def test_attention_is_torchs_and_looks_at_no_absent_token() -> None:
    torch.manual_seed(0)
    block, tokens = TokenBlock(8, 2), torch.randn(2, 5, 8)
    official = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        official.in_proj_weight.copy_(block.qkv.weight)
        official.in_proj_bias.copy_(block.qkv.bias)
        official.out_proj.load_state_dict(block.project.state_dict())
    there = torch.tensor([[1.0, 1, 1, 0, 1], [1, 1, 1, 1, 0]])
    wanted, _ = official(tokens, tokens, tokens, key_padding_mask=there < 0.5)
    torch.testing.assert_close(block.attend(tokens, there), wanted, rtol=1e-4, atol=1e-5)
    wanted, _ = official(tokens, tokens, tokens)
    torch.testing.assert_close(block.attend(tokens, None), wanted, rtol=1e-4, atol=1e-5)


def test_position_codes_are_sines_and_cosines_of_place_and_size() -> None:
    codes = position_codes(torch.tensor([3.0, 5.0, 32.0, 16.0]), 32).view(4, 8)
    frequencies = 10_000.0 ** (-torch.arange(4.0) / 4)
    for row, value in zip(codes, (3.0, 5.0, 32.0, 16.0), strict=True):
        torch.testing.assert_close(row, torch.cat([(value * frequencies).sin(), (value * frequencies).cos()]))


def test_empty_slots_teach_nothing(tiny_system: Tiny) -> None:
    system, batch = tiny_system("instaformer")
    boxes = batch.boxes_a.clone()
    boxes[:, 1] = torch.tensor([30.0, 30.0, 60.0, 60.0, 0.0])  # marked empty, whatever its corners
    boxes[:, 0] = torch.tensor([2.0, 2.0, 18.0, 18.0, 1.0])
    fake = torch.rand_like(batch.a).requires_grad_()
    monkey = nn.Sequential(nn.Conv2d(3, 16, 4, 4))  # sees 4×4 pixels only, so that gradients have a place
    system.generator.encoder = monkey
    (gradient,) = torch.autograd.grad(system.instance_nce(batch.a, fake, boxes), fake)
    assert gradient[..., :24, :24].abs().sum() > 0
    assert not gradient[..., 26:, 26:].any()
    nothing = system.instance_nce(batch.a, fake, torch.zeros_like(boxes))
    assert nothing.item() == 0
    assert not torch.autograd.grad(nothing, fake)[0].any()


def test_the_losses_of_a_perfect_copy(tiny_system: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    system, batch = tiny_system("instaformer")
    monkeypatch.setattr(system.generator, "forward", lambda image, style, boxes=None: image)
    losses = system.g_losses(batch, Clock())
    assert losses["image"].item() == losses["style"].item() == 0
    shuffled = TwoBoxed(batch.a, batch.b, batch.boxes_b, batch.boxes_a)
    assert system.nce(batch.a, batch.a) < system.nce(batch.a, shuffled.b)


def test_heads_have_adams_usual_momentum(tiny_system: Tiny) -> None:
    system, _ = tiny_system("instaformer")
    betas = [system.optimizer(net).param_groups[0]["betas"][0] for net in system.phases()[1].updates]
    assert betas == [0.5, 0.5, 0.9, 0.9]


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(ConfigError, match="dim = 12 must be a multiple of 8"):
        build_system("instaformer", {"dim": 12})
    with pytest.raises(ConfigError, match="the encoder has the layers 0 to 11"):
        build_system("instaformer", {"nce_layers": (0, 12)})
