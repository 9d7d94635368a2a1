"""What methods share whose student also answers to a critic: the teacher's, or one that learns the teacher's work."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from models.blocks.init import init_normal
from models.compress.distillation import Distillation, DistillConfig
from models.compress.taps import recording
from models.compress.teacher import target_of
from models.losses.adversarial import adversarial
from models.networks.patch_critic import patch_critic
from models.schedules import linear_decay
from models.system import Clock, Losses, Phase


@dataclass(frozen=True)
class JudgedConfig(DistillConfig):
    """Settings of a student with a critic."""

    gan: str = "lsgan"
    lambda_gan: float = 1.0
    critic_width: int = 64  # of a critic of the student's own, where the teacher brings none
    critic_field: int = 70


class JudgedDistillation(Distillation):
    """critic: a copy of a frozen teacher's, trained on; the very one of a teacher in training; else a new one.

    It takes images of the target domain for real, or, where the data have none, the teacher's answers.
    """

    config = JudgedConfig

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.critic: nn.Module = nn.Identity()
        self.game = adversarial(cfg.gan)

    def prepare(self, batch: Any) -> None:
        super().prepare(batch)
        cfg, inherited = self.cfg, self.teacher.critic
        if inherited is None:
            self.critic = patch_critic(cfg.channels, cfg.critic_width, cfg.critic_field)
            init_normal(self.critic)
        elif self.teacher.online:
            self.critic = inherited
        else:
            self.critic = copy.deepcopy(inherited).requires_grad_(True)

    def phases(self) -> list[Phase]:
        *before, student = super().phases()
        own = [] if self.teacher.online and self.teacher.critic is not None else [
            Phase("D", (self.critic,), self.d_losses)
        ]  # fmt: skip
        return [*before, *own, student]

    def d_losses(self, batch: Any, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.student(self.teacher.source(batch))
        real = target_of(batch, self.teacher.part)
        real = self.teacher.answer(batch) if real is None else real
        return {"gan": 0.5 * self.game.d(self.judge(batch, real), self.judge(batch, fake))}

    def judge(self, batch: Any, image: Tensor) -> Tensor:
        """The critic's logits for `image` as a translation of the batch's source."""
        source = self.teacher.source(batch)
        if self.conditional(source, image):
            logits: Tensor = self.critic(torch.cat(self.augment.pair(source, image), dim=1))
        else:
            logits = self.critic(self.augment(image))
        return logits

    def conditional(self, source: Tensor, image: Tensor) -> bool:
        """Whether the critic takes source and image side by side (Pix2Pix)."""
        first = next(module for module in self.critic.modules() if isinstance(module, nn.Conv2d))
        return first.in_channels == source.shape[1] + image.shape[1]

    def critic_features(self, source: Tensor, image: Tensor) -> list[Tensor]:
        """What the critic's activations see in an image; nothing is augmented."""
        given = torch.cat([source, image], dim=1) if self.conditional(source, image) else image
        activations = [module for module in self.critic.modules() if isinstance(module, (nn.LeakyReLU, nn.ReLU))]
        with recording(activations) as features:
            self.critic(given)
        return features

    def deceit(self, batch: Any, answer: Tensor) -> Losses:
        """The student's adversarial loss."""
        return {"gan": self.cfg.lambda_gan * self.game.g(self.judge(batch, answer))} if self.cfg.lambda_gan else {}

    def optimizer(self, network: nn.Module) -> Optimizer:
        if network is self.critic and not (self.teacher.online and self.teacher.critic is not None):
            return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))
        return super().optimizer(network)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        own = network is self.critic and network is not self.teacher.critic
        return linear_decay(clock, self.cfg.constant) if own else super().learning_rate(network, clock)
