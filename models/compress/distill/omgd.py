"""OMGD: a student without a critic follows one or two teachers, while they train or when they are done.

Paper: Ren et al., "Online Multi-Granularity Distillation for GAN Compression", ICCV 2021.
Differs from the paper: a teacher may be frozen, or its answers alone be known; then nothing trains but the student.
`teacher` is the wider one, whose channels are distilled as well, `deeper` the second; each keeps a critic of its own,
where the paper's two share their critic's first layers, and the student steps once with every step of theirs. Features
are SqueezeNet's or VGG-16's. `lambda_pixel` and `lambda_unit` (default 0) ask for the very picture, which a teacher
without a source of randomness can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from models.compress.distillation import Distillation, DistillConfig
from models.compress.student import adapted
from models.compress.teacher import Teacher, open_teacher
from models.losses.features import channel_distance, feature_distance, style_distance, unit_distance
from models.losses.structure import ssim
from models.losses.total_variation import total_variation
from models.system import Clock, Losses, Phase


@dataclass(frozen=True)
class Config(DistillConfig):
    """Paper settings."""

    deeper: str = ""  # a second teacher, given like `teacher`
    lambda_ssim: float = 10.0
    lambda_style: float = 1e4
    lambda_feature: float = 10.0
    lambda_tv: float = 1e-5
    lambda_channel: float = 5e2  # horse → zebra; 0 where the teacher has no features to show
    lambda_pixel: float = 0.0
    lambda_unit: float = 0.0  # on features of length one, as LPIPS compares them


class Omgd(Distillation):
    """The student; its teacher, and the deeper one if there is one."""

    config = Config

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.compares_features = cfg.lambda_channel > 0
        self.deeper: Teacher | None = None

    def prepare(self, batch: Any) -> None:
        super().prepare(batch)
        if self.cfg.deeper:
            self.deeper = open_teacher(replace(self.cfg, teacher=self.cfg.deeper))
            self.deeper.prepare(batch)

    def needs_perception(self) -> bool:
        return any((self.cfg.lambda_style, self.cfg.lambda_feature, self.cfg.lambda_unit))

    def phases(self) -> list[Phase]:
        second = self.deeper.phases(lambda: self.augment) if self.deeper else []
        return [*(replace(phase, name=f"deeper_{phase.name}") for phase in second), *super().phases()]

    def student_losses(self, batch: Any, _: Clock) -> Losses:
        answer, features = self.translate(self.teacher.source(batch))
        wanted, teacher_features = self.observe(batch)
        losses = self.likeness(answer, wanted)
        if self.cfg.lambda_channel:
            seen = channel_distance(adapted(self.adapters, features), teacher_features)
            losses["channel"] = self.cfg.lambda_channel * seen
        if self.deeper:
            second = self.likeness(answer, self.deeper.answer(batch))
            losses |= {f"deeper_{name}": loss for name, loss in second.items()}
        return losses

    def likeness(self, answer: Tensor, wanted: Tensor) -> Losses:
        """The student's picture against one teacher's."""
        cfg = self.cfg
        terms: list[tuple[str, float, Callable[..., Tensor], tuple[Any, ...]]] = [
            ("ssim", cfg.lambda_ssim, lambda one, other: 1 - ssim(one, other), (answer, wanted)),
            ("tv", cfg.lambda_tv, total_variation, (answer,)),
            ("pixel", cfg.lambda_pixel, F.l1_loss, (answer, wanted)),
        ]
        if self.needs_perception():
            with torch.no_grad():
                meant = self.perception(wanted)
            features = (self.perception(answer), meant)
            terms += [
                ("style", cfg.lambda_style, style_distance, features),
                ("feature", cfg.lambda_feature, feature_distance, features),
                ("unit", cfg.lambda_unit, unit_distance, features),
            ]
        return {name: weight * distance(*given) for name, weight, distance, given in terms if weight}

    def optimizer(self, network: nn.Module) -> Optimizer:
        if self.deeper and any(network is own for own in self.deeper.modules()):
            return self.deeper.optimizer(network)
        return super().optimizer(network)
