"""BicycleGAN: paired translation with many answers; z says which, and nothing but z may.

Paper: Zhu et al., "Toward Multimodal Image-to-Image Translation", NIPS 2017.
Differs from the paper: the critics judge the image alone, and the weights are those of the authors' code, whose KL is
summed. `lambda_gan2 = lambda_z = 0` is the paper's cVAE-GAN, `lambda_gan = lambda_l1 = lambda_kl = 0` its cLR-GAN (two
recipes); the latter's encoder learns by the latent regression, as the paper says and the code does not. The encoder
ends in a global average, which at 256×256 is the code's 8×8 one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.image_pool import ImagePool
from models.blocks.init import init_xavier
from models.blocks.norm import norm
from models.data.batches import Pair
from models.errors import ConfigError
from models.losses.adversarial import adversarial, d_over_scales, g_over_scales
from models.losses.divergence import kl_to_normal, sampled
from models.networks.multiscale_critic import MultiscaleCritic
from models.networks.unet import unet_generator
from models.schedules import linear_decay
from models.system import Clock, Control, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """Settings of the authors' code."""

    channels: int = 3
    width: int = 64
    levels: int = 8  # of the U-Net; images are multiples of 2^levels
    latent: int = 8
    dropout: float = 0.0  # edges2shoes: 0.5
    encoder_width: int = 64
    encoder_blocks: int = 4
    critic_width: int = 64
    critic_field: int = 70
    gan: str = "lsgan"
    lambda_gan: float = 1.0  # cVAE: the translation with the z of the target
    lambda_l1: float = 10.0
    lambda_kl: float = 0.01  # of a sum over batch and dimensions
    lambda_gan2: float = 1.0  # cLR: the translation with a random z
    lambda_z: float = 0.5
    lr: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5


