"""DMAD: masks learn which channels to close, then the student looks where teacher and critic look together.

Paper: Li et al., "Learning Efficient GANs for Image Translation via Differentiable Masks and Co-Attention
Distillation", IEEE Transactions on Multimedia, 2022.
Differs from the paper: search and fine-tuning are one run, and what the masks leave keeps its weights. The masks are
those of a student that starts wide, not the teacher's, which may be of any kind. They close for good when `budget_gmac`
is met, or after `search_until` of training, then at the threshold that meets it. The blocks' sums share one mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.compress.gated import GatedGenerator, Slimmed, lowest_threshold, strongest
from models.compress.judged import JudgedConfig, JudgedDistillation
from models.compress.student import deployable
from models.compress.taps import resized_as
from models.data.batches import Pair
from models.errors import ConfigError
from models.losses.attention import attention_distance
from models.system import Clock, Deployable, Losses, Phase


@dataclass(frozen=True)
class Config(JudgedConfig):
    """Paper settings for CycleGAN."""

    lambda_recon: float = 10.0
    lambda_attention: float = 100.0
    lambda_critic: float = 1e-4  # on the critic's features of the two sides' images
    lambda_sparsity: float = 1e-3
    budget_gmac: float = 1.5  # exact, at 256²
    search_until: float = 0.5  # share of training
    channel_step: int = 8  # widths are multiples of it


class Dmad(JudgedDistillation):
    """The student; `logits`, one per channel, of which masks are made; `settled` says whether they have closed."""

    config = Config
    compares_features = True
    settled: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.student: GatedGenerator = GatedGenerator(cfg)
        self.logits = nn.ParameterList(nn.Parameter(torch.ones_like(gate.open)) for gate in self.student.gates())
        self.register_buffer("settled", torch.zeros(1))

    def prepare(self, batch: Any) -> None:
        super().prepare(batch)
        self.adapters = nn.ModuleList()  # attention has no channels
        least = self.student.gmac([self.cfg.channel_step] * len(self.logits))
        if least > self.cfg.budget_gmac:
            raise ConfigError(
                f"budget_gmac = {self.cfg.budget_gmac:g}: with {self.cfg.channel_step} channels everywhere the student "
                f"has {least:.2f} GMAC at 256×256; raise the budget"
            )

    def phases(self) -> list[Phase]:
        *before, student = super().phases()
        masks = Phase("M", (self.logits,), self.mask_losses, when=lambda _: not self.settled)
        return [*before, student, masks]

    def student_losses(self, batch: Any, clock: Clock) -> Losses:
        if not self.settled:
            self.settle(clock)
        if self.settled:
            return self.terms(batch)
        with self.student.set_to([mask.detach() for mask in self.masks(clock)]):
            return self.terms(batch)

    def mask_losses(self, batch: Any, clock: Clock) -> Losses:
        masks = self.masks(clock)
        with self.student.set_to(masks):
            losses = self.terms(batch)
        return losses | {"sparsity": self.cfg.lambda_sparsity * torch.stack([mask.sum() for mask in masks]).sum()}

    def terms(self, batch: Any) -> Losses:
        """Reconstruction, co-attention, the critic's view, deceit."""
        cfg, source = self.cfg, self.teacher.source(batch)
        answer, features = self.translate(source)
        wanted, teacher_features = self.observe(batch)
        with torch.no_grad():
            known = self.critic_features(source, wanted)
        seen = self.critic_features(source, answer)
        guide = known[len(known) // 2]
        pairs = zip(features, teacher_features, strict=True)
        looks = [attention_distance(one, [resized_as(other, one), guide]) for one, other in pairs]
        critic = torch.stack([F.mse_loss(one, other) for one, other in zip(seen, known, strict=True)])
        goal = batch.target if isinstance(batch, Pair) else wanted
        return {
            "recon": cfg.lambda_recon * F.l1_loss(answer, goal),
            "attention": cfg.lambda_attention * torch.stack(looks).sum(),
            "critic": cfg.lambda_critic * critic.sum(),
        } | self.deceit(batch, answer)

    def bound(self, clock: Clock) -> float:
        """Half the width of the masks' slope: from 1 to almost 0."""
        return max(1e-3, 1 - clock.fraction / float(self.cfg.search_until))

    def masks(self, clock: Clock) -> list[Tensor]:
        """What each gate lets through: (C,) in [0, 1]."""
        return [soft_step(logits, self.bound(clock)) for logits in self.logits]

    @torch.no_grad()
    def settle(self, clock: Clock) -> None:
        """Close for good when the open channels meet the budget, or time is over."""
        if self.gmac(0.0) <= self.cfg.budget_gmac:
            self.close(0.0)
        elif clock.fraction >= self.cfg.search_until:
            highest = max(float(logits.max()) for logits in self.logits)
            self.close(lowest_threshold(highest, lambda threshold: self.gmac(threshold) <= self.cfg.budget_gmac))

    def open_above(self, threshold: float) -> list[Tensor]:
        """Masks of the channels whose logit exceeds the threshold."""
        lowest = min(float(logits.min()) for logits in self.logits)
        return strongest([logits - lowest for logits in self.logits], threshold - lowest, self.cfg.channel_step)

    def gmac(self, threshold: float) -> float:
        """Exact GMAC of what a threshold leaves."""
        return self.student.gmac([int(mask.sum()) for mask in self.open_above(threshold)])

    def close(self, threshold: float) -> None:
        """Close the others."""
        self.student.keep(self.open_above(threshold))
        self.settled.fill_(1)

    def optimizer(self, network: nn.Module) -> Optimizer:
        if network is self.logits:
            return Adam(network.parameters(), 10 * self.cfg.lr, (self.cfg.beta1, 0.999))
        return super().optimizer(network)

    def deployables(self) -> dict[str, Deployable]:
        return {"generator": deployable(Slimmed(self.student), self.cfg)}


def soft_step(x: Tensor, bound: float) -> Tensor:
    """0 below -bound, 1 above bound, two parabolas between that meet at 1/2 with one slope."""
    t = (x / bound).clamp(-1, 1)
    return torch.where(t < 0, (1 + t).square() / 2, 1 - (1 - t).square() / 2)
