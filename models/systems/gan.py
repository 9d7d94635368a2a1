"""GAN: noise to images; a generator and a critic play against each other.

Paper: Goodfellow et al., "Generative Adversarial Nets", NIPS 2014.
Differs from the paper: nothing with the defaults, which are the authors' MNIST settings, but that the output's bias
starts at the mean of the first samples, not of the whole set. `gan = "saturating"` is the minimax game of the text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from models.blocks.noise import uniform_control, uniform_noise
from models.data.batches import OneImage
from models.losses.adversarial import adversarial
from models.system import Clock, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """The authors' settings for MNIST."""

    size: int = 28
    load_size: int = 28
    flip: bool = False
    channels: int = 1
    latent: int = 100
    width: int = 1200
    critic_width: int = 240
    pieces: int = 5  # of each maxout unit
    keep_pixels: float = 0.8  # dropout in the critic: what is kept of its input …
    keep_hidden: float = 0.5  # … and of its hidden units
    gan: str = "vanilla"
    lr: float = 0.1
    lr_decay: float = 1.000004  # the learning rate is divided by this at every step …
    lr_least: float = 1e-6  # … down to this
    momentum: float = 0.5
    final_momentum: float = 0.7
    momentum_steps: int = 125_000  # 250 passes over 50 000 images, 100 at a time


class Gan(System):
    """generator: z → image; critic: image → logit."""

    config = Config
    data = "images"
    task = "noise to image"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.generator = MlpGenerator(cfg)
        self.critic = MaxoutCritic(cfg)
        self.game = adversarial(cfg.gan)

    def prepare(self, batch: OneImage) -> None:
        # An untrained generator then makes the mean image, not a gray one.
        mean = ((batch.image.mean(dim=0) + 1) / 2).flatten().clamp(1e-3, 1 - 1e-3)
        with torch.no_grad():
            self.generator.last.bias.copy_(torch.logit(mean))

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", (self.generator,), self.g_losses)]

    def d_losses(self, batch: OneImage, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.generator(uniform_noise(batch.image, self.cfg.latent))
        return {"gan": self.game.d(self.critic(self.augment(batch.image)), self.critic(self.augment(fake)))}

    def g_losses(self, batch: OneImage, _: Clock) -> Losses:
        fake = self.generator(uniform_noise(batch.image, self.cfg.latent))
        return {"gan": self.game.g(self.critic(self.augment(fake)))}

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return RisingMomentum(network, cfg.lr, (cfg.momentum, cfg.final_momentum), cfg.momentum_steps)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return float(max(self.cfg.lr_decay**-clock.step, self.cfg.lr_least / self.cfg.lr))

    def deployables(self) -> dict[str, Deployable]:
        return {"generator": Deployable(self.generator, channels_in=0, controls=(uniform_control(self.cfg.latent),))}

    @torch.no_grad()
    def samples(self, batch: OneImage) -> dict[str, Tensor]:
        return {"real": batch.image, "made": self.generator(uniform_noise(batch.image, self.cfg.latent))}


class MlpGenerator(nn.Module):
    """(N, latent) → (N, channels, size, size) in [-1, 1] through two hidden layers."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.shape = (cfg.channels, cfg.size, cfg.size)
        self.hidden = nn.Sequential(
            nn.Linear(cfg.latent, cfg.width), nn.ReLU(), nn.Linear(cfg.width, cfg.width), nn.ReLU()
        )
        self.last = nn.Linear(cfg.width, cfg.channels * cfg.size**2)
        init_uniform(self, 0.05)

    def forward(self, z: Tensor) -> Tensor:
        image = torch.sigmoid(self.last(self.hidden(z))) * 2 - 1
        return image.reshape(-1, *self.shape)


class Maxout(nn.Module):
    """(N, inner) → (N, outer): the greatest of `pieces` linear maps each (Goodfellow et al., ICML 2013)."""

    def __init__(self, inner: int, outer: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inner, outer * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        highest: Tensor = self.linear(x).unflatten(1, (-1, self.pieces)).amax(dim=2)
        return highest


class MaxoutCritic(nn.Module):
    """(N, channels, size, size) → (N, 1) logits; works on pixels in [0, 1]."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        pixels, drop = cfg.channels * cfg.size**2, 1 - cfg.keep_hidden
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Dropout(1 - cfg.keep_pixels), Maxout(pixels, cfg.critic_width, cfg.pieces),
            nn.Dropout(drop), Maxout(cfg.critic_width, cfg.critic_width, cfg.pieces),
            nn.Dropout(drop), nn.Linear(cfg.critic_width, 1),
        )  # fmt: skip
        init_uniform(self, 0.005)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.layers((image + 1) / 2)
        return logits


def init_uniform(network: nn.Module, bound: float) -> None:
    """Weights in ±bound, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


class RisingMomentum(SGD):
    """SGD whose momentum rises linearly; it counts its steps in its own state, so that resuming is exact."""

    def __init__(self, network: nn.Module, lr: float, momentum: tuple[float, float], steps: int) -> None:
        super().__init__(network.parameters(), lr, momentum[0])
        self.ends, self.rise = momentum, steps
        for group in self.param_groups:
            group["taken"] = 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        first, last = self.ends
        for group in self.param_groups:
            group["momentum"] = first + (last - first) * min(1.0, group["taken"] / self.rise)
            group["taken"] += 1
        return super().step(closure)
