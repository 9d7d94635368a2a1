"""UNIT's checkable properties and its parameter counts, in the form of 2017 and in that of 2018."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from models.blocks.gaussian_noise import GaussianNoise
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.networks.pretrained import FrozenFeatures, vgg16_features
from models.recipe import read_recipe
from models.registry import build_system
from models.system import Clock
from models.systems.unit import Unit

CLOCK = Clock()
Tiny = Callable[..., tuple[Unit, TwoImages]]


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks(root: Path) -> None:
    recipe = read_recipe(root / "models" / "recipes" / "unit_2018.toml")
    with torch.device("meta"):
        nips, later = build_system("unit"), Unit(recipe.system)
    assert count(nips.get_submodule("coders")) == pytest.approx(18.02, rel=1e-3)
    assert count(nips.deployables()["ab"].module) == pytest.approx(10.19, rel=1e-3)
    assert count(later.get_submodule("coders.encode.a")) == pytest.approx(5.386, rel=1e-3)
    assert count(later.get_submodule("coders.decode.b")) == pytest.approx(5.755, rel=1e-3)
    assert count(later.get_submodule("critics.own.a")) == pytest.approx(8.27, rel=1e-3)


def test_shared_layers_are_the_same_parameters_in_both_domains(tiny_system: Tiny) -> None:
    system, batch = tiny_system("unit")
    paths = [{id(p) for p in part.module.parameters()} for part in system.deployables().values()]
    shared = {id(p) for net in (system.coders.shared_encode, system.coders.shared_decode) for p in net.parameters()}
    assert shared
    assert paths[0] & paths[1] == shared
    for image, domain in ((batch.a, "a"), (batch.b, "b")):
        (logits,) = system.critics(image.repeat(1, 1, 2, 2), domain)
        (gradient,) = torch.autograd.grad(logits.sum(), system.critics.shared[0].weight)  # type: ignore[union-attr]
        assert gradient.abs().sum() > 0


def test_the_form_of_2018_shares_nothing(tiny_system: Tiny) -> None:
    system, _ = tiny_system("unit", form="2018")
    paths = [{id(p) for p in part.module.parameters()} for part in system.deployables().values()]
    assert not paths[0] & paths[1]


def test_a_translation_has_the_code_of_its_image_where_the_decoder_inverts_the_encoder(tiny_system: Tiny) -> None:
    """The latent constraint in closed form: with identities for coders, x and its translation have one code."""
    system, batch = tiny_system("unit")
    coders = system.coders.eval()
    coders.encode = nn.ModuleDict({d: nn.Identity() for d in "ab"})
    coders.decode = nn.ModuleDict({d: nn.Identity() for d in "ab"})
    coders.shared_encode, coders.shared_decode = nn.Sequential(), nn.Sequential()
    system.critics = Undecided()
    mean = coders.mean(batch.a, "a")
    assert torch.equal(coders.mean(coders.image(mean, "b"), "b"), mean)
    losses = system.g_losses(batch, CLOCK)
    assert losses["image_ab"] == losses["cycle_ab"] == 0
    assert losses["kl_ab"] == losses["cycle_kl_ab"] == 0.1 * batch.a.square().mean()
    torch.testing.assert_close(losses["gan_ab"], 10 * torch.tensor(2.0).log())


class Undecided(nn.Module):
    """Critics that say ½ to everything."""

    def forward(self, image: torch.Tensor, domain: str) -> list[torch.Tensor]:
        return [torch.zeros(len(image), 1, 1, 1)]


def test_codes_are_noisy_in_training_and_evaluation_is_deterministic(tiny_system: Tiny) -> None:
    system, batch = tiny_system("unit")
    coders = system.coders.train()
    mean = coders.mean(batch.a, "a")
    assert not torch.equal(coders.image(mean, "b"), coders.image(mean, "b"))
    coders.eval()
    assert torch.equal(coders.image(mean, "b"), coders.image(mean, "b"))
    shipped = system.deployables()["ab"].module.eval()
    torch.testing.assert_close(shipped(batch.a), coders.image(coders.mean(batch.a, "a"), "b"))


def test_what_ships_is_one_path_without_noise(tiny_system: Tiny) -> None:
    system, _ = tiny_system("unit")
    shipped = system.deployables()["ab"].module
    assert not any(isinstance(m, GaussianNoise) for m in shipped.modules())
    own = {id(p) for net in (system.coders.encode["b"], system.coders.decode["a"]) for p in net.parameters()}
    assert not own & {id(p) for p in shipped.parameters()}


def test_weights_are_those_of_the_paper(tiny_system: Tiny) -> None:
    system, batch = tiny_system("unit")
    system.eval()
    losses = system.g_losses(batch, CLOCK)
    coders = system.coders
    mean = coders.mean(batch.b, "b")
    fake = coders.image(mean, "a")
    torch.testing.assert_close(losses["image_ba"], 100 * F.l1_loss(coders.image(mean, "b"), batch.b))
    again = coders.image(coders.mean(fake, "a"), "b")
    torch.testing.assert_close(losses["cycle_ba"], 100 * F.l1_loss(again, batch.b))
    torch.testing.assert_close(losses["kl_ba"], 0.1 * mean.square().mean())


def test_learning_rate_is_constant_in_2017_and_halved_each_100_kimg_in_2018(root: Path, tiny_system: Tiny) -> None:
    system, _ = tiny_system("unit")
    assert system.learning_rate(system.coders, Clock(0, 900.0, 2000.0)) == 1.0
    later = read_recipe(root / "models" / "recipes" / "unit_2018.toml").system
    assert (later.form, later.gan, later.lambda_gan, later.lambda_image) == ("2018", "lsgan", 1.0, 10.0)
    system, _ = tiny_system("unit", halve_kimg=later.halve_kimg)
    rates = [system.learning_rate(system.coders, Clock(0, kimg, 1000.0)) for kimg in (99.0, 100.0, 250.0)]
    assert rates == [1.0, 0.5, 0.25]
    (group,) = system.optimizer(system.coders).param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.5, 0.999), 1e-4)


def test_an_unknown_form_is_refused(small: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="no form '2019' of UNIT; there are 2017, 2018"):
        build_system("unit", small("unit") | {"form": "2019"})


def test_the_vgg_term_compares_normalised_features_of_the_users_weights(tiny_system: Tiny, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = vgg16_features().eval()
    assert count(network) == pytest.approx(14.714688), "torchvision's vgg16().features"
    save_file({f"features.{name}": t.half() for name, t in network.state_dict().items()}, tmp_path / "vgg.safetensors")
    with pytest.raises(ConfigError, match="give vgg_weights"):
        tiny_system("unit", lambda_vgg=1.0)
    system, batch = tiny_system("unit", lambda_vgg=2.0, vgg_weights=str(tmp_path / "vgg.safetensors"))
    system.eval()
    loss = system.one_way(batch.a, "a", "b")["vgg_ab"]
    features = FrozenFeatures(network.half().float()[:30])
    fake = system.coders.image(system.coders.mean(batch.a, "a"), "b")
    normed = [F.instance_norm(features(image)) for image in (fake, batch.a)]
    torch.testing.assert_close(loss, 2 * F.mse_loss(*normed))
    (gradient,) = torch.autograd.grad(loss, system.coders.encode["a"][0].weight)  # type: ignore[index,union-attr]
    assert gradient.abs().sum() > 0
    assert not any(p.requires_grad for p in system.vgg.parameters())  # type: ignore[union-attr]
