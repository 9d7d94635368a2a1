"""CAT: channels are closed in one step, at a threshold; the student then follows the teacher's view of a batch.

Paper: Jin et al., "Teachers Do More Than Teach: Compressing Image-to-Image Models", CVPR 2021.
Differs from the paper: the paper prunes its teacher, a generator of Inception blocks, and trains what is left anew. A
teacher here may be of any kind, so what is pruned is the student's own wide start: at `prune_at` of training, one
threshold on the strengths of its channels, found by bisection, brings it to `budget_gmac`, and the open channels go on
with their weights. Kernels are aligned over the batch, at the layers that the teacher shows; a batch of one has no
kernel, and the paper's is 80. The reconstruction term follows the data: the true target of pairs, else the teacher's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.compress.gated import GatedGenerator, Slimmed, lowest_threshold, strongest
from models.compress.judged import JudgedConfig, JudgedDistillation
from models.compress.student import deployable
from models.data.batches import Pair
from models.errors import ConfigError
from models.losses.kernels import kernel_alignment
from models.system import Clock, Deployable, Losses


@dataclass(frozen=True)
class Config(JudgedConfig):
    """Paper settings for horse → zebra."""

    lambda_recon: float = 5.0
    lambda_distill: float = 1.0
    budget_gmac: float = 1.5  # exact, at 256²
    prune_at: float = 0.3  # share of training
    channel_step: int = 8  # widths are multiples of it


class Cat(JudgedDistillation):
    """The student, whose gates have strengths; `pruned` says whether they were closed."""

    config = Config
    compares_features = True
    pruned: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.student: GatedGenerator = GatedGenerator(cfg, scaled=True)
        self.register_buffer("pruned", torch.zeros(1))

    def refusal(self, batch: int) -> str:
        return "the kernel of a batch needs two images or more" if batch < 2 else ""

    def prepare(self, batch: Any) -> None:
        super().prepare(batch)
        self.adapters = nn.ModuleList()  # kernels of any widths compare
        least = self.student.gmac([self.cfg.width, *[self.cfg.channel_step] * len(self.student.blocks())])
        if least > self.cfg.budget_gmac:
            raise ConfigError(
                f"budget_gmac = {self.cfg.budget_gmac:g}: with {self.cfg.channel_step} channels in each block the "
                f"student still has {least:.2f} GMAC at 256×256; raise the budget, or narrow width"
            )

    def student_losses(self, batch: Any, clock: Clock) -> Losses:
        if clock.fraction >= self.cfg.prune_at and not self.pruned:
            self.prune()
        answer, features = self.translate(self.teacher.source(batch))
        wanted, teacher_features = self.observe(batch)
        goal = batch.target if isinstance(batch, Pair) else wanted
        pairs = zip(features, teacher_features, strict=True)
        alignment = torch.stack([kernel_alignment(one, other) for one, other in pairs]).sum()
        return {
            "recon": self.cfg.lambda_recon * F.l1_loss(answer, goal),
            "distill": -self.cfg.lambda_distill * alignment,
        } | self.deceit(batch, answer)

    @torch.no_grad()
    def prune(self) -> None:
        """Close what the lowest threshold closes that meets the budget."""
        trunk, *inside = self.student.gates()
        strengths = [gate.values().abs() for gate in inside]

        def masks(threshold: float) -> list[Tensor]:
            return [trunk.open, *strongest(strengths, threshold, self.cfg.channel_step)]

        highest = max(float(strength.max()) for strength in strengths)
        self.student.keep(masks(lowest_threshold(highest, lambda threshold: self.meets_budget(masks(threshold)))))
        self.pruned.fill_(1)

    def meets_budget(self, masks: list[Tensor]) -> bool:
        """Whether so many channels cost no more than allowed."""
        gmac = self.student.gmac([int(mask.sum()) for mask in masks])
        return gmac <= float(self.cfg.budget_gmac)

    def deployables(self) -> dict[str, Deployable]:
        return {"generator": deployable(Slimmed(self.student), self.cfg)}
