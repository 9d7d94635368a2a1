"""Domain Bridge: MUNIT between domains made alike but for the weather, and a segmenter that learns from what it makes.

Paper: Pizzati et al., "Domain Bridge for Unpaired Image-to-Image Translation and Unsupervised Domain Adaptation",
WACV 2020.
Differs from the paper: no code was released. Both trainings are one run: MUNIT for the first `bridge_share` of it,
then the segmenter, a small one instead of the paper's. How the threshold α of pseudo-labels is balanced could not be
checked: here a pixel's weight is a step at α whose gradient is a sigmoid's, and `lambda_threshold`·α² pulls α down. No
VGG term. The bridge itself is data (models/data/bridged.py): leave bridge_a and bridge_b out to train without.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.data.batches import Bridged
from models.data.segmentation import UNKNOWN
from models.networks.segmenter import DOWNS, Segmenter
from models.system import Clock, Deployable, Losses, Phase
from models.systems import munit


@dataclass(frozen=True)
class Config(munit.Config):
    """MUNIT's settings for street scenes, and the segmenter's."""

    domains: tuple[str, ...] = ("background", "object")  # the classes of the segmentation
    lambda_cycle: float = 10.0
    bridge_share: float = 0.5  # of training, before the segmenter's turn
    segmenter_width: int = 32
    lambda_source: float = 1.0
    lambda_translated: float = 1.0  # on-line style sampling; 0 = the segmenter sees no translation
    lambda_pseudo: float = 1.0  # weighted pseudo-labels; 0 = none
    lambda_threshold: float = 0.1
    threshold: float = 0.8  # α at the start
    softness: float = 0.1  # width of the sigmoid that α's gradient is of
    pseudo_share: float = 0.25  # of the segmenter's steps
    segmenter_lr: float = 1e-3


class Threshold(nn.Module):
    """α: how sure the segmenter must be of a pixel to learn from its own answer."""

    def __init__(self, start: float, softness: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(start))
        self.softness = softness

    def forward(self, certainty: Tensor) -> Tensor:
        """Weights 0 or 1 of pixels of this certainty; the gradient to α is that of a sigmoid."""
        soft = torch.sigmoid((certainty - self.alpha) / self.softness)
        return (certainty >= self.alpha).to(soft.dtype) + soft - soft.detach()

    @torch.no_grad()
    def clip(self) -> None:
        """A certainty is in [0, 1]."""
        self.alpha.clamp_(0, 1)


class DomainBridge(munit.Munit):
    """MUNIT's networks; segmenter: image of either domain → classes of its pixels."""

    config = Config
    data = "bridged"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.segmenter = Segmenter(cfg.channels, cfg.segmenter_width, len(cfg.domains))
        self.threshold = Threshold(cfg.threshold, cfg.softness)

    def phases(self) -> list[Phase]:
        translation = [
            Phase(phase.name, phase.updates, phase.losses, lambda clock: not self.segments(clock))
            for phase in super().phases()
        ]
        learner = Phase("S", (self.segmenter,), self.s_losses, self.segments)
        pseudo = Phase(
            "P", (self.segmenter, self.threshold), self.pseudo_losses, self.relies_on_itself, self.threshold.clip
        )
        return [*translation, learner, *([pseudo] if self.cfg.lambda_pseudo else [])]

    def segments(self, clock: Clock) -> bool:
        """The translation is learned, and stays as it is."""
        return clock.fraction >= float(self.cfg.bridge_share)

    def relies_on_itself(self, clock: Clock) -> bool:
        """A random share of the segmenter's steps, the same ones in every run."""
        return self.segments(clock) and Random(clock.step).random() < float(self.cfg.pseudo_share)

    def s_losses(self, batch: Bridged, _: Clock) -> Losses:
        """Cross-entropy on the source, and on the source under a style of the target drawn for this step alone."""
        cfg = self.cfg
        losses = {"source": cfg.lambda_source * self.misread(batch.source, batch.label)}
        if cfg.lambda_translated:
            losses["translated"] = cfg.lambda_translated * self.misread(self.restyled(batch.source), batch.label)
        return losses

    def misread(self, image: Tensor, label: Tensor) -> Tensor:
        """Mean cross-entropy over the pixels whose class is known; 0 where none is."""
        losses = F.cross_entropy(self.segmenter(image), label, ignore_index=UNKNOWN, reduction="sum")
        return losses / (label != UNKNOWN).sum().clamp_min(1)

    @torch.no_grad()
    def restyled(self, image: Tensor) -> Tensor:
        """The image in the second domain, under a style of its own."""
        translated: Tensor = self.coder_b.decoder(self.coder_a.content(image), self.drawn_style(image))
        return translated

    def pseudo_losses(self, batch: Bridged, _: Clock) -> Losses:
        """Cross-entropy on the segmenter's own answers to the target where it is sure enough, and what keeps α low."""
        logits = self.segmenter(batch.target)
        certainty, answer = logits.detach().softmax(dim=1).max(dim=1)
        weighted = self.threshold(certainty) * F.cross_entropy(logits, answer, reduction="none")
        alpha = self.threshold.alpha
        return {"pseudo": self.cfg.lambda_pseudo * weighted.mean(), "alpha": self.cfg.lambda_threshold * alpha.square()}

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        if network is self.segmenter:
            return Adam(network.parameters(), cfg.segmenter_lr, weight_decay=cfg.weight_decay)
        return Adam(network.parameters(), cfg.segmenter_lr) if network is self.threshold else super().optimizer(network)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return 1.0 if network in (self.segmenter, self.threshold) else super().learning_rate(network, clock)

    def deployables(self) -> dict[str, Deployable]:
        cfg = self.cfg
        segmenter = Deployable(
            self.segmenter, cfg.channels, returns=("segmentation",), names=cfg.domains, multiple=1 << DOWNS,
            decisions=(("batch norm", "running statistics"),),
        )  # fmt: skip
        return super().deployables() | {"segmenter": segmenter}

    @torch.no_grad()
    def samples(self, batch: Bridged) -> dict[str, Tensor]:  # type: ignore[override]
        rows = {"source": batch.source, "its labels": self.shown(batch.label.clamp_max(len(self.cfg.domains)))}
        rows |= {f"source, style {k}": self.restyled(batch.source) for k in (1, 2)}
        rows |= {"source, segmented": self.read(batch.source), "target": batch.target}
        return rows | {"target, segmented": self.read(batch.target)}

    def read(self, image: Tensor) -> Tensor:
        """What the segmenter sees, as a picture."""
        return self.shown(self.segmenter(image).argmax(dim=1))

    def shown(self, label: Tensor) -> Tensor:
        """(N, H, W) classes → (N, C, H, W) gray levels in [-1, 1], the first class black."""
        levels = label.float() / max(1, len(self.cfg.domains) - 1) * 2 - 1
        return levels.clamp(-1, 1)[:, None].expand(-1, self.cfg.channels, -1, -1)
