"""Pix2Pix: paired translation with a conditional PatchGAN.

Paper: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
Differs from the paper: the deployed generator has dropout off and, with batch norm, running statistics; the paper keeps
both as in training. `deployables` records the decision; train with `norm = "instance"` where it must not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_normal
from models.data.batches import Pair
from models.losses.adversarial import adversarial
from models.networks.generators import GeneratorConfig, build_generator, size_multiple
from models.networks.patch_critic import patch_critic
from models.schedules import linear_decay
from models.system import Clock, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config(GeneratorConfig):
    """Paper settings."""

    generator: str = "unet256"
    norm: str = "batch"
    critic_width: int = 64
    critic_field: int = 70  # 1, 16, 70 or 286
    gan: str = "vanilla"
    lambda_gan: float = 1.0  # 0 = the paper's L1-only ablation
    lambda_l1: float = 100.0
    lr: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5


class Pix2Pix(System):
    """generator: source → target; critic: (source, target) → logits."""

    config = Config
    data = "paired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.generator = build_generator(cfg)
        self.critic = patch_critic(2 * cfg.channels, cfg.critic_width, cfg.critic_field, cfg.norm)
        self.game = adversarial(cfg.gan)
        init_normal(self.critic)

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", (self.generator,), self.g_losses)]

    def d_losses(self, batch: Pair, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.generator(batch.source)
        return {"gan": 0.5 * self.game.d(self.judge(batch.source, batch.target), self.judge(batch.source, fake))}

    def g_losses(self, batch: Pair, _: Clock) -> Losses:
        fake = self.generator(batch.source)
        losses = {"l1": self.cfg.lambda_l1 * F.l1_loss(fake, batch.target)}
        if self.cfg.lambda_gan:
            losses["gan"] = self.cfg.lambda_gan * self.game.g(self.judge(batch.source, fake))
        return losses

    def judge(self, source: Tensor, image: Tensor) -> Tensor:
        """Logits of the critic for `image` as a translation of `source`."""
        logits: Tensor = self.critic(torch.cat(self.augment.pair(source, image), dim=1))
        return logits

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        decisions = (("dropout", "off"), ("batch norm", "running statistics" if self.cfg.norm == "batch" else "none"))
        return {
            "generator": Deployable(
                self.generator, self.cfg.channels, multiple=size_multiple(self.cfg), decisions=decisions
            )
        }

    @torch.no_grad()
    def samples(self, batch: Pair) -> dict[str, Tensor]:
        return {"source": batch.source, "translated": self.generator(batch.source), "target": batch.target}
