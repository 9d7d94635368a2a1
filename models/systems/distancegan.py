"""DistanceGAN: unpaired translation, one-sided if wished; what is far apart stays far apart.

Paper: Benaim & Wolf, "One-Sided Unsupervised Domain Mapping", NIPS 2017.
Differs from the paper: its CycleGAN form only, not the DiscoGAN networks with feature matching. The means and
deviations of the distances come from the first samples of the run (64) instead of 900 images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.image_pool import ImagePool
from models.blocks.init import init_normal
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.losses.distance import half_distances, normalised_difference, pair_distances
from models.networks.generators import GeneratorConfig, build_generator, size_multiple
from models.networks.patch_critic import patch_critic
from models.schedules import linear_decay
from models.system import Clock, Deployable, Losses, Phase, System

DISTANCES = {"pairs": pair_distances, "self": half_distances}


@dataclass(frozen=True)
class Config(GeneratorConfig):
    """Paper settings, one-sided."""

    critic_width: int = 64
    critic_field: int = 70
    distance: str = "pairs"  # of the images of a batch; "self": of the two halves of each image
    two_sided: bool = False  # B → A too
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_distance_a: float = 1.0  # A → B; digits: 0.05
    lambda_distance_b: float = 1.0  # B → A; digits: 0.1
    lambda_cycle: float = 0.0  # two-sided only
    pool_size: int = 50
    lr: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5  # share of training before the learning rate decays


class Side(nn.Module):
    """One direction: a generator to a domain, the critic of that domain and its pool of fakes."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.generator = build_generator(cfg)
        self.critic = patch_critic(cfg.channels, cfg.critic_width, cfg.critic_field)
        self.pool = ImagePool(cfg.pool_size)
        init_normal(self.critic)


class DistanceGan(System):
    """ab: A → B; ba: B → A where it is two-sided. `spread_a`, `spread_b`: mean and deviation of real distances."""

    config = Config
    data = "unpaired"
    spread_a: Tensor
    spread_b: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.distance not in DISTANCES:
            raise ConfigError(f"there is no distance {cfg.distance!r}; there are {', '.join(DISTANCES)}")
        if cfg.lambda_cycle and not cfg.two_sided:
            raise ConfigError("lambda_cycle needs the way back: set two_sided = true, or lambda_cycle = 0")
        self.distances = DISTANCES[cfg.distance]
        self.ab = Side(cfg)
        self.ba = Side(cfg) if cfg.two_sided else None
        self.game = adversarial(cfg.gan)
        self.register_buffer("spread_a", torch.tensor([0.0, 1.0]))
        self.register_buffer("spread_b", torch.tensor([0.0, 1.0]))

    @torch.no_grad()
    def prepare(self, batch: TwoImages) -> None:
        for spread, images in ((self.spread_a, batch.a), (self.spread_b, batch.b)):
            found = self.distances(images)
            deviation = found.std() if len(found) > 1 else torch.ones(())  # of one distance there is none
            if deviation == 0:
                raise ConfigError("the images of a domain are all equally far apart: DistanceGAN needs several")
            spread.copy_(torch.stack([found.mean(), deviation]))

    def refusal(self, batch: int) -> str:
        if self.cfg.distance == "pairs" and batch < 2:
            return 'one image has no pairs: set batch to 2 or more, or distance = "self"'
        return ""

    def phases(self) -> list[Phase]:
        sides = [self.ab] if self.ba is None else [self.ab, self.ba]
        phases = [
            Phase("G", tuple(side.generator for side in sides), self.g_losses),
            Phase("D_b", (self.ab.critic,), lambda batch, _: self.d_losses(self.ab, batch.b)),
        ]
        if (back := self.ba) is not None:
            phases.append(Phase("D_a", (back.critic,), lambda batch, _: self.d_losses(back, batch.a)))
        return phases

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg = self.cfg
        fake_b = self.ab.generator(batch.a)
        there = self.distance_loss(batch.a, fake_b, (self.spread_a, self.spread_b))
        losses = {"gan_ab": self.g_loss(self.ab, fake_b), "distance_ab": cfg.lambda_distance_a * there}
        if self.ba is None:
            return losses
        fake_a = self.ba.generator(batch.b)
        back = self.distance_loss(batch.b, fake_a, (self.spread_b, self.spread_a))
        losses |= {"gan_ba": self.g_loss(self.ba, fake_a), "distance_ba": cfg.lambda_distance_b * back}
        if cfg.lambda_cycle:
            losses["cycle_a"] = cfg.lambda_cycle * F.l1_loss(self.ba.generator(fake_b), batch.a)
            losses["cycle_b"] = cfg.lambda_cycle * F.l1_loss(self.ab.generator(fake_a), batch.b)
        return losses

    def g_loss(self, side: Side, fake: Tensor) -> Tensor:
        side.pool.push(fake)
        weight: float = self.cfg.lambda_gan
        return weight * self.game.g(side.critic(self.augment(fake)))

    def distance_loss(self, image: Tensor, fake: Tensor, spreads: tuple[Tensor, Tensor]) -> Tensor:
        """How much the normalised distances between fakes differ from those between the images."""
        return normalised_difference(self.distances(image), self.distances(fake), spreads)

    def d_losses(self, side: Side, real: Tensor) -> Losses:
        fake = side.pool.draw()
        return {"gan": 0.5 * self.game.d(side.critic(self.augment(real)), side.critic(self.augment(fake)))}

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        sides = {"ab": self.ab} if self.ba is None else {"ab": self.ab, "ba": self.ba}
        multiple = size_multiple(self.cfg)
        return {name: Deployable(side.generator, self.cfg.channels, multiple=multiple) for name, side in sides.items()}

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        rows = {"a": batch.a, "a → b": self.ab.generator(batch.a), "b": batch.b}
        return rows if self.ba is None else rows | {"b → a": self.ba.generator(batch.b)}