class BicycleGan(System):
    """generator: (source, z) → target; encoder: target → z; critic and critic_2 judge one path each."""

    config = Config
    data = "paired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.vae_path = bool(cfg.lambda_gan or cfg.lambda_l1 or cfg.lambda_kl)
        self.regression_path = bool(cfg.lambda_gan2 or cfg.lambda_z)
        if not (self.vae_path or self.regression_path):
            raise ConfigError("all of lambda_gan, lambda_l1, lambda_kl, lambda_gan2, lambda_z are 0: nothing to learn")
        self.generator = unet_generator(
            cfg.channels, cfg.channels, cfg.width, cfg.levels, "instance", cfg.dropout, cfg.latent
        )
        self.encoder = LatentEncoder(cfg)
        critics = [MultiscaleCritic(cfg.channels, cfg.critic_width, cfg.critic_field) for _ in range(2)]
        self.critic = critics[0] if cfg.lambda_gan else None
        self.critic_2 = critics[1] if cfg.lambda_gan2 else None
        self.fakes, self.fakes_2 = ImagePool(0), ImagePool(0)  # the critics judge the very fakes of the turn before
        self.game = adversarial(cfg.gan)
        for network in self.children():
            init_xavier(network)

    def refusal(self, batch: int) -> str:
        return "it is split in halves: take an even number" if batch % 2 else ""

    def phases(self) -> list[Phase]:
        moved = (self.generator, self.encoder) if self.vae_path or self.cfg.lambda_z else (self.generator,)
        phases = [Phase("G", moved, self.g_losses)]
        if self.critic is not None:
            phases += [Phase("D", (self.critic,), self.d_losses)]
        if self.critic_2 is not None:
            phases += [Phase("D2", (self.critic_2,), self.d2_losses)]
        return phases

    def g_losses(self, batch: Pair, _: Clock) -> Losses:
        source, target = half(batch.source, 0), half(batch.target, 0)
        losses: Losses = {}
        if self.vae_path:
            losses |= self.vae_losses(source, target)
        if self.regression_path:
            losses |= self.regression_losses(source)
        return losses

    def vae_losses(self, source: Tensor, target: Tensor) -> Losses:
        """target → z → target."""
        cfg = self.cfg
        mean, log_variance = self.encoder(target)
        fake = self.generator(source, sampled(mean, log_variance))
        self.fakes.push(fake)
        losses = {
            "l1": cfg.lambda_l1 * F.l1_loss(fake, target),
            "kl": cfg.lambda_kl * kl_to_normal(mean, log_variance),
        }
        if self.critic is not None:
            losses["gan"] = cfg.lambda_gan * g_over_scales(self.game, self.critic(self.augment(fake)))
        return losses

    def regression_losses(self, source: Tensor) -> Losses:
        """z → target → z."""
        cfg = self.cfg
        z = torch.randn(len(source), cfg.latent, device=source.device)
        fake = self.generator(source, z)
        self.fakes_2.push(fake)
        losses: Losses = {}
        if cfg.lambda_z:
            losses["z"] = cfg.lambda_z * F.l1_loss(self.read_latent(fake), z)
        if self.critic_2 is not None:
            losses["gan2"] = cfg.lambda_gan2 * g_over_scales(self.game, self.critic_2(self.augment(fake)))
        return losses

    def read_latent(self, fake: Tensor) -> Tensor:
        """The mean z of a translation. The encoder stands still, or it would hide z where only it finds it."""
        weights = {
            name: weight.detach() if self.vae_path else weight for name, weight in self.encoder.named_parameters()
        }
        mean: Tensor = functional_call(self.encoder, weights, (fake,))[0]
        return mean

    def d_losses(self, batch: Pair, _: Clock) -> Losses:
        assert self.critic is not None
        return {"gan": self.judged(self.critic, half(batch.target, 0), self.fakes)}

    def d2_losses(self, batch: Pair, _: Clock) -> Losses:
        assert self.critic_2 is not None
        return {"gan": self.judged(self.critic_2, half(batch.target, 1), self.fakes_2)}

    def judged(self, critic: nn.Module, real: Tensor, fakes: ImagePool) -> Tensor:
        """Real against fake at all scales, not halved."""
        return d_over_scales(self.game, critic(self.augment(real)), critic(self.augment(fakes.draw())))

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        cfg = self.cfg
        z = Control("z", "noise", (1, cfg.latent), distribution="normal", companion="encoder")
        decisions = (("dropout", "off"),)
        return {
            "generator": Deployable(self.generator, cfg.channels, (z,), multiple=1 << cfg.levels, decisions=decisions),
            "encoder": Deployable(MeanLatent(self.encoder), cfg.channels, returns=("style",)),
        }

    @torch.no_grad()
    def samples(self, batch: Pair) -> dict[str, Tensor]:
        latents = torch.randn(3, self.cfg.latent, device=batch.source.device)  # the same three for every image
        rows = {"source": batch.source, "target": batch.target}
        rows["z of the target"] = self.generator(batch.source, self.encoder(batch.target)[0])
        for k, z in enumerate(latents, 1):
            rows[f"z {k}"] = self.generator(batch.source, z.expand(len(batch), -1))
        return rows


def half(images: Tensor, which: int) -> Tensor:
    """The first (0) or second (1) half of a batch: the two critics see different real images."""
    return images.chunk(2)[which]


class EncoderBlock(nn.Module):
    """Pre-activation block that halves the map by averaging. (N, inner, H, W) → (N, outer, H/2, W/2)."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            norm("instance", inner), nn.LeakyReLU(0.2), nn.Conv2d(inner, inner, 3, padding=1),
            norm("instance", inner), nn.LeakyReLU(0.2), nn.Conv2d(inner, outer, 3, padding=1), nn.AvgPool2d(2),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inner, outer, 1))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.residual(x) + self.shortcut(x)
        return total


class LatentEncoder(nn.Module):
    """(N, channels, H, W) → mean and log-variance of z, each (N, latent); H and W at least 2^(blocks + 1)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        widths = [cfg.encoder_width * min(4, depth + 1) for depth in range(cfg.encoder_blocks + 1)]
        self.features = nn.Sequential(
            nn.Conv2d(cfg.channels, widths[0], 4, 2, 1),
            *(EncoderBlock(inner, outer) for inner, outer in pairwise(widths)),
            nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.mean, self.log_variance = (nn.Linear(widths[-1], cfg.latent) for _ in range(2))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(image)
        return self.mean(features), self.log_variance(features)


class MeanLatent(nn.Module):
    """What ships of an encoder: the mean, so that nothing is drawn."""

    def __init__(self, encoder: LatentEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        mean: Tensor = self.encoder(image)[0]
        return mean
