"""DCGAN: noise to images with convolutions only; the architecture that made the game stable.

Paper: Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
ICLR 2016.
Differs from the paper: kernels of 4×4 (as in the later ports) where the authors' code has 5×5; z enters through a
transposed convolution, which on a 1×1 map is the same linear map as the paper's projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from models.blocks.init import init_normal
from models.blocks.noise import uniform_control, uniform_noise
from models.data.batches import OneImage
from models.losses.adversarial import adversarial
from models.networks.dcgan import NoiseToImage, image_critic
from models.system import Clock, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    size: int = 64
    load_size: int = 64
    channels: int = 3
    latent: int = 100
    width: int = 128
    critic_width: int = 128
    gan: str = "vanilla"
    lr: float = 2e-4
    beta1: float = 0.5
    weight_decay: float = 1e-5  # the authors' code; not in the paper's text


class Dcgan(System):
    """generator: z → image; critic: image → logit."""

    config = Config
    data = "images"
    task = "noise to image"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.generator = NoiseToImage(cfg.latent, cfg.channels, cfg.width, cfg.size)
        self.critic = image_critic(cfg.channels, cfg.critic_width, cfg.size)
        self.game = adversarial(cfg.gan)
        init_normal(self.generator)
        init_normal(self.critic)

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", (self.generator,), self.g_losses)]

    def d_losses(self, batch: OneImage, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.generator(uniform_noise(batch.image, self.cfg.latent))
        # Real and fake in batches of their own, each with its own batch statistics, as the authors' code.
        return {"gan": self.game.d(self.critic(self.augment(batch.image)), self.critic(self.augment(fake)))}

    def g_losses(self, batch: OneImage, _: Clock) -> Losses:
        fake = self.generator(uniform_noise(batch.image, self.cfg.latent))
        return {"gan": self.game.g(self.critic(self.augment(fake)))}

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return Adam(network.parameters(), cfg.lr, (cfg.beta1, 0.999), weight_decay=cfg.weight_decay)

    def deployables(self) -> dict[str, Deployable]:
        controls = (uniform_control(self.cfg.latent),)
        decisions = (("batch norm", "running statistics"),)
        return {"generator": Deployable(self.generator, channels_in=0, controls=controls, decisions=decisions)}

    @torch.no_grad()
    def samples(self, batch: OneImage) -> dict[str, torch.Tensor]:
        return {"real": batch.image, "made": self.generator(uniform_noise(batch.image, self.cfg.latent))}
