"""CUT's and FastCUT's checkable properties, and their parameter counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.antialias import BlurDown, smooth_up
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.contrastive import patch_nce
from models.networks.patch_heads import PatchHeads
from models.recipe import read_recipe
from models.registry import build_system
from models.system import Clock
from models.systems.cut import Cut
from models.trainer import Trainer

CLOCK = Clock()
Tiny = Callable[..., tuple[Cut, TwoImages]]


def reference_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Patch by patch, from the formula."""
    losses = []
    for q, k in zip(query, key, strict=True):
        for i in range(len(q)):
            scores = torch.stack([q[i] @ k[i], *(q[i] @ k[j] for j in range(len(k)) if j != i)]) / temperature
            losses.append(torch.logsumexp(scores, 0) - scores[0])
    return torch.stack(losses).mean()


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("cut")
        system.prepare(TwoImages(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)))
    counts = {key: sum(p.numel() for p in net.parameters()) / 1e6 for key, net in system.named_children()}
    assert counts["generator"] == pytest.approx(11.378, rel=1e-3)
    assert counts["critic"] == pytest.approx(2.765, rel=1e-3)
    assert counts["heads"] == pytest.approx(0.560, rel=1e-3)


def test_there_is_one_generator_and_one_critic(tiny_system: Tiny) -> None:
    system, _ = tiny_system("cut")
    assert [name for name, _ in system.named_children()] == ["generator", "critic", "heads"]
    assert system.shipped() == (system.generator,)


def test_heads_have_no_parameters_before_the_first_batch_and_are_optimised_after(
    tiny_trainer: Callable[..., Trainer], small: Callable[[str], dict[str, Any]]
) -> None:
    assert list(build_system("cut", small("cut")).get_submodule("heads").parameters()) == []
    trainer = tiny_trainer("cut")
    heads = trainer.system.get_submodule("heads")
    assert isinstance(heads, PatchHeads)
    optimised = {id(p) for group in trainer.optimizers[heads].param_groups for p in group["params"]}
    assert optimised == {id(p) for p in heads.parameters()}
    assert len(optimised) == 5 * 4


def test_features_are_pixels_down_stages_and_residual_blocks_one_and_five() -> None:
    with torch.device("meta"):
        system = build_system("cut")
        features = system.encode(torch.rand(1, 3, 256, 256))  # type: ignore[operator]
    assert [tuple(f.shape[1:]) for f in features] == [
        (3, 262, 262), (128, 256, 256), (256, 128, 128), (256, 64, 64), (256, 64, 64),
    ]  # fmt: skip


def test_the_loss_is_its_formula() -> None:
    torch.manual_seed(0)
    query, key = unit(2, 6, 5), unit(2, 6, 5)
    torch.testing.assert_close(patch_nce(query, key, 0.07), reference_nce(query, key, 0.07))


def test_the_temperature_is_007(tiny_system: Tiny) -> None:
    assert tiny_system("cut")[0].cfg.temperature == 0.07


def test_negatives_never_cross_images() -> None:
    torch.manual_seed(0)
    query, key = unit(2, 8, 4), unit(2, 8, 4)
    query.requires_grad_()
    (gradient,) = torch.autograd.grad(patch_nce(query, key), query)
    changed = torch.stack([key[0], unit(8, 4)])
    (other,) = torch.autograd.grad(patch_nce(query, changed), query)
    assert torch.equal(gradient[0], other[0])
    assert not torch.equal(gradient[1], other[1])


def test_cross_image_negatives_are_a_reshape_away() -> None:
    torch.manual_seed(0)
    query, key = unit(16, 1, 4), unit(16, 1, 4)  # SinCUT: one patch of each of 16 crops
    crossed = patch_nce(query.reshape(1, 16, 4), key.reshape(1, 16, 4))
    torch.testing.assert_close(crossed, reference_nce(query.reshape(1, 16, 4), key.reshape(1, 16, 4), 0.07))


def test_gradients_flow_through_the_query_only() -> None:
    query, key = unit(1, 4, 3).requires_grad_(), unit(1, 4, 3).requires_grad_()
    patch_nce(query, key).backward()
    assert query.grad is not None
    assert key.grad is None


