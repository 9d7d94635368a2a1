"""Wavelet distillation: the student copies the teacher's detail, band by band, and finds what is smooth by itself.

Paper: Zhang et al., "Wavelet Knowledge Distillation: Towards Efficient Image-to-Image Translation", CVPR 2022.
Differs from the paper: no code was published, and wavelet, levels and weight are our choice: Haar's, three levels, 10.
The critic is narrowed together with the generator by `critic_width`, unless the teacher brings its own. What is smooth
follows the critic; for a teacher whose picture is asked for as it is, `lambda_smooth` adds the low band (default 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from models.compress.judged import JudgedConfig, JudgedDistillation
from models.losses.wavelet import detail_distance, haar
from models.system import Clock, Losses


@dataclass(frozen=True)
class Config(JudgedConfig):
    """Our reading of the paper."""

    levels: int = 3
    lambda_detail: float = 10.0
    lambda_smooth: float = 0.0
    critic_width: int = 32


class WaveletDistillation(JudgedDistillation):
    """The student, its teacher and its critic."""

    config = Config

    def student_losses(self, batch: Any, _: Clock) -> Losses:
        cfg = self.cfg
        answer, wanted = self.student(self.teacher.source(batch)), self.teacher.answer(batch)
        losses = {"detail": cfg.lambda_detail * detail_distance(answer, wanted, cfg.levels)}
        if cfg.lambda_smooth:
            losses["smooth"] = cfg.lambda_smooth * F.l1_loss(smooth(answer, cfg.levels), smooth(wanted, cfg.levels))
        return losses | self.deceit(batch, answer)


def smooth(image: Tensor, levels: int) -> Tensor:
    """The low band behind `levels` levels, in the image's range."""
    for _ in range(levels):
        image = haar(image)[0] / 2
    return image
