"""UNIT: unpaired translation through a latent space that both domains share, because their coders share layers.

Paper: Liu et al., "Unsupervised Image-to-Image Translation Networks", NIPS 2017.
Differs from the paper: nothing known with the defaults; the KL term takes the posterior's mean, as the formula, where
the authors' code takes the noisy sample. `form = "2018"` (recipe unit_2018.toml) is the authors' later form, which
shares no layer: MUNIT's content encoders and decoders with least-squares critics at three scales. Its VGG term, which
few of the authors' settings have, takes the user's weights of VGG-16 with torchvision's numbering and input scaling.
Digit adaptation has networks of its own and is not here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.gaussian_noise import GaussianNoise
from models.blocks.init import init_kaiming, init_normal
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.adversarial import adversarial, d_over_scales, g_over_scales
from models.networks.content_style import PlainDecoder, content_encoder
from models.networks.pretrained import frozen_features
from models.networks.resnet import ResidualBlock
from models.networks.strided_critics import StridedCritics
from models.schedules import halving
from models.system import Clock, Deployable, Losses, Phase, System

CAPTURE = 4  # H and W of an image per H and W of its code
SLOPE = 0.01
FORMS = ("2017", "2018")


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    channels: int = 3
    width: int = 64
    blocks: int = 3  # of each domain's encoder and decoder; 2018: 4
    shared_blocks: int = 1  # of the encoders, and as many of the decoders
    critic_width: int = 64
    critic_shared: int = 4  # layers that the two critics share, behind two of their own
    form: str = "2017"
    gan: str = "vanilla"  # 2018: "lsgan"
    lambda_gan: float = 10.0  # 2018: 1
    lambda_image: float = 100.0  # 2018: 10
    lambda_kl: float = 0.1  # 2018: 0.01
    lambda_cycle: float = 100.0  # 2018: 10
    lambda_cycle_kl: float = 0.1  # 2018: 0.01
    lambda_vgg: float = 0.0  # that a translation has its image's features of VGG-16; 2018: 1 in some settings
    vgg_weights: str = ""  # file of their weights
    lr: float = 1e-4
    beta1: float = 0.5
    weight_decay: float = 1e-4
    halve_kimg: float = 0.0  # the learning rate is halved after each; 0 = never; 2018: 100


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [ResidualBlock(width, zero_edge=True) for _ in range(count)]


def own_encoder(channels: int, width: int, blocks: int) -> nn.Sequential:
    """A domain's part of the encoder: (N, channels, H, W) → (N, 4·width, H/4, W/4)."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 7, padding=3), nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, 2 * width, 3, 2, 1), nn.LeakyReLU(SLOPE),
        nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.LeakyReLU(SLOPE), *_blocks(4 * width, blocks),
    )  # fmt: skip


def own_decoder(channels: int, width: int, blocks: int) -> nn.Sequential:
    """A domain's part of the decoder: (N, 4·width, h, w) → (N, channels, 4h, 4w) in [-1, 1]."""
    return nn.Sequential(
        *_blocks(4 * width, blocks),
        nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, 1), nn.LeakyReLU(SLOPE),
        nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1), nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, channels, 1), nn.Tanh(),
    )  # fmt: skip


class Coders(nn.Module):
    """Encoders and decoders of both domains with the layers between them, which belong to both."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        channels, width, blocks = cfg.channels, cfg.width, cfg.blocks
        if cfg.form == "2018":
            self.encode = nn.ModuleDict({d: content_encoder(channels, width, 2, blocks) for d in "ab"})
            self.decode = nn.ModuleDict({d: PlainDecoder(channels, width, 2, blocks) for d in "ab"})
            self.shared_encode, self.shared_decode = nn.Sequential(), nn.Sequential()
        else:
            self.encode = nn.ModuleDict({d: own_encoder(channels, width, blocks) for d in "ab"})
            self.decode = nn.ModuleDict({d: own_decoder(channels, width, blocks) for d in "ab"})
            self.shared_encode, self.shared_decode = (
                nn.Sequential(*_blocks(4 * width, cfg.shared_blocks)) for _ in range(2)
            )
        self.noise = GaussianNoise()  # the posterior's deviation is one

    def mean(self, image: Tensor, domain: str) -> Tensor:
        """The mean of the latent code."""
        code: Tensor = self.shared_encode(self.encode[domain](image))
        return code

    def image(self, mean: Tensor, domain: str) -> Tensor:
        """The image of a code drawn around `mean`; in eval mode, of the mean itself."""
        decoded: Tensor = self.decode[domain](self.shared_decode(self.noise(mean)))
        return decoded

    def way(self, source: str, target: str) -> nn.Sequential:
        """What ships: exactly one path."""
        return nn.Sequential(self.encode[source], self.shared_encode, self.shared_decode, self.decode[target])


class Critics(nn.Module):
    """(image, domain) → maps of logits; the first two layers are a domain's own, the others are shared."""

    def __init__(self, channels: int, width: int, shared: int) -> None:
        super().__init__()
        self.own = nn.ModuleDict(
            {d: nn.Sequential(*_halved(channels, width, 7), *_halved(width, 2 * width, 3)) for d in "ab"}
        )
        layers: list[nn.Module] = []
        for k in range(1, shared + 1):
            layers += _halved(width << k, width << (k + 1), 3)
        self.shared = nn.Sequential(*layers, nn.Conv2d(width << (shared + 1), 1, 1))

    def forward(self, image: Tensor, domain: str) -> list[Tensor]:
        return [self.shared(self.own[domain](image))]


