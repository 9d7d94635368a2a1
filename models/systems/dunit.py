"""DUNIT: DRIT with a detector in the loop; instances are encoded on their own and must be found again where they were.

Paper: Bhattacharjee et al., "DUNIT: Detection-based Unsupervised Image-to-Image Translation", CVPR 2020.
Differs from the paper: its instance branch is not in the released code and could not be verified: here features of a
box, cut by RoIAlign, pass a residual block and a convolution without bias and are added in their place. The code's
consistency is detached from the generator, and so teaches nothing; here proposals near the source's boxes are moved
onto the translation's instances by a differentiable regressor, and 1 - generalised IoU is the loss. The detector is the
annotation plus that regressor, trained on annotated images first and frozen then, instead of Faster R-CNN; any other
takes its place in `build_detector`. Two domains, as in the paper; weights and rates are the released code's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from models.blocks.init import init_kaiming
from models.blocks.roi import is_box
from models.data.batches import TwoBoxed
from models.losses.boxes import box_loss
from models.networks.detector import AnnotatedDetector, Detector, jittered
from models.networks.disentangled import MeanAttribute
from models.networks.instance_boost import BoostedEncoders, BoxRoute, Place, PlacedDecoders
from models.system import Clock, Control, Deployable, Losses, Phase
from models.systems import drit
from models.systems.drit import Attribute, Drit, Side


@dataclass(frozen=True)
class Config(drit.Config):
    """Settings of the released code."""

    size: int = 216
    instances: int = 8  # boxes of an image, in training and in what ships
    instance_size: int = 8  # of a box's features
    detector_width: int = 32
    lambda_latent: float = 1.0
    lambda_mode_seeking: float = 0.01
    lambda_instance: float = 2.0  # of translations
    lambda_instance_cycle: float = 1.0  # of the return
    pretrain: float = 1 / 11  # share of training that is the detector's: 10 passes before 100
    lr: float = 2e-4
    lr_detector: float = 1e-3
    weight_decay: float = 0.0
    constant: float = 0.5  # share of training before the learning rate falls to a tenth


class Dunit(Drit):
    """DRIT's networks, the instance branch inside `content`, and a detector."""

    config = Config
    data = "boxes"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.detector = self.build_detector(cfg)
        if isinstance(self.detector, AnnotatedDetector):
            init_kaiming(self.detector)

    def build_networks(self, cfg: Config) -> None:  # type: ignore[override]
        super().build_networks(cfg)
        self.content = BoostedEncoders(cfg.channels, cfg.width, cfg.blocks, cfg.instance_size)
        plain = self.generator
        self.generator = PlacedDecoders(plain.shared, plain.own["a"], plain.own["b"])

    def build_detector(self, cfg: Config) -> Detector:
        """Who finds instances; override it for a detector of your own, which stays as it is."""
        return AnnotatedDetector(cfg.channels, cfg.detector_width)

    def phases(self) -> list[Phase]:
        later = [replace(phase, when=self.after_pretraining(phase)) for phase in super().phases()]
        if not isinstance(self.detector, AnnotatedDetector):
            return later
        first = Phase("R", (self.detector,), self.r_losses, lambda clock: not self.translates(clock))
        return [first, *later]

    def translates(self, clock: Clock) -> bool:
        """Whether the detector's stage is over."""
        return not isinstance(self.detector, AnnotatedDetector) or clock.fraction >= float(self.cfg.pretrain)

    def after_pretraining(self, phase: Phase) -> Any:
        """When a phase of DRIT's is due."""
        return lambda clock: self.translates(clock) and phase.when(clock)

    def r_losses(self, batch: TwoBoxed, _: Clock) -> Losses:
        """The detector's, on both domains' annotated images."""
        assert isinstance(self.detector, AnnotatedDetector)
        return {
            "a": self.detector.loss(batch.a, batch.boxes_a), "b": self.detector.loss(batch.b, batch.boxes_b)
        }  # fmt: skip

    # DRIT's functions of a domain, which here is a domain and the boxes of its images.

    @torch.no_grad()
    def sides(self, batch: TwoBoxed) -> tuple[Side, Side]:
        boxes = self.detector.detect(batch.a, batch.boxes_a), self.detector.detect(batch.b, batch.boxes_b)
        return (batch.a, Place("a", boxes[0])), (batch.b, Place("b", boxes[1]))

    def encode(self, image: Tensor, domain: Place) -> Attribute:
        return super().encode(image, domain.domain)

    def judge(self, image: Tensor, domain: Place, random: bool) -> list[Tensor]:
        return super().judge(image, domain.domain, random)

    def carried(self, held: Side, target: Side) -> Place:
        return Place(target[1].domain, held[1].boxes)

    def further_losses(
        self, sides: tuple[Side, Side], fakes: tuple[Tensor, Tensor], backs: tuple[Tensor, Tensor]
    ) -> Losses:
        """Instance consistency of translations, which show the other side's instances, and of the returns."""
        (_, a), (_, b) = sides
        there = self.consistency(fakes[1], a.boxes) + self.consistency(fakes[0], b.boxes)
        back = self.consistency(backs[0], a.boxes) + self.consistency(backs[1], b.boxes)
        return {
            "instance": self.cfg.lambda_instance * there, "instance_cycle": self.cfg.lambda_instance_cycle * back
        }  # fmt: skip

    def consistency(self, image: Tensor, boxes: Tensor) -> Tensor:
        """How far from the boxes (N, S, 5) the detector sees their instances in an image, from 0 to 2."""
        found = self.detector.refine(image, jittered(boxes))
        return box_loss(found, boxes[..., :4], is_box(boxes))

    def optimizer(self, network: nn.Module) -> Optimizer:
        if isinstance(network, AnnotatedDetector):
            return Adam(network.parameters(), self.cfg.lr_detector)
        return super().optimizer(network)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        early = clock.fraction <= float(self.cfg.constant)
        return 1.0 if early or isinstance(network, AnnotatedDetector) else 0.1

    def deployables(self) -> dict[str, Deployable]:
        cfg, parts = self.cfg, {}
        boxes = Control("boxes", "boxes", (1, cfg.instances, 5), low=0.0)
        assert isinstance(self.content, BoostedEncoders)
        for source, target in ("ab", "ba"):
            z = Control("z", "noise", (1, cfg.latent), distribution="normal", companion=f"attribute_{target}")
            route = BoxRoute(self.content, self.generator, source, target)
            parts[source + target] = Deployable(route, cfg.channels, (z, boxes), multiple=4)
        for domain in "ba":
            mean = MeanAttribute(self.attribute[domain], cfg.concat)
            parts[f"attribute_{domain}"] = Deployable(mean, cfg.channels, returns=("style",), multiple=4)
        return parts
