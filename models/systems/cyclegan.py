"""CycleGAN: unpaired translation; going there and back must return the image.

Paper: Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017.
Differs from the paper: nothing with the defaults. `lambda_checkerboard` (default 0) penalises the grid that
sub-pixel heads leave. `noise_ba` (default 0) perturbs the input of the way back, for tasks where B → A is one-to-many,
such as putting sensor noise back: without it the forward generator hides the noise in its output to satisfy the cycle.
A compact generator with `skip` starts at the map that matches the domains' colours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.image_pool import ImagePool
from models.blocks.init import init_normal
from models.data.batches import TwoImages
from models.losses.adversarial import adversarial
from models.losses.checkerboard import checkerboard
from models.networks.compact import CompactGenerator
from models.networks.generators import GeneratorConfig, build_generator, size_multiple
from models.networks.patch_critic import patch_critic
from models.schedules import linear_decay
from models.system import Clock, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config(GeneratorConfig):
    """Paper settings."""

    critic_width: int = 64
    critic_field: int = 70
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_cycle_a: float = 10.0  # A → B → A
    lambda_cycle_b: float = 10.0  # B → A → B
    lambda_identity: float = 0.5  # relative to the cycle weights
    lambda_checkerboard: float = 0.0  # on more grid, as sub-pixel heads leave it, than the real images have
    noise_ba: float = 0.0  # std of Gaussian noise on the input of B → A
    pool_size: int = 50
    lr: float = 2e-4
    lr_critic: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5  # share of training before the learning rate decays


class CycleGan(System):
    """generator_ab: A → B, generator_ba: B → A; critic_a and critic_b judge their domains."""

    config = Config
    data = "unpaired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.generator_ab = build_generator(cfg)
        self.generator_ba = build_generator(replace(cfg, skip_pool=1))  # the noise of A, if any, must be put back
        self.critic_a, self.critic_b = (
            patch_critic(cfg.channels, cfg.critic_width, cfg.critic_field) for _ in range(2)
        )
        self.pool_a, self.pool_b = ImagePool(cfg.pool_size), ImagePool(cfg.pool_size)
        self.game = adversarial(cfg.gan)
        init_normal(self.critic_a)
        init_normal(self.critic_b)

    def prepare(self, batch: TwoImages) -> None:
        for generator, source, target in (
            (self.generator_ab, batch.a, batch.b),
            (self.generator_ba, batch.b, batch.a),
        ):
            if isinstance(generator, CompactGenerator) and generator.skip:
                generator.match_domains(source, target)

    def phases(self) -> list[Phase]:
        return [
            Phase("G", (self.generator_ab, self.generator_ba), self.g_losses),
            Phase("D_a", (self.critic_a,), lambda batch, _: self.d_losses(self.critic_a, batch.a, self.pool_a)),
            Phase("D_b", (self.critic_b,), lambda batch, _: self.d_losses(self.critic_b, batch.b, self.pool_b)),
        ]

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg = self.cfg
        fake_b, fake_a = self.generator_ab(batch.a), self.back(batch.b)
        self.pool_a.push(fake_a)
        self.pool_b.push(fake_b)
        losses = {
            "gan_ab": cfg.lambda_gan * self.game.g(self.critic_b(self.augment(fake_b))),
            "gan_ba": cfg.lambda_gan * self.game.g(self.critic_a(self.augment(fake_a))),
            "cycle_a": cfg.lambda_cycle_a * F.l1_loss(self.back(fake_b), batch.a),
            "cycle_b": cfg.lambda_cycle_b * F.l1_loss(self.generator_ab(fake_a), batch.b),
        }
        if cfg.lambda_checkerboard:
            pairs = ((fake_a, batch.a), (fake_b, batch.b))
            excess = sum(F.relu(checkerboard(fake) - checkerboard(real)) for fake, real in pairs)
            losses["checkerboard"] = cfg.lambda_checkerboard * excess
        if cfg.lambda_identity:
            same_b, same_a = self.generator_ab(batch.b), self.generator_ba(batch.a)
            losses["identity_b"] = cfg.lambda_identity * cfg.lambda_cycle_b * F.l1_loss(same_b, batch.b)
            losses["identity_a"] = cfg.lambda_identity * cfg.lambda_cycle_a * F.l1_loss(same_a, batch.a)
        return losses

    def back(self, image_b: Tensor) -> Tensor:
        """B → A, with the source of randomness that `noise_ba` asks for."""
        if self.cfg.noise_ba:
            image_b = image_b + self.cfg.noise_ba * torch.randn_like(image_b)
        fake: Tensor = self.generator_ba(image_b)
        return fake

    def d_losses(self, critic: nn.Module, real: Tensor, pool: ImagePool) -> Losses:
        fake = pool.draw()
        loss = self.game.d(critic(self.augment(real)), critic(self.augment(fake)))
        return {"gan": 0.5 * loss}

    def optimizer(self, network: nn.Module) -> Optimizer:
        lr = self.cfg.lr_critic if network in (self.critic_a, self.critic_b) else self.cfg.lr
        return Adam(network.parameters(), lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        channels, multiple = self.cfg.channels, size_multiple(self.cfg)
        return {
            "ab": Deployable(self.generator_ab, channels, multiple=multiple),
            "ba": Deployable(self.generator_ba, channels, multiple=multiple),
        }

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        fake_b, fake_a = self.generator_ab(batch.a), self.generator_ba(batch.b)
        return {
            "a": batch.a, "a → b": fake_b, "a → b → a": self.generator_ba(fake_b),
            "b": batch.b, "b → a": fake_a, "b → a → b": self.generator_ab(fake_a),
        }  # fmt: skip
