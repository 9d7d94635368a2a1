"""SRGAN: four times larger images whose detail looks right; a residual network trained on pixels, then on perception.

Paper: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017.
Differs from the paper: the small image is given in [-1, 1], as everywhere here; both stages are one run, so that Adam's
moments of the first go on in the second, and the critic starts with it. VGG weights are the user's file with
torchvision's numbering and input scaling. `content = "squeeze"` compares the last features of SqueezeNet 1.1 instead,
for want of VGG weights; `"mse"` is the paper's SRGAN-MSE and needs no file.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.data.batches import Pair
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.networks.pretrained import FEATURES, frozen_features
from models.system import Clock, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    size: int = 96  # of the large crops
    load_size: int = 0
    scale: int = 4  # a power of two
    channels: int = 3
    width: int = 64
    blocks: int = 16
    critic_width: int = 64
    critic_hidden: int = 1024
    content: str = "vgg54"  # "vgg22", "squeeze", "mse"
    content_weights: str = ""  # file of the feature network's weights
    gan: str = "vanilla"
    lambda_content: float = 1.0
    lambda_gan: float = 1e-3
    pretrain: float = 10 / 12  # share of training that is SRResNet: 10⁶ of 1.2·10⁶ updates; 1 = nothing else
    from_scratch: bool = False  # allow pretrain = 0
    lr: float = 1e-4


class Srgan(System):
    """generator: small image → large image; critic: large image → logit; features: what the content loss compares."""

    config = Config
    data = "high_resolution"
    task = "super-resolution"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.pretrain <= 0 and not cfg.from_scratch:
            raise ConfigError(
                "pretrain = 0 would train the adversarial stage from scratch, which the paper warns of: give the pixel "
                "stage a share of training, or set from_scratch = true"
            )
        if cfg.content != "mse" and cfg.content not in FEATURES:
            raise ConfigError(f"there is no content {cfg.content!r}; there are mse, {', '.join(FEATURES)}")
        self.generator = SrResNet(cfg.channels, cfg.width, cfg.blocks, cfg.scale)
        self.critic = super_resolution_critic(cfg)
        self.features: nn.Module = nn.Identity()
        self.game = adversarial(cfg.gan)

    def prepare(self, batch: Pair) -> None:
        cfg = self.cfg
        if cfg.content != "mse" and cfg.pretrain < 1:
            self.features = frozen_features(cfg.content, cfg.content_weights, "content")

    def phases(self) -> list[Phase]:
        return [
            Phase("G_pixel", (self.generator,), self.pixel_losses, when=lambda clock: not self.adversarial(clock)),
            Phase("D", (self.critic,), self.d_losses, when=self.adversarial),
            Phase("G", (self.generator,), self.g_losses, when=self.adversarial),
        ]

    def adversarial(self, clock: Clock) -> bool:
        """Whether the second stage has begun."""
        return clock.fraction >= float(self.cfg.pretrain)

    def pixel_losses(self, batch: Pair, _: Clock) -> Losses:
        return {"mse": F.mse_loss(self.generator(batch.source), batch.target)}

    def d_losses(self, batch: Pair, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.generator(batch.source)
        return {"gan": self.game.d(self.critic(self.augment(batch.target)), self.critic(self.augment(fake)))}

    def g_losses(self, batch: Pair, _: Clock) -> Losses:
        cfg = self.cfg
        fake = self.generator(batch.source)
        return {
            "content": cfg.lambda_content * F.mse_loss(self.features(fake), self.features(batch.target)),
            "gan": cfg.lambda_gan * self.game.g(self.critic(self.augment(fake))),
        }

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (0.9, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        # A tenth in the second half of the second stage.
        return 0.1 if clock.fraction >= (1 + self.cfg.pretrain) / 2 and self.adversarial(clock) else 1.0

    def deployables(self) -> dict[str, Deployable]:
        return {"generator": Deployable(self.generator, self.cfg.channels)}

    @torch.no_grad()
    def samples(self, batch: Pair) -> dict[str, Tensor]:
        size = batch.target.shape[2:]
        return {
            "bicubic": F.interpolate(batch.source, size, mode="bicubic").clamp(-1, 1),
            "enlarged": self.generator(batch.source).clamp(-1, 1),
            "target": batch.target,
        }


class SrBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))). (N, C, H, W) → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_normalised(channels, channels), nn.PReLU(channels), *_normalised(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


class SrResNet(nn.Module):
    """(N, channels, H, W) → (N, channels, scale·H, scale·W), not bounded; a skip leads around all blocks."""

    def __init__(self, channels: int = 3, width: int = 64, blocks: int = 16, scale: int = 4) -> None:
        super().__init__()
        if scale < 2 or scale & (scale - 1):
            raise ConfigError(f"SRResNet enlarges 2, 4 or 8 times, not scale = {scale}")
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU(width))
        self.body = nn.Sequential(*(SrBlock(width) for _ in range(blocks)), *_normalised(width, width))
        doublings: list[nn.Module] = []
        for _ in range(scale.bit_length() - 1):
            doublings += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(width)]
        self.head = nn.Sequential(*doublings, nn.Conv2d(width, channels, 9, padding=4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y: Tensor = self.head(x + self.body(x))
        return y


def super_resolution_critic(cfg: Config) -> nn.Sequential:
    """(N, channels, size, size) → (N, 1) logits: eight 3×3 convolutions, every second one halving, and two linear."""
    if cfg.size % 16:
        raise ConfigError(f"SRGAN's critic takes crops of a multiple of 16 px, not size = {cfg.size}")
    layers: list[nn.Module] = [nn.Conv2d(cfg.channels, cfg.critic_width, 3, padding=1), nn.LeakyReLU(0.2)]
    inner = cfg.critic_width
    for depth in range(1, 8):
        outer = cfg.critic_width << depth // 2
        layers += [*_normalised(inner, outer, 1 + depth % 2), nn.LeakyReLU(0.2)]
        inner = outer
    flat = inner * (cfg.size // 16) ** 2
    hidden = [nn.Flatten(), nn.Linear(flat, cfg.critic_hidden), nn.LeakyReLU(0.2), nn.Linear(cfg.critic_hidden, 1)]
    return nn.Sequential(*layers, *hidden)


def _normalised(inner: int, outer: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)]
