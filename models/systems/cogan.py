"""CoGAN: pairs of corresponding images of two domains, learned without any pair, by layers that both domains share.

Paper: Liu & Tuzel, "Coupled Generative Adversarial Networks", NIPS 2016.
Differs from the paper: images are in [-1, 1] (tanh) instead of [0, 1] (sigmoid), the same up to a scale, and the critic
has one logit instead of the two of a softmax, whose difference it is. Digits only, at 28×28.
Domain adaptation is `lambda_class = 10` with `lambda_feature = 0.01` (recipe cogan_adaptation.toml): the critics also
classify, taught by the labels of domain A alone, and domain B's classifier ships too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_xavier, start_alike
from models.blocks.noise import uniform_control, uniform_noise
from models.data.batches import Adaptation
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.system import Clock, Deployable, Losses, Phase, System

SIDE = 28  # px, which the kernels lead to
GAIN = 2**0.5  # of the initialisation


@dataclass(frozen=True)
class Config:
    """Paper settings for digits."""

    size: int = SIDE
    load_size: int = SIDE
    flip: bool = False  # a mirrored digit is another
    channels: int = 1
    latent: int = 100
    width: int = 128  # of the generators' last shared layer; 8 times as many in the first
    critic_channels: tuple[int, ...] = (20, 50, 500)
    classes: int = 10
    gan: str = "vanilla"
    lambda_gan: float = 1.0
    lambda_class: float = 0.0  # adaptation: 10
    lambda_feature: float = 0.0  # adaptation: 0.01
    alike: bool = False  # the domains' own layers begin with the same weights, for short trainings of kindred domains
    lr: float = 2e-4
    beta1: float = 0.5
    weight_decay: float = 5e-4


class CoupledGenerator(nn.Module):
    """z (N, latent) → corresponding images of A and B, each (N, channels, 28, 28) in [-1, 1]."""

    def __init__(self, latent: int, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1)), *_up(latent, 8 * width, 4, 1, 0)]
        for inner, outer in pairwise((8 * width, 4 * width, 2 * width, width)):
            layers += _up(inner, outer, 3, 2, 1)
        self.shared = nn.Sequential(*layers)  # 4, 7, 13, 25 px
        self.own = nn.ModuleDict({domain: nn.ConvTranspose2d(width, channels, 6, 1, 1) for domain in "ab"})

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        features = self.shared(z)
        return torch.tanh(self.own["a"](features)), torch.tanh(self.own["b"](features))


def _up(inner: int, outer: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(inner, outer, kernel, stride, padding)
    return [conv, nn.BatchNorm2d(outer, affine=False), nn.PReLU()]


class CoupledCritic(nn.Module):
    """image (N, channels, 28, 28) of a domain → features (N, 500, 1, 1); heads give logits of reality and class."""

    def __init__(self, channels: int, sides: tuple[int, ...], classes: int) -> None:
        super().__init__()
        first, second, third = sides
        self.own = nn.ModuleDict(
            {domain: nn.Sequential(nn.Conv2d(channels, first, 5), nn.MaxPool2d(2)) for domain in "ab"}
        )
        self.shared = nn.Sequential(
            nn.Conv2d(first, second, 5), nn.MaxPool2d(2), nn.Conv2d(second, third, 4), nn.PReLU()
        )
        self.real = nn.Sequential(nn.Conv2d(third, 1, 1), nn.Flatten())
        self.label = nn.Sequential(nn.Conv2d(third, classes, 1), nn.Flatten()) if classes else None

    def forward(self, image: Tensor, domain: str) -> Tensor:
        features: Tensor = self.shared(self.own[domain](image))
        return features


class CoGan(System):
    """generator: z → (image of A, image of B); critic: image of a domain → real or not, and in adaptation its class."""

    config = Config
    data = "adaptation"
    task = "noise to image"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if len(cfg.critic_channels) != 3 or cfg.size != SIDE:
            raise ConfigError(f"CoGAN takes size = {SIDE} and three critic_channels, not {cfg.size} and "
                              f"{cfg.critic_channels}")  # fmt: skip
        self.generator = CoupledGenerator(cfg.latent, cfg.channels, cfg.width)
        self.critic = CoupledCritic(cfg.channels, cfg.critic_channels, cfg.classes if cfg.lambda_class else 0)
        self.game = adversarial(cfg.gan)
        for network in (self.generator, self.critic):
            init_xavier(network, GAIN)
            for name, parameter in network.named_parameters():
                if name.endswith("bias"):
                    nn.init.constant_(parameter, 0.1)
        if cfg.alike:
            start_alike(self.generator.own, self.critic.own)

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", (self.generator,), self.g_losses)]

    def d_losses(self, batch: Adaptation, _: Clock) -> Losses:
        cfg, critic = self.cfg, self.critic
        with torch.no_grad():
            pair = self.generator(uniform_noise(batch.source, cfg.latent))
        # The features of a pair are compared, so both are moved alike.
        fakes = [critic(fake, domain) for fake, domain in zip(self.augment.pair(*pair), "ab", strict=True)]
        reals = [critic(self.augment(real), domain) for real, domain in ((batch.source, "a"), (batch.target, "b"))]
        losses = {
            f"gan_{domain}": cfg.lambda_gan * self.game.d(critic.real(real), critic.real(fake))
            for domain, real, fake in zip("ab", reals, fakes, strict=True)
        }
        if critic.label is not None:
            losses["class"] = cfg.lambda_class * F.cross_entropy(critic.label(reals[0]), batch.label)
        if cfg.lambda_feature:  # a pair means the same: its features should agree
            losses["feature"] = cfg.lambda_feature * (fakes[0] - fakes[1]).square().sum(dim=(1, 2, 3)).mean()
        return losses

    def g_losses(self, batch: Adaptation, _: Clock) -> Losses:
        pair = self.generator(uniform_noise(batch.source, self.cfg.latent))
        return {
            f"gan_{domain}": self.cfg.lambda_gan
            * self.game.g(self.critic.real(self.critic(self.augment(fake), domain)))
            for fake, domain in zip(pair, "ab", strict=True)
        }

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return Adam(network.parameters(), cfg.lr, (cfg.beta1, 0.999), weight_decay=cfg.weight_decay)

    def deployables(self) -> dict[str, Deployable]:
        cfg, critic = self.cfg, self.critic
        decisions = (("batch norm", "running statistics"),)
        pair = Deployable(
            self.generator, channels_in=0, controls=(uniform_control(cfg.latent),), returns=("image", "image"),
            decisions=decisions,
        )  # fmt: skip
        if critic.label is None:
            return {"pair": pair}
        path = nn.Sequential(critic.own["b"], critic.shared, critic.label)
        names = tuple(str(k) for k in range(cfg.classes))
        classifier = Deployable(path, cfg.channels, returns=("classes",), names=names, fixed_size=(SIDE, SIDE))
        return {"pair": pair, "classifier": classifier}

    @torch.no_grad()
    def samples(self, batch: Adaptation) -> dict[str, Tensor]:
        made_a, made_b = self.generator(uniform_noise(batch.source, self.cfg.latent))
        return {"a": batch.source, "made a": made_a, "made b": made_b, "b": batch.target}
