"""NICE-GAN: unpaired translation without encoders of its own; the critics' first stages serve as encoders.

Paper: Chen et al., "Reusing Discriminators for Encoding: Towards Unsupervised Image-to-Image Translation", CVPR 2020.
Differs from the paper: nothing with the defaults, which are its light form; `light = false` is the full one, whose
γ and β depend on every position and so tie it to one `size`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.adalin import CAPTURE, AdaLinBlock, AffineFromMap, LayerInstanceNorm, SoftmaxMix, code_positions
from models.blocks.cam import ResidualCam
from models.blocks.spectral import spectral_conv
from models.data.batches import TwoImages
from models.losses.adversarial import adversarial
from models.schedules import linear_decay
from models.system import Clock, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """Paper settings of the light form."""

    size: int = 256
    channels: int = 3
    width: int = 64
    critic_width: int = 64
    blocks: int = 6
    light: bool = True
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_cycle: float = 10.0
    lambda_reconstruction: float = 10.0
    lr: float = 1e-4
    beta1: float = 0.5
    weight_decay: float = 1e-4
    constant: float = 0.5  # share of training before the learning rate decays


class NiceEncoder(nn.Module):
    """The part of a critic that ships: (N, channels, H, W) → code (N, 2·width, H/4, W/4)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*spectral_conv(channels, width, 2), *spectral_conv(width, 2 * width, 2))
        self.cam = ResidualCam(2 * width)

    def forward(self, image: Tensor) -> Tensor:
        code: Tensor = self.cam(self.stem(image))
        return code


