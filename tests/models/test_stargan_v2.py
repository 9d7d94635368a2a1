"""StarGAN v2's checkable properties, and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from models.blocks.preactivation import PreActBlock, StyledBlock
from models.data.batches import DomainImages
from models.data.datasets import DataConfig, Domains
from models.errors import ConfigError, DataError
from models.registry import build_system
from models.system import Clock
from models.systems.stargan_v2 import StarGanV2
from models.trainer import Trainer

CLOCK = Clock()
Tiny = Callable[..., tuple[StarGanV2, DomainImages]]


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        three, two = build_system("stargan_v2"), build_system("stargan_v2", {"domains": ["a", "b"]})

    def count(system: nn.Module, name: str) -> float:
        return sum(p.numel() for p in system.get_submodule(name).parameters()) / 1e6

    assert count(three, "generator") == pytest.approx(33.89, rel=1e-3)
    assert count(two, "mapping") == pytest.approx(2.44, rel=1e-3)
    assert count(three, "mapping") == pytest.approx(3.26, rel=1e-3)
    assert count(three, "style_encoder") == pytest.approx(20.95, rel=1e-3)
    assert count(three, "critic") == pytest.approx(20.85, rel=1e-3)


def test_the_critic_has_one_output_per_domain_and_others_get_no_gradient(tiny_system: Tiny) -> None:
    system, batch = tiny_system("stargan_v2")
    head = system.critic.head
    assert head.weight.shape[0] == 2
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    (gradient,) = torch.autograd.grad(system.critic(batch.image, first).sum(), head.weight)
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0


@pytest.mark.parametrize("name", ["mapping", "style_encoder"])
def test_the_domains_head_is_chosen_without_an_index(name: str, tiny_system: Tiny) -> None:
    system, batch = tiny_system("stargan_v2")
    network = system.get_submodule(name)
    given = torch.randn(2, 4) if name == "mapping" else batch.image
    styles = network(given, system.one_hot(torch.tensor([1, 0])))
    shared = network.shared(given) if name == "mapping" else network.trunk(given).flatten(1)  # type: ignore[operator]
    heads = network.heads
    assert isinstance(heads, nn.ModuleList)
    torch.testing.assert_close(styles, torch.stack([heads[1](shared)[0], heads[0](shared)[1]]))


def test_the_diversity_weight_falls_linearly_to_0_at_100_000_steps() -> None:
    with torch.device("meta"):
        system = build_system("stargan_v2")
    assert isinstance(system, StarGanV2)
    weights = [system.diversity_weight(Clock(step, step * 8 / 1000)) for step in (0, 50_000, 100_000, 120_000)]
    assert weights == [2.0, 1.0, 0.0, 0.0]


def test_the_diversity_loss_pushes_styles_apart_and_leaves_the_second_image_alone(tiny_system: Tiny) -> None:
    system, batch = tiny_system("stargan_v2")
    styles = [torch.randn(2, 4).requires_grad_() for _ in range(2)]
    losses = system.g_losses(batch, CLOCK, lambda _, which: styles[which])
    assert losses["diversity"] < 0
    first, second = torch.autograd.grad(losses["diversity"], styles, allow_unused=True)
    assert first.abs().sum() > 0
    assert second is None


def test_the_mapping_network_learns_100_times_slower(tiny_system: Tiny) -> None:
    system, _ = tiny_system("stargan_v2")
    rates = {
        name: system.optimizer(network).param_groups[0]["lr"] for name, network in system.named_children()
    }  # fmt: skip
    assert rates == {"generator": 1e-4, "mapping": 1e-6, "style_encoder": 1e-4, "critic": 1e-4}
    group = system.optimizer(system.critic).param_groups[0]
    assert (group["betas"], group["weight_decay"]) == ((0.0, 0.99), 1e-4)


def test_the_four_phases_share_the_optimisers_of_their_networks(tiny_trainer: Callable[..., Trainer]) -> None:
    trainer = tiny_trainer("stargan_v2")
    assert [phase.name for phase in trainer.phases] == ["D", "D_ref", "G", "G_ref"]
    assert len(trainer.optimizers) == 4
    system = trainer.system
    assert isinstance(system, StarGanV2)
    assert trainer.phases[3].updates == (system.generator,)
    trainer.train_step(next(trainer.batches()))
    critic = trainer.optimizers[system.critic].state_dict()["state"][0]["step"]
    mapping = trainer.optimizers[system.mapping].state_dict()["state"][0]["step"]
    assert (int(critic), int(mapping)) == (2, 1)


def test_the_same_style_gives_the_same_picture_whichever_way_it_came(tiny_system: Tiny) -> None:
    system, batch = tiny_system("stargan_v2")
    style = system.drawn_style(batch, 0)
    copied = torch.tensor(style.tolist())
    assert torch.equal(system.generator(batch.image, style), system.generator(batch.image, copied))
    assert not torch.equal(system.generator(batch.image, style), system.generator(batch.image, copied + 1))


def test_variance_stays_about_constant_through_depth() -> None:
    torch.manual_seed(0)
    deviations = []
    x, style = torch.randn(4, 32, 32, 32), torch.randn(4, 8)
    blocks: list[nn.Module] = [PreActBlock(32, 32, normalise=True, down=k < 2) for k in range(4)]
    blocks += [StyledBlock(32, 32, 8, up=k > 1) for k in range(4)]
    for block in blocks:
        for module in block.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        x = block(x, style) if isinstance(block, StyledBlock) else block(x)
        deviations.append(float(x.detach().std()))
    assert min(deviations) > 0.5
    assert max(deviations) < 4.0


def test_style_and_cycle_losses_of_perfect_networks_are_zero(tiny_system: Tiny) -> None:
    system, batch = tiny_system("stargan_v2")

    class Same(nn.Module):
        def forward(self, image: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return image

    class Constant(nn.Module):
        def forward(self, image: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(image), 4)

    system.generator, system.style_encoder = Same(), Constant()  # type: ignore[assignment]
    losses = system.g_losses(batch, CLOCK, lambda *_: torch.ones(2, 4))
    assert losses["style"] == losses["cycle"] == losses["diversity"] == 0


def test_what_ships_are_a_generator_and_two_ways_to_a_style(tiny_system: Tiny) -> None:
    parts = tiny_system("stargan_v2")[0].deployables()
    assert list(parts) == ["generator", "style_encoder", "mapping"]
    (style,) = parts["generator"].controls
    assert (style.kind, style.shape, style.companion) == ("style", (1, 4), "style_encoder")
    z, domain = parts["mapping"].controls
    assert (z.distribution, domain.names, domain.default) == ("normal", ("dark", "light"), (1.0, 0.0))
    assert parts["mapping"].channels_in == 0
    assert parts["style_encoder"].returns == ("style",)


def test_domains_are_drawn_equally_often_and_references_are_two_of_one_domain(images: Path, tmp_path: Path) -> None:
    for domain, files in (("many", range(5)), ("one", range(1))):
        (tmp_path / domain).mkdir()
        for k in files:
            (tmp_path / domain / f"{k}.png").write_bytes((images / "train" / "dark" / f"{k}.png").read_bytes())
    data = Domains(DataConfig(data=str(tmp_path), domains=("many", "one"), size=32, load_size=32), 0)
    samples = [data.sample(k) for k in range(200)]
    for field in ("domain", "target"):
        assert 70 < sum(int(getattr(s, field)) for s in samples) < 130
    ofone = [s for s in samples if s.target == 1]
    assert all(s.reference.shape == (3, 32, 32) for s in ofone)
    assert any(not torch.equal(s.reference, s.reference_2) for s in samples if s.target == 0)


def test_a_missing_domain_is_named_with_those_that_exist(images: Path) -> None:
    with pytest.raises(DataError, match=r"no folder for the domain 'grey'; .* dark, light"):
        Domains(DataConfig(data=str(images), domains=("dark", "grey")), 0)
    with pytest.raises(DataError, match="two domains or more"):
        Domains(DataConfig(data=str(images)), 0)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="not size = 48"):
        build_system("stargan_v2", {"size": 48})
