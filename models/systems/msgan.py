"""MSGAN on Pix2Pix: paired translation with z, which mode seeking keeps from being ignored.

Paper: Mao et al., "Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis", CVPR 2019.
Differs from the paper: the critic judges an image together with its source, as Pix2Pix's does; whether the released
code's does could not be verified. On DRIT it is the recipe msgan_drit.toml; its DCGAN and StackGAN++ are not here.
`lambda_mode_seeking = 0` is its baseline, whose pictures hardly depend on z.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_xavier
from models.data.batches import Pair
from models.losses.adversarial import adversarial, d_over_scales, g_over_scales
from models.losses.mode_seeking import mode_seeking
from models.networks.multiscale_critic import MultiscaleCritic
from models.networks.unet import unet_generator
from models.schedules import linear_decay
from models.system import Clock, Control, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """Settings of the released code."""

    channels: int = 3
    width: int = 64
    levels: int = 8  # of the U-Net; images are multiples of 2^levels
    latent: int = 8  # z enters at all levels of the encoder
    critic_width: int = 64
    critic_field: int = 70
    critic_scales: int = 2
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_l1: float = 10.0
    lambda_mode_seeking: float = 1.0
    lr: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5  # share of training before the learning rate decays


class MsGan(System):
    """generator: (source, z) → target; critic: (source, image) → logits."""

    config = Config
    data = "paired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.generator = unet_generator(cfg.channels, cfg.channels, cfg.width, cfg.levels, "instance", 0.0, cfg.latent)
        self.critic = MultiscaleCritic(
            2 * cfg.channels, cfg.critic_width, cfg.critic_field, scales=cfg.critic_scales
        )  # fmt: skip
        self.game = adversarial(cfg.gan)
        for network in (self.generator, self.critic):
            init_xavier(network)

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", (self.generator,), self.g_losses)]

    def d_losses(self, batch: Pair, _: Clock) -> Losses:
        """Two fakes of each source, so the real counts twice."""
        with torch.no_grad():
            fakes = [self.generator(batch.source, z) for z in self.drawn(batch.source)]
        games = [d_over_scales(self.game, self.judge(batch, batch.target), self.judge(batch, fake)) for fake in fakes]
        return {"gan": self.cfg.lambda_gan * torch.stack(games).sum()}

    def g_losses(self, batch: Pair, _: Clock) -> Losses:
        cfg, latents = self.cfg, self.drawn(batch.source)
        fakes = [self.generator(batch.source, z) for z in latents]
        games = [g_over_scales(self.game, self.judge(batch, fake)) for fake in fakes]
        losses = {
            "gan": cfg.lambda_gan * torch.stack(games).sum(),
            "l1": cfg.lambda_l1 * torch.stack([F.l1_loss(fake, batch.target) for fake in fakes]).sum(),
        }
        if cfg.lambda_mode_seeking:
            losses["mode_seeking"] = cfg.lambda_mode_seeking * mode_seeking(*fakes, *latents)
        return losses

    def drawn(self, like: Tensor) -> list[Tensor]:
        """Two z (N, latent)."""
        return [torch.randn(len(like), self.cfg.latent, device=like.device) for _ in range(2)]

    def judge(self, batch: Pair, image: Tensor) -> list[Tensor]:
        """Logits, per scale, of `image` as a translation of the batch's source."""
        logits: list[Tensor] = self.critic(torch.cat(self.augment.pair(batch.source, image), dim=1))
        return logits

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        z = Control("z", "noise", (1, self.cfg.latent), distribution="normal")
        return {"generator": Deployable(self.generator, self.cfg.channels, (z,), multiple=1 << self.cfg.levels)}

    @torch.no_grad()
    def samples(self, batch: Pair) -> dict[str, Tensor]:
        rows = {"source": batch.source, "target": batch.target}
        for k, z in enumerate(self.drawn(batch.source), 1):
            rows[f"z {k}"] = self.generator(batch.source, z)
        return rows