def test_gradients_reach_the_generator_also_through_its_encoder(tiny_system: Tiny) -> None:
    system, batch = tiny_system("cut")
    fake = system.generator(batch.a).detach()  # cuts the way through the output
    first_layer = system.generator[1].weight
    (through_encoder,) = torch.autograd.grad(system.nce(batch.a, fake), first_layer)
    assert through_encoder.abs().sum() > 0


def test_query_and_key_share_their_positions(tiny_system: Tiny) -> None:
    system, batch = tiny_system("cut", patches=7)
    # The input as its own translation: at shared positions q = k, so no other patch fits better.
    same = system.nce(batch.a, batch.a)
    torch.manual_seed(1)
    shuffled = system.nce(batch.a, batch.a.flip(2))
    assert same < shuffled


def test_flip_equivariance_compares_at_the_mirrored_place(tiny_system: Tiny) -> None:
    system, batch = tiny_system("cut", flip_equivariance=True, nce_layers=[0], patches=1000)
    # A generator that changes nothing gives the mirrored input back; mirrored back, its pixels are the input's.
    mirrored = batch.a.flip(3)
    losses = {}
    for flip in (True, False):
        torch.manual_seed(0)
        losses[flip] = system.nce(batch.a, mirrored, flip)
    torch.manual_seed(0)
    torch.testing.assert_close(losses[True], system.nce(batch.a, batch.a))
    assert losses[True] < losses[False]


def test_fastcut_mirrors_half_of_the_inputs_and_cut_none(tiny_system: Tiny) -> None:
    for settings, expected in (({}, {False}), ({"flip_equivariance": True, "nce_identity": False}, {False, True})):
        system, batch = tiny_system("cut", **settings)
        flips: list[bool] = []
        translate = system.translate

        def recorded(image: Tensor, flip: bool, flips: list[bool] = flips, translate: Any = translate) -> Tensor:
            flips.append(flip)
            fake: Tensor = translate(image, flip)
            return fake

        system.translate = recorded  # type: ignore[method-assign]
        torch.manual_seed(0)
        for _ in range(6):
            system.g_losses(batch, CLOCK)
        assert set(flips) == expected


def test_weights_of_cut_and_fastcut(tiny_system: Tiny, root: Path) -> None:
    cut, batch = tiny_system("cut")
    cut.nce = lambda *_: torch.tensor(1.0)  # type: ignore[assignment]
    losses = cut.g_losses(batch, CLOCK)
    assert (losses["nce"], losses["nce_identity"]) == (0.5, 0.5)
    recipe = read_recipe(root / "models" / "recipes" / "fastcut.toml").system
    own = {name: getattr(recipe, name) for name in ("lambda_nce", "nce_identity", "constant")}
    fast, batch = tiny_system("cut", **own)
    fast.nce = lambda *_: torch.tensor(1.0)  # type: ignore[assignment]
    assert fast.g_losses(batch, CLOCK)["nce"] == 10.0
    assert "nce_identity" not in fast.g_losses(batch, CLOCK)
    assert recipe.flip_equivariance
    rates = [fast.learning_rate(fast.generator, Clock(0, epoch, 200)) for epoch in (150, 175, 200)]
    assert rates == [1.0, 0.5, 0.0]


def test_layers_that_the_generator_lacks_are_refused(small: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="has the layers 0 to"):
        build_system("cut", small("cut") | {"nce_layers": [0, 99]})
    with pytest.raises(ConfigError, match="skip connections"):
        build_system("cut", small("cut") | {"generator": "unet128"})


def test_blurred_resampling_is_the_official_filters() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 2, 8, 10)
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = (torch.outer(row, row) / 64 * 4).expand(2, 1, 4, 4)
    official = F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), "replicate"), kernel, stride=2, padding=2, groups=2)
    torch.testing.assert_close(smooth_up()(x), official[:, :, 1:-1, 1:-1])
    row = torch.tensor([1.0, 2.0, 1.0])
    kernel = (torch.outer(row, row) / 16).expand(2, 1, 3, 3)
    blurred = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, groups=2)
    torch.testing.assert_close(BlurDown(2)(x), blurred[:, :, ::2, ::2])


def test_the_critic_is_antialiased(tiny_system: Tiny) -> None:
    system, _ = tiny_system("cut")
    assert sum(isinstance(module, BlurDown) for module in system.critic) == 3
    assert all(module.stride == (1, 1) for module in system.critic if isinstance(module, nn.Conv2d))
