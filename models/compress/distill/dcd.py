"""DCD: teacher and student are compared by what the teacher's critic sees in their features.

Paper: Hu et al., "Discriminator-Cooperated Feature Map Distillation for GAN Compression", CVPR 2023.
Differs from the paper: features become images by 1×1 convolutions, of which the student's are learned and the
teacher's stay as they were drawn, so that the two cannot agree on nothing; they are enlarged to the image's size, which
any critic takes. The adversarial term judges the student's image (the published file judges the teacher's). A teacher
without a critic gets one that learns to tell its answers from the student's. Perceptual terms are weighted as in OMGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.compress.judged import JudgedConfig, JudgedDistillation
from models.compress.taps import glance, resized_as
from models.losses.features import feature_distance, style_distance
from models.system import Clock, Losses


@dataclass(frozen=True)
class Config(JudgedConfig):
    """Paper settings."""

    lambda_dcd: float = 1.0
    lambda_style: float = 1e4
    lambda_feature: float = 10.0


class Dcd(JudgedDistillation):
    """The student, its teacher, the critic, and the 1×1 convolutions that make images of features."""

    config = Config
    compares_features = True

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.shown = nn.ModuleList()  # the teacher's features as images: fixed

    def _build_adapters(self, image: Tensor) -> None:
        super()._build_adapters(image)
        assert self.teacher.network is not None
        channels = self.cfg.channels
        pairs = ((self.student, self._student_taps), (self.teacher.network, self._teacher_taps))
        seen, meant = ([x.shape[1] for x in glance(network, taps, image)[1]] for network, taps in pairs)
        self.adapters = nn.ModuleList(nn.Conv2d(inner, channels, 1) for inner in seen)
        self.shown = nn.ModuleList(nn.Conv2d(inner, channels, 1) for inner in meant).requires_grad_(False)

    def needs_perception(self) -> bool:
        return bool(self.cfg.lambda_style or self.cfg.lambda_feature)

    def student_losses(self, batch: Any, _: Clock) -> Losses:
        cfg, source = self.cfg, self.teacher.source(batch)
        answer, features = self.translate(source)
        wanted, teacher_features = self.observe(batch)
        losses = {"dcd": cfg.lambda_dcd * self.cooperated(source, features, teacher_features)}
        if self.needs_perception():
            seen, meant = self.perception(answer), self.perception(wanted)
            losses["style"] = cfg.lambda_style * style_distance(seen, meant)
            losses["feature"] = cfg.lambda_feature * feature_distance(seen, meant)
        return losses | self.deceit(batch, answer)

    def cooperated(self, source: Tensor, features: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Mean absolute difference of the critic's activations for the two sides' features, over all of them."""
        distances = []
        for conv, fixed, feature, meant in zip(self.adapters, self.shown, features, wanted, strict=True):
            seen = self.critic_features(source, torch.tanh(resized_as(conv(feature), source)))
            with torch.no_grad():
                known = self.critic_features(source, torch.tanh(resized_as(fixed(meant), source)))
            distances += [F.l1_loss(one, other) for one, other in zip(seen, known, strict=True)]
        return torch.stack(distances).mean()
