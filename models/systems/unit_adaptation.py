"""UNIT's domain adaptation of digits: the critic that tells real from translated digits also reads them.

Paper: Liu et al., "Unsupervised Image-to-Image Translation Networks", NIPS 2017.
Differs from the paper: the critic has one logit instead of the two of a softmax, whose difference it is; both domains
have the same number of channels; SVHN → MNIST does not invert MNIST at random. Only that experiment's settings are
published; MNIST ↔ USPS takes the same. The terms that the paper sums are summed over images of 1024 pixels and over
the batch, so their weights suit batches of 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_normal, init_xavier, start_alike
from models.data.batches import Adaptation
from models.errors import ConfigError
from models.losses.adversarial import adversarial, g_over_scales
from models.losses.divergence import kl_to_normal, sampled
from models.system import Clock, Deployable, Losses, Phase, System

SIDE = 32  # px, which the kernels lead to
SLOPE = 0.01
DROPOUT = (0.1, 0.3, 0.5, 0.5)  # behind each of the critic's convolutions


@dataclass(frozen=True)
class Config:
    """Paper settings for digits."""

    size: int = SIDE
    load_size: int = SIDE
    flip: bool = False  # a mirrored digit is another
    channels: int = 1
    domains: tuple[str, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")  # the classes
    width: int = 96
    critic_width: int = 64
    gan: str = "vanilla"
    lambda_gan: float = 1.0
    lambda_class: float = 10.0
    lambda_feature: float = 1e-4
    lambda_image: float = 1e-3
    lambda_kl: float = 1e-4
    alike: bool = False  # the domains' own layers begin with the same weights, for short trainings of kindred domains
    lr: float = 2e-4
    beta1: float = 0.5
    weight_decay: float = 5e-4


class Located(nn.Module):
    """(N, C, 32, 32) → (N, C + 2, 32, 32): two more channels say where a pixel is, in [-1, 1]."""

    where: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.linspace(-1, 1, SIDE)
        self.register_buffer("where", torch.stack(torch.meshgrid(line, line, indexing="xy"))[None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([image, self.where.expand(len(image), -1, -1, -1)], dim=1)


class CoupledVae(nn.Module):
    """Image of a domain → Gaussian code (N, 8·width, 1, 1) → that digit in both domains, (N, channels, 32, 32).

    The first convolution and the last two are a domain's own.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.own_encode = nn.ModuleDict(
            {d: nn.Sequential(Located(), *_down(channels + 2, width, 5, 2, 2)) for d in "ab"}
        )
        self.encode = nn.Sequential(
            *_down(width, 2 * width, 5, 2, 2), *_down(2 * width, 4 * width, 8), *_down(4 * width, 8 * width, 1)
        )
        self.mean = nn.Conv2d(8 * width, 8 * width, 1)
        self.deviation = nn.Sequential(nn.Conv2d(8 * width, 8 * width, 1), nn.Softplus())
        self.decode = nn.Sequential(
            *_up(8 * width, 8 * width, 0), *_up(8 * width, 4 * width, 1), *_up(4 * width, 2 * width, 1)
        )
        self.own_decode = nn.ModuleDict(
            {d: nn.Sequential(*_up(2 * width, width, 1), nn.Conv2d(width, channels, 1), nn.Tanh()) for d in "ab"}
        )

    def code(self, image: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the code."""
        features = self.encode(self.own_encode[domain](image))
        return self.mean(features), 2 * (self.deviation(features) + 1e-6).log()

    def images(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """The digit of a code in both domains."""
        shared = self.decode(code)
        return self.own_decode["a"](shared), self.own_decode["b"](shared)

    def way(self, source: str, target: str) -> nn.Sequential:
        """What ships: exactly one path, by the code's mean."""
        return nn.Sequential(self.own_encode[source], self.encode, self.mean, self.decode, self.own_decode[target])


class ReadingCritic(nn.Module):
    """image (N, channels, 32, 32) of a domain → features (N, 8·width, 2, 2); heads give logits of reality and class."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.own = nn.ModuleDict({d: nn.Sequential(*_halved(channels, width, DROPOUT[0])) for d in "ab"})
        layers: list[nn.Module] = []
        for pair, dropout in zip(pairwise(widths), DROPOUT[1:], strict=True):
            layers += _halved(*pair, dropout)
        self.shared = nn.Sequential(*layers)
        self.real = nn.Sequential(nn.Conv2d(8 * width, 1, 2), nn.Flatten())
        self.label = nn.Sequential(nn.Conv2d(8 * width, classes, 2), nn.Flatten())

    def forward(self, image: Tensor, domain: str) -> Tensor:
        features: Tensor = self.shared(self.own[domain](image))
        return features


def _down(inner: int, outer: int, kernel: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    return [nn.Conv2d(inner, outer, kernel, stride, padding), nn.BatchNorm2d(outer), nn.LeakyReLU(SLOPE)]


def _up(inner: int, outer: int, padding: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inner, outer, 4, 2, padding), nn.BatchNorm2d(outer), nn.LeakyReLU(SLOPE)]


def _halved(inner: int, outer: int, dropout: float) -> list[nn.Module]:
    return [nn.Conv2d(inner, outer, 5, padding=2), nn.LeakyReLU(SLOPE), nn.MaxPool2d(2), nn.Dropout(dropout)]


class UnitAdaptation(System):
    """vae: image of a domain → code → image of both; critic: image of a domain → real or not, and its class."""

    config = Config
    data = "adaptation"
    task = "image to class"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.size != SIDE or len(cfg.domains) < 2:
            raise ConfigError(f"UNIT's adaptation takes size = {SIDE} and two classes or more in domains, not "
                              f"{cfg.size} and {len(cfg.domains)} classes")  # fmt: skip
        self.vae = CoupledVae(cfg.channels, cfg.width)
        self.critic = ReadingCritic(cfg.channels, cfg.critic_width, len(cfg.domains))
        self.game = adversarial(cfg.gan)
        init_normal(self.vae)
        init_xavier(self.critic, 2**0.5)
        if cfg.alike:
            start_alike(self.vae.own_encode, self.vae.own_decode, self.critic.own)

    def refusal(self, batch: int) -> str:
        return "batch norm of a code of one pixel needs two images or more" if batch < 2 else ""

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", (self.vae,), self.g_losses)]

    def d_losses(self, batch: Adaptation, _: Clock) -> Losses:
        cfg, critic = self.cfg, self.critic
        with torch.no_grad():
            (aa, ab), (ba, bb) = (self.decoded(image, d)[0] for image, d in ((batch.source, "a"), (batch.target, "b")))
        features = {}
        for name, image in (("a", batch.source), ("b", batch.target), ("aa", aa), ("ab", ab), ("ba", ba), ("bb", bb)):
            features[name] = critic(self.augment(image), name[-1])
        # What an image becomes in the other domain means what it meant.
        apart = (features["ab"] - features["aa"]).square().sum() + (features["ba"] - features["bb"]).square().sum()
        return {
            "gan_a": cfg.lambda_gan * self.game.d(critic.real(features["a"]), critic.real(features["ba"])),
            "gan_b": cfg.lambda_gan * self.game.d(critic.real(features["b"]), critic.real(features["ab"])),
            "class": cfg.lambda_class * F.cross_entropy(critic.label(features["a"]), batch.label),
            "feature": cfg.lambda_feature * apart,
        }

    def g_losses(self, batch: Adaptation, _: Clock) -> Losses:
        cfg, losses = self.cfg, {}
        for image, domain in ((batch.source, "a"), (batch.target, "b")):
            made, (mean, log_variance) = self.decoded(image, domain)
            logits = [self.critic.real(self.critic(self.augment(x), d)) for x, d in zip(made, "ab", strict=True)]
            losses[f"gan_{domain}"] = cfg.lambda_gan * g_over_scales(self.game, logits)
            own = made["ab".index(domain)]
            losses[f"image_{domain}"] = cfg.lambda_image * F.mse_loss(own, image, reduction="sum")
            losses[f"kl_{domain}"] = cfg.lambda_kl * kl_to_normal(mean, log_variance)
        return losses

    def decoded(self, image: Tensor, domain: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The image in both domains, by a code drawn from its posterior; and the posterior."""
        posterior = self.vae.code(image, domain)
        return self.vae.images(sampled(*posterior)), posterior

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return Adam(network.parameters(), cfg.lr, (cfg.beta1, 0.999), weight_decay=cfg.weight_decay)

    def deployables(self) -> dict[str, Deployable]:
        cfg, critic, size = self.cfg, self.critic, (SIDE, SIDE)
        reader = nn.Sequential(critic.own["b"], critic.shared, critic.label)
        decisions = (("batch norm", "running statistics"),)
        return {
            "classifier": Deployable(
                reader, cfg.channels, returns=("classes",), names=cfg.domains, fixed_size=size,
                decisions=(("dropout", "off"),),
            ),
            "ab": Deployable(self.vae.way("a", "b"), cfg.channels, fixed_size=size, decisions=decisions),
            "ba": Deployable(self.vae.way("b", "a"), cfg.channels, fixed_size=size, decisions=decisions),
        }  # fmt: skip

    @torch.no_grad()
    def samples(self, batch: Adaptation) -> dict[str, Tensor]:
        to_b, to_a = self.vae.way("a", "b"), self.vae.way("b", "a")
        return {
            "a": batch.source, "a → b": to_b(batch.source), "b": batch.target, "b → a": to_a(batch.target),
        }  # fmt: skip