class NiceCritic(nn.Module):
    """(N, channels, H, W) → logits: a map of 70-px patches, a map of 286-px patches, (N, 1) of the attention."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.encoder = NiceEncoder(channels, width)
        self.shared = nn.Sequential(*spectral_conv(2 * width, 4 * width, 2))
        self.local = nn.Sequential(
            *spectral_conv(4 * width, 8 * width, 1), *spectral_conv(8 * width, 1, 1, bias=False, act=False)
        )  # fmt: skip
        self.wide = nn.Sequential(
            *spectral_conv(4 * width, 8 * width, 2), *spectral_conv(8 * width, 16 * width, 2),
            *spectral_conv(16 * width, 32 * width, 1), *spectral_conv(32 * width, 1, 1, bias=False, act=False),
        )  # fmt: skip

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.encoder.stem(image)
        trunk = self.shared(self.encoder.cam(features))
        return self.local(trunk), self.wide(trunk), self.encoder.cam.logits(features)


class NiceGenerator(nn.Module):
    """code (N, channels_in, H, W) → image (N, channels, 4H, 4W) in [-1, 1]; `map_size` = H·W in the full form."""

    def __init__(self, channels_in: int, channels: int, width: int, blocks: int, map_size: int = 0) -> None:
        super().__init__()
        inner = 4 * width
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels_in, inner, 3), _layer_instance_norm(inner), nn.ReLU()
        )
        self.affine = AffineFromMap(inner, map_size)
        self.blocks = nn.ModuleList(
            AdaLinBlock(inner, lambda: SoftmaxMix(inner, instance=3.2, layer=1.0)) for _ in range(blocks)
        )
        self.head = nn.Sequential(
            *_up(inner), *_up(inner // 2), nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7, bias=False), nn.Tanh()
        )

    def forward(self, code: Tensor) -> Tensor:
        x = self.stem(code)
        gamma, beta = self.affine(x)
        for block in self.blocks:
            x = block(x, gamma, beta)
        image: Tensor = self.head(x)
        return image


def _layer_instance_norm(channels: int) -> nn.Module:
    return LayerInstanceNorm(SoftmaxMix(channels, instance=1.0, layer=3.2), channels)


def _up(inner: int) -> list[nn.Module]:
    outer = inner // 2
    return [
        nn.ReflectionPad2d(1), nn.Conv2d(inner, outer, 3, bias=False), _layer_instance_norm(outer), nn.ReLU(),
        nn.Conv2d(outer, 4 * outer, 1), nn.PixelShuffle(2), _layer_instance_norm(outer), nn.ReLU(),
    ]  # fmt: skip


class NiceGan(System):
    """critic_a and critic_b judge their domains and encode their images; generator_b: code → B."""

    config = Config
    data = "unpaired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        map_size = code_positions(cfg.size, cfg.light, "NICE-GAN")
        self.critic_a, self.critic_b = (NiceCritic(cfg.channels, cfg.critic_width) for _ in range(2))
        self.generator_a, self.generator_b = (
            NiceGenerator(2 * cfg.critic_width, cfg.channels, cfg.width, cfg.blocks, map_size) for _ in range(2)
        )
        self.game = adversarial(cfg.gan)

    def phases(self) -> list[Phase]:
        # Decoupled: the encoders learn with the critics only; the generators' gradients pass through them.
        return [
            Phase("D", (self.critic_a, self.critic_b), self.d_losses),
            Phase("G", (self.generator_a, self.generator_b), self.g_losses),
        ]

    def d_losses(self, batch: TwoImages, _: Clock) -> Losses:
        with torch.no_grad():
            fake_a = self.generator_a(self.critic_b.encoder(batch.b))
            fake_b = self.generator_b(self.critic_a.encoder(batch.a))
        return {
            "gan_a": self.d_loss(self.critic_a(self.augment(batch.a)), self.critic_a(self.augment(fake_a))),
            "gan_b": self.d_loss(self.critic_b(self.augment(batch.b)), self.critic_b(self.augment(fake_b))),
        }

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg = self.cfg
        code_a, code_b = self.critic_a.encoder(batch.a), self.critic_b.encoder(batch.b)
        fake_a, fake_b = self.generator_a(code_b), self.generator_b(code_a)
        cycle_a = self.generator_a(self.critic_b.encoder(fake_b))
        cycle_b = self.generator_b(self.critic_a.encoder(fake_a))
        return {
            "gan_a": self.g_loss(self.critic_a(self.augment(fake_a))),
            "gan_b": self.g_loss(self.critic_b(self.augment(fake_b))),
            "cycle_a": cfg.lambda_cycle * F.l1_loss(cycle_a, batch.a),
            "cycle_b": cfg.lambda_cycle * F.l1_loss(cycle_b, batch.b),
            "reconstruction_a": cfg.lambda_reconstruction * F.l1_loss(self.generator_a(code_a), batch.a),
            "reconstruction_b": cfg.lambda_reconstruction * F.l1_loss(self.generator_b(code_b), batch.b),
        }

    def d_loss(self, real: tuple[Tensor, ...], fake: tuple[Tensor, ...]) -> Tensor:
        """Summed over local, global and attention logits; not halved."""
        return self.weighted([self.game.d(r, f) for r, f in zip(real, fake, strict=True)])

    def g_loss(self, fake: tuple[Tensor, ...]) -> Tensor:
        """The other side of `d_loss`."""
        return self.weighted([self.game.g(f) for f in fake])

    def weighted(self, games: list[Tensor]) -> Tensor:
        return torch.stack(games).sum() * float(self.cfg.lambda_gan)

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return Adam(network.parameters(), cfg.lr, (cfg.beta1, 0.999), weight_decay=cfg.weight_decay)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        fixed = None if self.cfg.light else (self.cfg.size, self.cfg.size)
        paths = {"ab": (self.critic_a.encoder, self.generator_b), "ba": (self.critic_b.encoder, self.generator_a)}
        return {
            name: Deployable(nn.Sequential(*path), self.cfg.channels, multiple=CAPTURE, fixed_size=fixed)
            for name, path in paths.items()
        }

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        encode_a, encode_b = self.critic_a.encoder, self.critic_b.encoder
        fake_b, fake_a = self.generator_b(encode_a(batch.a)), self.generator_a(encode_b(batch.b))
        return {
            "a": batch.a, "a → b": fake_b, "a → b → a": self.generator_a(encode_b(fake_b)),
            "b": batch.b, "b → a": fake_a, "b → a → b": self.generator_b(encode_a(fake_a)),
        }  # fmt: skip
