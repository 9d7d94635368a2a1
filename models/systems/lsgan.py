"""LSGAN: noise to images, of a class where classes are named; least squares pull far-off fakes in that logs let go.

Paper: Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017.
Differs from the paper: with classes the critic sees the embedded class behind its first convolution, spread over the
map, and the network is that of the scenes, not the paper's for characters; where the paper joins it was not checked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_normal
from models.blocks.noise import uniform_control, uniform_noise
from models.blocks.tile import with_vector
from models.data.batches import LabelledImage
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.system import Clock, Control, Deployable, Losses, Phase, System

SCHEMES = {"binary": "lsgan", "pearson": "lsgan_pearson"}  # (a, b, c) = (0, 1, 1) and (-1, 1, 0)


@dataclass(frozen=True)
class Config:
    """Paper settings for LSUN scenes; characters: domains = the classes, lr = 2e-4."""

    size: int = 112
    load_size: int = 112
    channels: int = 3
    domains: tuple[str, ...] = ()  # the classes; none = unconditional
    embedding: int = 256  # of a class
    latent: int = 1024
    width: int = 64
    critic_width: int = 64
    scheme: str = "binary"  # or "pearson", whose minimum is that of Pearson's χ²
    lr: float = 1e-3
    beta1: float = 0.5


class Lsgan(System):
    """generator: z (and class) → image; critic: image (and class) → unbounded number."""

    config = Config
    data = "labelled"
    task = "noise to image"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.scheme not in SCHEMES:
            raise ConfigError(f"there is no scheme {cfg.scheme!r}; there are {', '.join(SCHEMES)}")
        if cfg.size % 16:
            raise ConfigError(f"LSGAN makes images of a multiple of 16 px, not size = {cfg.size}")
        self.generator = Generator(cfg)
        self.critic = Critic(cfg)
        self.game = adversarial(SCHEMES[cfg.scheme])
        init_normal(self.generator)
        init_normal(self.critic)

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", (self.generator,), self.g_losses)]

    def d_losses(self, batch: LabelledImage, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.made(batch)
        return {"gan": 0.5 * self.game.d(self.judged(batch.image, batch), self.judged(fake, batch))}

    def g_losses(self, batch: LabelledImage, _: Clock) -> Losses:
        return {"gan": 0.5 * self.game.g(self.judged(self.made(batch), batch))}

    def made(self, batch: LabelledImage) -> Tensor:
        """As many images as the batch has, of its classes."""
        fake: Tensor = self.generator(uniform_noise(batch.image, self.cfg.latent), *self.classes(batch))
        return fake

    def judged(self, image: Tensor, batch: LabelledImage) -> Tensor:
        """The critic's answers to images of the batch's classes."""
        logits: Tensor = self.critic(self.augment(image), *self.classes(batch))
        return logits

    def classes(self, batch: LabelledImage) -> tuple[Tensor, ...]:
        """(N, classes) one-hot, or nothing for an unconditional system."""
        return (F.one_hot(batch.label, len(self.cfg.domains)).float(),) if self.cfg.domains else ()

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def deployables(self) -> dict[str, Deployable]:
        names = self.cfg.domains
        controls: tuple[Control, ...] = (uniform_control(self.cfg.latent),)
        if names:
            first = (1.0,) + (0.0,) * (len(names) - 1)
            controls += (Control("class", "label", (1, len(names)), 0.0, 1.0, first, names),)
        decisions = (("batch norm", "running statistics"),)
        return {"generator": Deployable(self.generator, channels_in=0, controls=controls, decisions=decisions)}

    @torch.no_grad()
    def samples(self, batch: LabelledImage) -> dict[str, Tensor]:
        return {"real": batch.image, "made": self.made(batch)}


class Generator(nn.Module):
    """(N, latent), (N, classes) → (N, channels, size, size) in [-1, 1]: pairs of 3×3 transposed convolutions."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        wide, self.side = 4 * cfg.width, cfg.size // 16
        classes = len(cfg.domains)
        self.embed = nn.Linear(classes, cfg.embedding, bias=False) if classes else None
        inner = cfg.latent + (cfg.embedding if classes else 0)
        self.first = nn.Linear(inner, wide * self.side**2, bias=False)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(wide), nn.ReLU(),
            *_up(wide, wide, 2), *_up(wide, wide, 1), *_up(wide, wide, 2), *_up(wide, wide, 1),
            *_up(wide, wide // 2, 2), *_up(wide // 2, wide // 4, 2),
            nn.ConvTranspose2d(wide // 4, cfg.channels, 3, 1, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        image: Tensor = self.layers(self.first(z).unflatten(1, (-1, self.side, self.side)))
        return image


class Critic(nn.Module):
    """(N, channels, size, size), (N, classes) → (N, 1), unbounded: 5×5 convolutions that halve, one linear layer."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        classes, width = len(cfg.domains), cfg.critic_width
        self.embed = nn.Linear(classes, cfg.embedding, bias=False) if classes else None
        self.first = nn.Sequential(nn.Conv2d(cfg.channels, width, 5, 2, 2), nn.LeakyReLU(0.2))
        inner = width + (cfg.embedding if classes else 0)
        layers: list[nn.Module] = []
        for outer in (2 * width, 4 * width, 8 * width):
            layers += [nn.Conv2d(inner, outer, 5, 2, 2, bias=False), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2)]
            inner = outer
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inner * (cfg.size // 16) ** 2, 1))

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.first(image)
        if self.embed is not None:
            features = with_vector(features, self.embed(label))
        answer: Tensor = self.layers(features)
        return answer


def _up(inner: int, outer: int, stride: int) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(inner, outer, 3, stride, 1, output_padding=stride - 1, bias=False)
    return [conv, nn.BatchNorm2d(outer), nn.ReLU()]
