"""WGAN-GP: noise to images; the critic's gradient is held at length one instead of clipping its weights.

Paper: Gulrajani et al., "Improved Training of Wasserstein GANs", NIPS 2017.
Differs from the paper: the DCGAN networks of its 64×64 experiments only, not the ResNet of its CIFAR-10 table.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from models.blocks.init import init_normal
from models.data.batches import OneImage
from models.errors import ConfigError
from models.losses.adversarial import wasserstein_d, wasserstein_g
from models.losses.gradient_penalty import gradient_penalty
from models.networks.dcgan import NoiseToImage, image_critic
from models.schedules import linear_decay
from models.system import Clock, Control, Deployable, Losses, Phase, System, every


@dataclass(frozen=True)
class Config:
    """Paper settings at 64×64."""

    size: int = 64
    load_size: int = 64
    channels: int = 3
    latent: int = 128
    width: int = 64
    critic_width: int = 64
    critic_norm: str = "none"  # or "layer"; batch norm would couple the samples whose gradients are penalised
    lambda_gp: float = 10.0
    n_critic: int = 5
    lr: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9
    constant: float = 1.0  # share of training before the learning rate decays; CIFAR-10: 0


class WganGp(System):
    """generator: z → image; critic: image → score."""

    config = Config
    data = "images"
    task = "noise to image"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.critic_norm == "batch":
            raise ConfigError("critic_norm = 'batch' couples the penalised samples; take 'none' or 'layer'")
        self.generator = NoiseToImage(cfg.latent, cfg.channels, cfg.width, cfg.size)
        self.critic = image_critic(cfg.channels, cfg.critic_width, cfg.size, cfg.critic_norm)
        init_normal(self.generator)
        init_normal(self.critic)

    def phases(self) -> list[Phase]:
        return [
            Phase("D", (self.critic,), self.d_losses),
            Phase("G", (self.generator,), self.g_losses, when=every(self.cfg.n_critic)),
        ]

    def d_losses(self, batch: OneImage, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.augment(self.generator(self.noise(batch.image)))
        real = self.augment(batch.image)
        return {
            "gan": wasserstein_d(self.critic(real), self.critic(fake)),
            "gp": self.cfg.lambda_gp * gradient_penalty(self.critic, real, fake),
        }

    def g_losses(self, batch: OneImage, _: Clock) -> Losses:
        fake = self.generator(self.noise(batch.image))
        return {"gan": wasserstein_g(self.critic(self.augment(fake)))}

    def noise(self, image: Tensor) -> Tensor:
        """As many z as there are images."""
        return torch.randn(len(image), self.cfg.latent, device=image.device)

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, self.cfg.beta2))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        z = Control("z", "noise", (1, self.cfg.latent), distribution="normal")
        return {"generator": Deployable(self.generator, channels_in=0, controls=(z,))}

    @torch.no_grad()
    def samples(self, batch: OneImage) -> dict[str, Tensor]:
        return {"real": batch.image, "made": self.generator(self.noise(batch.image))}
