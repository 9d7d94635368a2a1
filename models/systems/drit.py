"""DRIT: unpaired translation with many answers, from a content space that both domains share and an attribute each.

Paper: Lee et al., "Diverse Image-to-Image Translation via Disentangled Representations", ECCV 2018.
Beyond the paper: the mode-seeking term of Mao et al., CVPR 2019 (weight 0 here, 1 in the recipe msgan_drit.toml, which
is also two-domain DRIT++).
Differs from the paper: every image is both encoded and a real of both its critics, where the released code splits a
batch of two in halves. Critics have no norm: the code's switch for one never acted, so its results had none. The
content critic learns at all three steps of a round, all else at the third.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_normal
from models.clipped_adam import ClippedAdam
from models.errors import ConfigError
from models.losses.adversarial import adversarial, d_over_scales, g_over_scales, nonsaturating_d
from models.losses.divergence import kl_to_normal, sampled
from models.losses.mode_seeking import mode_seeking
from models.networks.content_style import style_encoder
from models.networks.disentangled import (
    SLOPE,
    ConcatDecoder,
    MeanAttribute,
    ModulatedDecoder,
    Route,
    SharedDecoders,
    SharedEncoders,
    VariationalAttribute,
    content_critic,
)
from models.networks.resnet import ResidualBlock
from models.networks.strided_critics import StridedCritics
from models.schedules import linear_decay
from models.system import Clock, Control, Deployable, Losses, Phase, System, every

Attribute = tuple[Tensor, Tensor, Tensor]  # z as drawn, its mean, and the loss that keeps it near N(0, I)
Side = tuple[Tensor, Any]  # images and their domain: "a" or "b" here, one-hot (N, K) in DRIT++


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    size: int = 216
    load_size: int = 256
    channels: int = 3
    width: int = 64
    blocks: int = 3  # of each domain's content encoder and generator
    latent: int = 8
    concat: bool = True  # z beside the content, for colour and texture; false: modulated blocks, for changes of shape
    critic_width: int = 64
    critic_scales: int = 3
    content_critic_layers: int = 3
    lambda_gan: float = 1.0
    lambda_content_gan: float = 1.0
    lambda_cycle: float = 10.0
    lambda_self: float = 10.0
    lambda_latent: float = 10.0
    lambda_kl: float = 0.01
    lambda_content: float = 0.01
    lambda_mode_seeking: float = 0.0
    critic_steps: int = 3  # of the content critic for each of all others
    clip: float = 5.0  # longest gradient of the content critic
    lr: float = 1e-4
    lr_content_critic: float = 4e-5
    beta1: float = 0.5
    weight_decay: float = 1e-4
    constant: float = 0.5  # share of training before the learning rate decays


class Drit(System):
    """content and attribute take images apart, generator puts them together; four image critics, one content critic."""

    config = Config
    data = "unpaired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.build_networks(cfg)
        self.content_critic = content_critic(4 * cfg.width, self.content_layers(cfg), self.content_classes())
        self.game = adversarial("vanilla")
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                init_normal(module)

    def build_networks(self, cfg: Config) -> None:
        self.content = SharedEncoders(cfg.channels, cfg.width, cfg.blocks)
        shared = ResidualBlock(4 * cfg.width) if cfg.concat else nn.Identity()
        self.generator = SharedDecoders(shared, decoder(cfg, cfg.latent), decoder(cfg, cfg.latent))
        self.attribute = nn.ModuleDict({domain: attribute_encoder(cfg) for domain in "ab"})
        self.critics = nn.ModuleDict({  # of translations with an encoded z, and with a random one
            name: StridedCritics(cfg.channels, cfg.critic_width, cfg.critic_scales, SLOPE)
            for name in ("a", "b", "a_random", "b_random")
        })  # fmt: skip

    def content_layers(self, cfg: Config) -> int:
        """The layers of the content critic; raises ConfigError where they leave nothing of the map."""
        left = cfg.size // 4
        for _ in range(cfg.content_critic_layers):
            left = (left - 5) // 2 + 1
        if left < 4:
            raise ConfigError(
                f"size = {cfg.size} is too small for content_critic_layers = {cfg.content_critic_layers}: lower it"
            )
        return cfg.content_critic_layers

    def content_classes(self) -> int:
        """Logits of the content critic."""
        return 1

    def phases(self) -> list[Phase]:
        due = every(self.cfg.critic_steps)
        encoders = (self.content, self.attribute, self.generator)
        return [
            Phase("C", (self.content_critic,), self.c_losses),
            Phase("D", (self.critics,), self.d_losses, due),
            Phase("EG", encoders, self.eg_losses, due),
            Phase("G", (self.content, self.generator), self.g_losses, due),
        ]

    # The networks as functions of a domain; DRIT++ has others.

    def sides(self, batch: Any) -> tuple[Side, Side]:
        """The two sets of images that exchange their attributes."""
        return (batch.a, "a"), (batch.b, "b")

    def encode(self, image: Tensor, domain: Any) -> Attribute:
        """The attribute of images."""
        return encoded(self.attribute[domain](image), self.cfg.concat)

    def judge(self, image: Tensor, domain: Any, random: bool) -> list[Tensor]:
        """Logits of the critic of translations with a random or an encoded z."""
        logits: list[Tensor] = self.critics[f"{domain}_random" if random else domain](self.augment(image))
        return logits

    def carried(self, held: Side, target: Side) -> Any:
        """The domain argument of images of the target's domain that show what the held ones do."""
        return target[1]

    # Losses.

    def c_losses(self, batch: Any, _: Clock) -> Losses:
        with torch.no_grad():
            contents = [self.content(*side) for side in self.sides(batch)]
        return {"domain": self.tell_domains([self.content_critic(c) for c in contents], self.sides(batch))}

    def tell_domains(self, logits: list[Tensor], sides: tuple[Side, Side]) -> Tensor:
        """The content critic's loss."""
        return nonsaturating_d(logits[1], logits[0])

    def undecided(self, logits: Tensor) -> Tensor:
        """Least where the content critic cannot say which domain a content is of."""
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, 0.5))

    def d_losses(self, batch: Any, _: Clock) -> Losses:
        first, second = self.sides(batch)
        losses: Losses = {}
        with torch.no_grad():
            swapped = self.swapped(first, second)
            drawn = self.randomly(first, second)
        for name, side, fake in zip("ab", (first, second), swapped, strict=True):
            losses[name] = self.d_loss(side, fake, random=False)
        for name, side, which in (("a_random", first, 0), ("b_random", second, 1)):
            losses[name] = torch.stack([self.d_loss(side, fakes[which], random=True) for fakes, _ in drawn]).sum()
        return losses

    def d_loss(self, side: Side, fake: Tensor, random: bool) -> Tensor:
        """Summed over scales, not halved."""
        image, domain = side
        logits = self.judge(image, domain, random), self.judge(fake, domain, random)
        return float(self.cfg.lambda_gan) * d_over_scales(self.game, *logits)

    def swapped(self, first: Side, second: Side) -> tuple[Tensor, Tensor]:
        """Each side's content with the other's attribute: images of the first domain, then of the second."""
        contents = [self.content(*side) for side in (first, second)]
        z = [self.encode(*side)[0] for side in (first, second)]
        return self.generator(contents[1], z[0], first[1]), self.generator(contents[0], z[1], second[1])

    def randomly(self, first: Side, second: Side) -> list[tuple[tuple[Tensor, Tensor], Tensor]]:
        """Translations of both sides to each other's domain with a random z, and that z: one, or two to seek modes."""
        contents = [self.content(*side) for side in (first, second)]
        drawn = []
        for _ in range(2 if self.cfg.lambda_mode_seeking else 1):
            z = torch.randn(len(first[0]), self.cfg.latent, device=first[0].device)
            fakes = self.generator(contents[1], z, first[1]), self.generator(contents[0], z, second[1])
            drawn.append((fakes, z))
        return drawn

    def eg_losses(self, batch: Any, _: Clock) -> Losses:
        """What an encoded attribute must achieve."""
        cfg, sides = self.cfg, self.sides(batch)
        (image_a, a), (image_b, b) = sides
        content_a, content_b = (self.content(*side) for side in sides)
        (z_a, _mean, near_a), (z_b, _mean, near_b) = (self.encode(*side) for side in sides)
        fake_a, fake_b = self.generator(content_b, z_a, a), self.generator(content_a, z_b, b)
        contents = self.content(fake_b, self.carried(*sides)), self.content(fake_a, self.carried(*sides[::-1]))
        back_a = self.generator(contents[0], self.encode(fake_a, a)[0], a)
        back_b = self.generator(contents[1], self.encode(fake_b, b)[0], b)
        hidden = self.undecided(self.content_critic(content_a)) + self.undecided(self.content_critic(content_b))
        losses = {
            "gan_a": cfg.lambda_gan * g_over_scales(self.game, self.judge(fake_a, a, False)),
            "gan_b": cfg.lambda_gan * g_over_scales(self.game, self.judge(fake_b, b, False)),
            "content_gan": cfg.lambda_content_gan * hidden,
            "cycle": cfg.lambda_cycle * (F.l1_loss(back_a, image_a) + F.l1_loss(back_b, image_b)),
            "self": cfg.lambda_self * (
                F.l1_loss(self.generator(content_a, z_a, a), image_a)
                + F.l1_loss(self.generator(content_b, z_b, b), image_b)
            ),
            "kl": cfg.lambda_kl * (near_a + near_b),
            "content": cfg.lambda_content * (content_a.square().mean() + content_b.square().mean()),
        }  # fmt: skip
        return losses | self.further_losses(sides, (fake_a, fake_b), (back_a, back_b))

    def further_losses(
        self, sides: tuple[Side, Side], fakes: tuple[Tensor, Tensor], backs: tuple[Tensor, Tensor]
    ) -> Losses:
        """What a descendant asks of both translations and both returns."""
        return {}

    def g_losses(self, batch: Any, _: Clock) -> Losses:
        """What a random attribute must achieve: realism, to be found again, and to be seen."""
        cfg, (first, second) = self.cfg, self.sides(batch)
        drawn = self.randomly(first, second)
        losses: Losses = {}
        for name, domain, which in (("a", first[1], 0), ("b", second[1], 1)):
            judged = [g_over_scales(self.game, self.judge(fakes[which], domain, True)) for fakes, _ in drawn]
            losses[f"gan_{name}"] = cfg.lambda_gan * torch.stack(judged).sum()
            fakes, z = drawn[0]
            losses[f"latent_{name}"] = cfg.lambda_latent * F.l1_loss(self.encode(fakes[which], domain)[1], z)
            if cfg.lambda_mode_seeking:
                others, other_z = drawn[1]
                apart = mode_seeking(fakes[which], others[which], z, other_z)
                losses[f"mode_seeking_{name}"] = cfg.lambda_mode_seeking * apart
        return losses

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg, betas = self.cfg, (self.cfg.beta1, 0.999)
        if network is self.content_critic:
            return ClippedAdam(network.parameters(), cfg.lr_content_critic, betas, cfg.weight_decay, cfg.clip)
        return Adam(network.parameters(), cfg.lr, betas, weight_decay=cfg.weight_decay)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        cfg, parts = self.cfg, {}
        for source, target in ("ab", "ba"):
            z = Control("z", "noise", (1, cfg.latent), distribution="normal", companion=f"attribute_{target}")
            route = Route(self.content, self.generator, source, target)
            parts[source + target] = Deployable(route, cfg.channels, (z,), multiple=4)
        for domain in "ba":
            mean = MeanAttribute(self.attribute[domain], cfg.concat)
            parts[f"attribute_{domain}"] = Deployable(mean, cfg.channels, returns=("style",), multiple=4)
        return parts

    @torch.no_grad()
    def samples(self, batch: Any) -> dict[str, Tensor]:
        sides = self.sides(batch)
        rows = {"a": sides[0][0]}
        for k in (1, 2):
            for fakes, _ in self.randomly(*sides)[:1]:
                rows[f"a → b, z {k}"] = fakes[1]
        return rows | {"b": sides[1][0], "a → b, z of b": self.swapped(*sides)[1]}


def attribute_encoder(cfg: Config) -> nn.Module:
    """Variational for colour and texture, deterministic (MUNIT's) for changes of shape."""
    if cfg.concat:
        return VariationalAttribute(cfg.channels, cfg.width, cfg.latent)
    return style_encoder(cfg.channels, cfg.width, cfg.latent)


def encoded(output: Any, variational: bool) -> Attribute:
    """What an attribute encoder says, in one form."""
    if variational:
        mean, log_variance = output
        return sampled(mean, log_variance), mean, kl_to_normal(mean, log_variance)
    return output, output, output.square().mean()


def decoder(cfg: Config, latent: int) -> nn.Module:
    """What follows the shared block."""
    if cfg.concat:
        return ConcatDecoder(cfg.channels, cfg.width, latent, cfg.blocks)
    return ModulatedDecoder(cfg.channels, cfg.width, latent, cfg.blocks + 1)
