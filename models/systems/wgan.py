"""WGAN: noise to images; a weight-clipped critic estimates the Wasserstein distance.

Paper: Arjovsky et al., "Wasserstein GAN", ICML 2017.
Differs from the paper: nothing with the defaults. The bursts of critic steps are those of the released code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, RMSprop

from models.blocks.init import init_normal
from models.data.batches import OneImage
from models.losses.adversarial import wasserstein_d, wasserstein_g
from models.networks.dcgan import NoiseToImage, image_critic
from models.system import Clock, Control, Deployable, Losses, Phase, System

BURST = 100  # critic steps for each of the first 25 generator steps, and for every 500th


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    size: int = 64
    load_size: int = 64
    channels: int = 3
    latent: int = 100
    width: int = 64
    critic_width: int = 64
    clip: float = 0.01
    n_critic: int = 5
    bursts: bool = True
    lr: float = 5e-5


class Wgan(System):
    """generator: z → image; critic: image → score."""

    config = Config
    data = "images"
    task = "noise to image"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.generator = NoiseToImage(cfg.latent, cfg.channels, cfg.width, cfg.size)
        self.critic = image_critic(cfg.channels, cfg.critic_width, cfg.size)
        init_normal(self.generator)
        init_normal(self.critic)

    def phases(self) -> list[Phase]:
        return [
            Phase("D", (self.critic,), self.d_losses, after=self.clip),
            Phase("G", (self.generator,), self.g_losses, when=self.generators_turn),
        ]

    def generators_turn(self, clock: Clock) -> bool:
        """Whether enough critic steps have gone by: n_critic, or a burst of them."""
        return ends_turn(clock.step, self.cfg.n_critic, BURST if self.cfg.bursts else self.cfg.n_critic)

    def d_losses(self, batch: OneImage, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.generator(self.noise(batch.image))
        return {"gan": wasserstein_d(self.critic(self.augment(batch.image)), self.critic(self.augment(fake)))}

    def g_losses(self, batch: OneImage, _: Clock) -> Losses:
        fake = self.generator(self.noise(batch.image))
        return {"gan": wasserstein_g(self.critic(self.augment(fake)))}

    @torch.no_grad()
    def clip(self) -> None:
        """Keep every critic weight in [-clip, clip]."""
        for parameter in self.critic.parameters():
            parameter.clamp_(-self.cfg.clip, self.cfg.clip)

    def noise(self, image: Tensor) -> Tensor:
        """As many z as there are images."""
        return torch.randn(len(image), self.cfg.latent, device=image.device)

    def optimizer(self, network: nn.Module) -> Optimizer:
        return RMSprop(network.parameters(), self.cfg.lr)

    def deployables(self) -> dict[str, Deployable]:
        z = Control("z", "noise", (1, self.cfg.latent), distribution="normal")
        return {"generator": Deployable(self.generator, channels_in=0, controls=(z,))}

    @torch.no_grad()
    def samples(self, batch: OneImage) -> dict[str, Tensor]:
        return {"real": batch.image, "made": self.generator(self.noise(batch.image))}


def ends_turn(step: int, n_critic: int, burst: int) -> bool:
    """Whether critic step `step` is the last before a generator step.

    Generator steps 0 to 24 and each 500th follow `burst` critic steps, all others `n_critic`.
    """
    if step < 25 * burst:
        return step % burst == burst - 1
    # One period: generator steps 25 … 499, the burst before step 500, then steps 501 … 524.
    before, period = 475 * n_critic, 499 * n_critic + burst
    position = (step - 25 * burst) % period
    if position < before:
        return position % n_critic == n_critic - 1
    after = position - before - burst
    return after == -1 or (after >= 0 and after % n_critic == n_critic - 1)
