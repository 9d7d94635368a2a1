"""SinCUT: CUT on crops of one image of each domain, with StyleGAN2's layers.

Paper: Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation" (section 4), ECCV 2020.
Differs from the paper: crops are independent draws at one scale, where the authors zoom a whole batch by 1/3 to 1 and
keep its crops apart. The noise of the upsampling layer is drawn in training only; what ships has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.data.batches import TwoImages
from models.losses.contrastive import patch_nce
from models.losses.gradient_penalty import r1
from models.networks.style_convs import style_critic
from models.system import Clock, Deployable, Losses
from models.systems import cut


@dataclass(frozen=True)
class Config(cut.Config):
    """Paper settings."""

    size: int = 64  # of the crops
    generator: str = "unit_style"
    width: int = 10
    critic_width: int = 8
    gan: str = "vanilla"
    lambda_r1: float = 1.0
    lambda_nce: float = 4.0
    lambda_identity: float = 1.0
    nce_layers: tuple[int, ...] = (0, 2, 4)  # pixels, the down stage, the second block behind it
    patches: int = 1  # of each crop; the other crops of the batch give the negatives
    lr: float = 2e-3
    beta1: float = 0.0
    beta2: float = 0.99


class SinCut(cut.Cut):
    """CUT's players; the critic sees whole crops."""

    config = Config

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.critic = style_critic(cfg.channels, cfg.critic_width, cfg.size)

    def d_losses(self, batch: TwoImages, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.generator(batch.a)
        real = self.augment(batch.b).detach().requires_grad_()
        logits = self.critic(real)
        return {
            "gan": 0.5 * self.game.d(logits, self.critic(self.augment(fake))),
            "r1": self.cfg.lambda_r1 * r1(logits, real),
        }

    def g_losses(self, batch: TwoImages, clock: Clock) -> Losses:
        losses = super().g_losses(batch, clock)
        losses["identity"] = self.cfg.lambda_identity * F.l1_loss(self.generator(batch.b), batch.b)
        return losses

    def nce(self, image: Tensor, fake: Tensor, flip: bool = False) -> Tensor:
        """CUT's patch loss with negatives from all crops of the batch."""
        pairs = zip(*self.projected(image, fake, flip), strict=True)
        losses = [
            patch_nce(query.flatten(0, 1)[None], key.flatten(0, 1)[None], self.cfg.temperature) for query, key in pairs
        ]
        return torch.stack(losses).mean()

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, self.cfg.beta2))

    def deployables(self) -> dict[str, Deployable]:
        decisions = (("noise", "off"),)
        return {"generator": Deployable(self.generator, self.cfg.channels, multiple=2, decisions=decisions)}
