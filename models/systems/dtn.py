"""DTN: a picture of the target domain that a fixed network sees as it sees the source image.

Paper: Taigman et al., "Unsupervised Cross-Domain Image Generation", ICLR 2017.
Differs from the paper: there is no official code, and the paper leaves kernels, batch and schedule open: kernels and
Adam follow the ports. f is trained within the run, on the source labels, for the first `learn_f` share of it, then
frozen. The face networks are not here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.data.batches import Adaptation
from models.errors import ConfigError
from models.losses.total_variation import total_variation
from models.networks.digits import embedder, judge, painter
from models.system import Clock, Deployable, Losses, Phase, System

SIDE = 32  # px, which the networks are made for
FAKE_SOURCE, FAKE_TARGET, REAL_TARGET = range(3)  # the critic's classes


@dataclass(frozen=True)
class Config:
    """Paper settings for digits."""

    size: int = SIDE
    load_size: int = SIDE
    flip: bool = False  # a mirrored digit is another
    channels: int = 3  # of the source; target images are seen as their mean when target_channels = 1
    target_channels: int = 1
    classes: int = 10
    code: int = 128
    width: int = 64  # of f
    generator_width: int = 128
    critic_width: int = 128
    learn_f: float = 0.2  # share of training in which f learns, before it is frozen
    lambda_gan: float = 1.0
    lambda_const: float = 15.0
    lambda_tid: float = 15.0
    lambda_tv: float = 0.0  # faces: 0.05
    lr: float = 2e-4
    beta1: float = 0.5


class Dtn(System):
    """encoder (the paper's f): image → code; generator (g): code → target image; critic: which of three it is."""

    config = Config
    data = "adaptation"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.target_channels not in (1, cfg.channels):
            raise ConfigError(f"target_channels = {cfg.target_channels}: it is 1, or channels = {cfg.channels}")
        self.encoder = embedder(cfg.channels, cfg.width, cfg.code)
        self.classifier = nn.Linear(cfg.code, cfg.classes)
        self.generator = painter(cfg.code, cfg.target_channels, cfg.generator_width)
        self.critic = judge(cfg.target_channels, cfg.critic_width, 3)

    def phases(self) -> list[Phase]:
        return [
            Phase("F", (self.encoder, self.classifier), self.f_losses, when=self.f_learns),
            Phase("D", (self.critic,), self.d_losses, when=self.f_is_frozen),
            Phase("G", (self.generator,), self.g_losses, when=self.f_is_frozen),
        ]

    def f_learns(self, clock: Clock) -> bool:
        """The first part of training: f alone."""
        return clock.fraction < float(self.cfg.learn_f)

    def f_is_frozen(self, clock: Clock) -> bool:
        """The rest of it."""
        return not self.f_learns(clock)

    def f_losses(self, batch: Adaptation, _: Clock) -> Losses:
        self.encoder.train()
        return {"class": F.cross_entropy(self.classifier(self.encoder(batch.source)), batch.label)}

    def d_losses(self, batch: Adaptation, _: Clock) -> Losses:
        with torch.no_grad():
            from_source, from_target = (self.generator(self.code(x)) for x in (batch.source, batch.target))
        real = self.as_target(batch.target)
        shown = ((from_source, FAKE_SOURCE), (from_target, FAKE_TARGET), (real, REAL_TARGET))
        return {"gan": self.cfg.lambda_gan * sum(self.taken_for(image, kind) for image, kind in shown)}

    def g_losses(self, batch: Adaptation, _: Clock) -> Losses:
        cfg = self.cfg
        code = self.code(batch.source)
        from_source, from_target = self.generator(code), self.generator(self.code(batch.target))
        passed = self.taken_for(from_source, REAL_TARGET) + self.taken_for(from_target, REAL_TARGET)
        losses = {
            "gan": cfg.lambda_gan * passed,
            "const": cfg.lambda_const * F.mse_loss(self.code(from_source), code),
            "tid": cfg.lambda_tid * F.mse_loss(from_target, self.as_target(batch.target)),
        }
        if cfg.lambda_tv:
            losses["tv"] = cfg.lambda_tv * (total_variation(from_source) + total_variation(from_target))
        return losses

    def taken_for(self, image: Tensor, kind: int) -> Tensor:
        """Cross-entropy of the critic's answer against one of its three classes."""
        logits = self.critic(self.augment(image))
        return F.cross_entropy(logits, torch.full((len(logits),), kind, device=logits.device))

    def code(self, image: Tensor) -> Tensor:
        """f(image), gray images repeated to its channels; frozen: no gradient to its weights, no statistics taken."""
        self.encoder.eval()
        code: Tensor = self.encoder(image.expand(-1, self.cfg.channels, -1, -1))
        return code

    def as_target(self, image: Tensor) -> Tensor:
        """A target image in the channels that the generator makes."""
        return image.mean(dim=1, keepdim=True) if self.cfg.target_channels == 1 else image

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def deployables(self) -> dict[str, Deployable]:
        path = nn.Sequential(self.encoder, self.generator)
        decisions = (("batch norm", "running statistics"),)
        return {"generator": Deployable(path, self.cfg.channels, fixed_size=(SIDE, SIDE), decisions=decisions)}

    @torch.no_grad()
    def samples(self, batch: Adaptation) -> dict[str, Tensor]:
        rows = {
            "source": batch.source, "source → target": self.generator(self.code(batch.source)),
            "target → target": self.generator(self.code(batch.target)), "target": batch.target,
        }  # fmt: skip
        return {name: row.expand(-1, self.cfg.channels, -1, -1) for name, row in rows.items()}
