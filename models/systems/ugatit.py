"""U-GAT-IT: unpaired translation that attends to what tells the domains apart, with norms between instance and layer.

Paper: Kim et al., "U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive Layer-Instance Normalization
for Image-to-Image Translation", ICLR 2020.
Differs from the paper: the defaults are the authors' light form; `light = false` is the paper's, whose γ and β depend
on every position and so tie it to one `size`. Convolutions in front of plain instance norms have biases, which the norm
cancels. The smoothing of AdaLIN in the authors' TensorFlow code is not here, as it is not in their PyTorch code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.adalin import CAPTURE, AdaLinBlock, AffineFromMap, LayerInstanceNorm, RhoMix, code_positions
from models.blocks.cam import Cam
from models.blocks.spectral import SLOPE, spectral_conv
from models.data.batches import TwoImages
from models.losses.adversarial import adversarial
from models.networks.resnet import ResidualBlock
from models.schedules import linear_decay
from models.system import Clock, Deployable, Losses, Phase, System

GLOBAL, LOCAL = 5, 3  # strided convolutions of the critics


@dataclass(frozen=True)
class Config:
    """Paper settings, in the light form."""

    size: int = 256
    channels: int = 3
    width: int = 64
    critic_width: int = 64
    blocks: int = 4  # plain ones in front of the attention, and as many with AdaLIN behind it
    light: bool = True
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_cycle: float = 10.0
    lambda_identity: float = 10.0
    lambda_cam: float = 1000.0
    lr: float = 1e-4
    beta1: float = 0.5
    weight_decay: float = 1e-4
    constant: float = 0.5  # share of training before the learning rate decays


class UgatitGenerator(nn.Module):
    """(N, channels, H, W) → same, in [-1, 1]; H and W multiples of 4; `map_size` = H·W/16 in the full form."""

    def __init__(self, channels: int, width: int, blocks: int, map_size: int = 0) -> None:
        super().__init__()
        inner = 4 * width
        self.encoder = nn.Sequential(
            *_conv(channels, width, 7), *_conv(width, 2 * width, 3, 2), *_conv(2 * width, inner, 3, 2),
            *(ResidualBlock(inner) for _ in range(blocks)),
        )  # fmt: skip
        self.cam = Cam(inner, nn.ReLU(), normalise=False)
        self.affine = AffineFromMap(inner, map_size)
        self.blocks = nn.ModuleList(AdaLinBlock(inner, lambda: RhoMix(inner, 0.9)) for _ in range(blocks))
        self.head = nn.Sequential(
            *_up(inner), *_up(inner // 2), nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7, bias=False), nn.Tanh()
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.decode(self.encoder(image))

    def decode(self, code: Tensor) -> Tensor:
        """From the encoder's map to the image."""
        x = self.cam(code)
        gamma, beta = self.affine(x)
        for block in self.blocks:
            x = block(x, gamma, beta)
        image: Tensor = self.head(x)
        return image

    def with_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The translation, and the (N, 2) logits for "this needs translating"."""
        code = self.encoder(image)
        return self.decode(code), self.cam.logits(code)

    def clip_rho(self) -> None:
        for module in self.modules():
            if isinstance(module, RhoMix):
                module.clip_()


def _conv(inner: int, outer: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    edge = nn.ReflectionPad2d(kernel // 2)
    return [edge, nn.Conv2d(inner, outer, kernel, stride, bias=False), nn.InstanceNorm2d(outer), nn.ReLU()]


def _up(inner: int) -> list[nn.Module]:
    outer = inner // 2
    return [
        nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(inner, outer, 3, bias=False),
        LayerInstanceNorm(RhoMix(outer, 0.0), outer), nn.ReLU(),
    ]  # fmt: skip


class UgatitCritic(nn.Module):
    """(N, channels, H, W) → logits: a map of patches, and (N, 2) of the attention."""

    def __init__(self, channels: int, width: int, strided: int) -> None:
        super().__init__()
        layers, outer = spectral_conv(channels, width, 2), width
        for k in range(1, strided + 1):
            layers += spectral_conv(outer, 2 * outer, 2 if k < strided else 1)
            outer *= 2
        self.encoder = nn.Sequential(*layers)
        self.cam = Cam(outer, nn.LeakyReLU(SLOPE), normalise=True)
        self.head = nn.Sequential(*spectral_conv(outer, 1, 1, bias=False, act=False))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(image)
        return self.head(self.cam(features)), self.cam.logits(features)


class Ugatit(System):
    """generator_ab: A → B, generator_ba: B → A; a global and a local critic judge each domain."""

    config = Config
    data = "unpaired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        map_size = code_positions(cfg.size, cfg.light, "U-GAT-IT")
        self.generator_ab, self.generator_ba = (
            UgatitGenerator(cfg.channels, cfg.width, cfg.blocks, map_size) for _ in range(2)
        )
        self.critics_a, self.critics_b = (
            nn.ModuleList(UgatitCritic(cfg.channels, cfg.critic_width, n) for n in (GLOBAL, LOCAL)) for _ in range(2)
        )
        self.game = adversarial(cfg.gan)

    def phases(self) -> list[Phase]:
        return [
            Phase("D", (self.critics_a, self.critics_b), self.d_losses),
            Phase("G", (self.generator_ab, self.generator_ba), self.g_losses, after=self.clip_rho),
        ]

    def clip_rho(self) -> None:
        self.generator_ab.clip_rho()
        self.generator_ba.clip_rho()

    def d_losses(self, batch: TwoImages, _: Clock) -> Losses:
        with torch.no_grad():
            fake_b, fake_a = self.generator_ab(batch.a), self.generator_ba(batch.b)
        return {"gan_a": self.d_loss(self.critics_a, batch.a, fake_a),
                "gan_b": self.d_loss(self.critics_b, batch.b, fake_b)}  # fmt: skip

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg = self.cfg
        fake_b, needs_a = self.generator_ab.with_logits(batch.a)
        fake_a, needs_b = self.generator_ba.with_logits(batch.b)
        same_a, idle_a = self.generator_ba.with_logits(batch.a)
        same_b, idle_b = self.generator_ab.with_logits(batch.b)
        return {
            "gan_a": self.g_loss(self.critics_a, fake_a),
            "gan_b": self.g_loss(self.critics_b, fake_b),
            "cycle_a": cfg.lambda_cycle * F.l1_loss(self.generator_ba(fake_b), batch.a),
            "cycle_b": cfg.lambda_cycle * F.l1_loss(self.generator_ab(fake_a), batch.b),
            "identity_a": cfg.lambda_identity * F.l1_loss(same_a, batch.a),
            "identity_b": cfg.lambda_identity * F.l1_loss(same_b, batch.b),
            "cam_ab": cfg.lambda_cam * cam_loss(needs_a, idle_b),
            "cam_ba": cfg.lambda_cam * cam_loss(needs_b, idle_a),
        }

    def d_loss(self, critics: nn.ModuleList, real: Tensor, fake: Tensor) -> Tensor:
        """Summed over both critics and both their outputs; not halved."""
        real, fake = self.augment(real), self.augment(fake)
        games = [self.game.d(r, f) for critic in critics for r, f in zip(critic(real), critic(fake), strict=True)]
        return torch.stack(games).sum() * float(self.cfg.lambda_gan)

    def g_loss(self, critics: nn.ModuleList, fake: Tensor) -> Tensor:
        """The other side of `d_loss`."""
        fake = self.augment(fake)
        games = [self.game.g(logits) for critic in critics for logits in critic(fake)]
        return torch.stack(games).sum() * float(self.cfg.lambda_gan)

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return Adam(network.parameters(), cfg.lr, (cfg.beta1, 0.999), weight_decay=cfg.weight_decay)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        fixed = None if self.cfg.light else (self.cfg.size, self.cfg.size)
        return {
            name: Deployable(generator, self.cfg.channels, multiple=CAPTURE, fixed_size=fixed)
            for name, generator in (("ab", self.generator_ab), ("ba", self.generator_ba))
        }

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        fake_b, fake_a = self.generator_ab(batch.a), self.generator_ba(batch.b)
        return {
            "a": batch.a, "a → b": fake_b, "a → b → a": self.generator_ba(fake_b),
            "b": batch.b, "b → a": fake_a, "b → a → b": self.generator_ab(fake_a),
        }  # fmt: skip


def cam_loss(source: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of a generator's attention: its source domain is 1, its target domain 0."""
    return F.softplus(-source).mean() + F.softplus(target).mean()
