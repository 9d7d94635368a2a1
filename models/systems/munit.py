"""MUNIT: unpaired translation with many answers; the content of an image under any style of the other domain.

Paper: Huang et al., "Multimodal Unsupervised Image-to-Image Translation", ECCV 2018.
Differs from the paper: no domain-invariant perceptual loss, which needs VGG16 and has weight 0 in most of its recipes.
The norm of the decoder's upsampling keeps the released form (unbiased deviation, ε beside it) in training and graph.
`lambda_cycle` is the style-augmented cycle: 0 as for edges, 10 as for street scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_kaiming, init_normal
from models.data.batches import TwoImages
from models.losses.adversarial import adversarial, d_over_scales, g_over_scales
from models.networks.content_style import Restyle, StyleDecoder, content_encoder, style_encoder
from models.networks.strided_critics import StridedCritics
from models.schedules import halving
from models.system import Clock, Control, Deployable, Losses, Phase, System

DOWNS = 2


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    channels: int = 3
    load_size: int = 256
    width: int = 64
    blocks: int = 4  # of content encoder and decoder each
    style_dim: int = 8
    mapping_width: int = 256
    critic_width: int = 64
    critic_scales: int = 3
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_image: float = 10.0
    lambda_style: float = 1.0
    lambda_content: float = 1.0
    lambda_cycle: float = 0.0
    lr: float = 1e-4
    beta1: float = 0.5
    weight_decay: float = 1e-4
    halve_kimg: float = 100.0  # the learning rate is halved after each


class AutoEncoder(nn.Module):
    """One domain: image ↔ (content, style)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.content = content_encoder(cfg.channels, cfg.width, DOWNS, cfg.blocks)
        self.style = style_encoder(cfg.channels, cfg.width, cfg.style_dim)
        self.decoder = StyleDecoder(
            cfg.channels, cfg.width, DOWNS, cfg.blocks, (cfg.style_dim, cfg.mapping_width)
        )  # fmt: skip


class Munit(System):
    """coder_a and coder_b take images of their domain apart and put them together; critic_a and critic_b judge them."""

    config = Config
    data = "unpaired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.coder_a, self.coder_b = AutoEncoder(cfg), AutoEncoder(cfg)
        self.critic_a, self.critic_b = (
            StridedCritics(cfg.channels, cfg.critic_width, cfg.critic_scales) for _ in range(2)
        )
        self.game = adversarial(cfg.gan)
        for coder in (self.coder_a, self.coder_b):
            init_kaiming(coder)
        for critic in (self.critic_a, self.critic_b):
            init_normal(critic)

    def phases(self) -> list[Phase]:
        return [
            Phase("D", (self.critic_a, self.critic_b), self.d_losses),
            Phase("G", (self.coder_a, self.coder_b), self.g_losses),
        ]

    def d_losses(self, batch: TwoImages, _: Clock) -> Losses:
        with torch.no_grad():
            fake_a = self.coder_a.decoder(self.coder_b.content(batch.b), self.drawn_style(batch.b))
            fake_b = self.coder_b.decoder(self.coder_a.content(batch.a), self.drawn_style(batch.a))
        return {
            "gan_a": self.d_loss(self.critic_a, batch.a, fake_a),
            "gan_b": self.d_loss(self.critic_b, batch.b, fake_b),
        }

    def d_loss(self, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Summed over scales, not halved."""
        weight: float = self.cfg.lambda_gan
        return weight * d_over_scales(self.game, critic(self.augment(real)), critic(self.augment(fake)))

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        ab = self.one_way((self.coder_a, self.coder_b), batch.a, self.critic_b)
        ba = self.one_way((self.coder_b, self.coder_a), batch.b, self.critic_a)
        return {f"{name}_ab": loss for name, loss in ab.items()} | {f"{name}_ba": loss for name, loss in ba.items()}

    def one_way(self, coders: tuple[AutoEncoder, AutoEncoder], image: Tensor, critic: nn.Module) -> Losses:
        """All losses of a translation from the first coder's domain to the second's, under a random style."""
        (own, other), cfg = coders, self.cfg
        content, style = own.content(image), own.style(image)
        drawn = self.drawn_style(image)
        fake = other.decoder(content, drawn)
        content_again = other.content(fake)
        losses = {
            "gan": cfg.lambda_gan * g_over_scales(self.game, critic(self.augment(fake))),
            "image": cfg.lambda_image * F.l1_loss(own.decoder(content, style), image),
            "style": cfg.lambda_style * F.l1_loss(other.style(fake), drawn),
            "content": cfg.lambda_content * F.l1_loss(content_again, content),
        }
        if cfg.lambda_cycle:
            losses["cycle"] = cfg.lambda_cycle * F.l1_loss(own.decoder(content_again, style), image)
        return losses

    def drawn_style(self, like: Tensor) -> Tensor:
        """(N, style_dim) of the prior N(0, I), one for each image."""
        return torch.randn(len(like), self.cfg.style_dim, device=like.device)

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return Adam(network.parameters(), cfg.lr, (cfg.beta1, 0.999), weight_decay=cfg.weight_decay)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return halving(clock, self.cfg.halve_kimg)

    def deployables(self) -> dict[str, Deployable]:
        ways = {"ab": (self.coder_a, self.coder_b, "style_b"), "ba": (self.coder_b, self.coder_a, "style_a")}
        parts = {name: self.shipped_way(*way) for name, way in ways.items()}
        for name, coder in (("style_b", self.coder_b), ("style_a", self.coder_a)):
            parts[name] = Deployable(coder.style, self.cfg.channels, returns=("style",), multiple=1 << DOWNS)
        return parts | {name: part for way in ways.items() for name, part in self.split_way(*way).items()}

    def split_way(self, name: str, way: tuple[AutoEncoder, AutoEncoder, str]) -> dict[str, Deployable]:
        """The same in two graphs, so that many styles share one encoding."""
        own, other, companion = way
        cfg, multiple = self.cfg, 1 << DOWNS
        shape = (1, cfg.width << DOWNS, -multiple, -multiple)
        content = Control("content", "content", shape, companion=f"encode_{name}")
        style = Control("style", "style", (1, cfg.style_dim), distribution="normal", companion=companion)
        return {
            f"encode_{name}": Deployable(own.content, cfg.channels, returns=("content",), multiple=multiple),
            f"decode_{name}": Deployable(other.decoder, 0, (content, style), multiple=multiple),
        }

    def shipped_way(self, own: AutoEncoder, other: AutoEncoder, companion: str) -> Deployable:
        """One content encoder, the other domain's decoder, and where styles come from."""
        cfg = self.cfg
        style = Control("style", "style", (1, cfg.style_dim), distribution="normal", companion=companion)
        return Deployable(Restyle(own.content, other.decoder), cfg.channels, (style,), multiple=1 << DOWNS)

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        content = self.coder_a.content(batch.a)
        rows = {"a": batch.a, "a again": self.coder_a.decoder(content, self.coder_a.style(batch.a))}
        for k in (1, 2):
            rows[f"a → b, style {k}"] = self.coder_b.decoder(content, self.drawn_style(batch.a))
        return rows | {"b": batch.b, "a → b, style of b": self.coder_b.decoder(content, self.coder_b.style(batch.b))}