def _halved(inner: int, outer: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inner, outer, kernel, 2, kernel // 2), nn.LeakyReLU(SLOPE)]


class PlainCritics(nn.Module):
    """The same of the 2018 form: critics of their own, each at three scales."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.own = nn.ModuleDict({domain: StridedCritics(channels, width) for domain in "ab"})

    def forward(self, image: Tensor, domain: str) -> list[Tensor]:
        maps: list[Tensor] = self.own[domain](image)
        return maps


class Unit(System):
    """coders: image of a domain ↔ shared code; critics judge both domains."""

    config = Config
    data = "unpaired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.form not in FORMS:
            raise ConfigError(f"there is no form {cfg.form!r} of UNIT; there are {', '.join(FORMS)}")
        self.coders = Coders(cfg)
        self.critics: nn.Module = (
            PlainCritics(cfg.channels, cfg.critic_width) if cfg.form == "2018"
            else Critics(cfg.channels, cfg.critic_width, cfg.critic_shared)
        )  # fmt: skip
        self.vgg: nn.Module | None = None
        self.game = adversarial(cfg.gan)
        init_kaiming(self.coders) if cfg.form == "2018" else init_normal(self.coders)
        init_normal(self.critics)

    def prepare(self, batch: TwoImages) -> None:
        if self.cfg.lambda_vgg:
            self.vgg = frozen_features("vgg16_53", self.cfg.vgg_weights, "vgg")

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critics,), self.d_losses), Phase("G", (self.coders,), self.g_losses)]

    def d_losses(self, batch: TwoImages, _: Clock) -> Losses:
        losses = {}
        for source, target, image, real in (("a", "b", batch.a, batch.b), ("b", "a", batch.b, batch.a)):
            with torch.no_grad():
                fake = self.coders.image(self.coders.mean(image, source), target)
            judged = (self.critics(self.augment(each), target) for each in (real, fake))
            losses[f"gan_{target}"] = self.cfg.lambda_gan * d_over_scales(self.game, *judged)
        return losses

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        return self.one_way(batch.a, "a", "b") | self.one_way(batch.b, "b", "a")

    def one_way(self, image: Tensor, source: str, target: str) -> Losses:
        """All losses of what begins with an image of `source`."""
        cfg, coders = self.cfg, self.coders
        mean = coders.mean(image, source)
        same, fake = coders.image(mean, source), coders.image(mean, target)
        mean_again = coders.mean(fake, target)
        losses = {
            "gan": cfg.lambda_gan * g_over_scales(self.game, self.critics(self.augment(fake), target)),
            "image": cfg.lambda_image * F.l1_loss(same, image),
            # KL of N(mean, 1) from N(0, 1) is half of this; the authors' weights go with the whole.
            "kl": cfg.lambda_kl * mean.square().mean(),
            "cycle": cfg.lambda_cycle * F.l1_loss(coders.image(mean_again, source), image),
            "cycle_kl": cfg.lambda_cycle_kl * mean_again.square().mean(),
        }
        if self.vgg is not None:
            # Instance norm takes the colours and contrasts of a domain away.
            made, given = (F.instance_norm(self.vgg(each)) for each in (fake, image))
            losses["vgg"] = cfg.lambda_vgg * F.mse_loss(made, given)
        return {f"{name}_{source}{target}": loss for name, loss in losses.items()}

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return Adam(network.parameters(), cfg.lr, (cfg.beta1, 0.999), weight_decay=cfg.weight_decay)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return halving(clock, self.cfg.halve_kimg) if self.cfg.halve_kimg else 1.0

    def deployables(self) -> dict[str, Deployable]:
        return {
            source + target: Deployable(self.coders.way(source, target), self.cfg.channels, multiple=CAPTURE)
            for source, target in ("ab", "ba")
        }

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        coders = self.coders
        code_a, code_b = coders.mean(batch.a, "a"), coders.mean(batch.b, "b")
        return {
            "a": batch.a, "a → a": coders.image(code_a, "a"), "a → b": coders.image(code_a, "b"),
            "b": batch.b, "b → b": coders.image(code_b, "b"), "b → a": coders.image(code_b, "a"),
        }  # fmt: skip
