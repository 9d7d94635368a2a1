"""InstaFormer: a transformer over patches and instances that learns from boxes and can do without them.

Paper: Kim et al., "InstaFormer: Instance-Aware Image-to-Image Translation with Transformer", CVPR 2022.
Differs from the paper: as in the released code, one scale and shift serve all twelve AdaINs (the paper can be read as
one for each). What the code's second unfolding does could not be verified: here it brings the tokens of boxes back into
their places. The style encoder has no norm, which would take away what a style is. Stems have none either: a box's last
map is one pixel. RoIAlign has half-pixel centres and 2×2 samples per bin instead of as many as the box is large.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_normal
from models.blocks.roi import is_box, roi_align
from models.data.batches import TwoBoxed
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.losses.contrastive import patch_nce
from models.networks.patch_critic import patch_critic
from models.networks.patch_heads import PatchHeads, draw_positions, tapped
from models.networks.token_generator import PATCH, SCALE, TokenGenerator, blurred_encoder
from models.system import Clock, Control, Deployable, Losses, Phase, System

MULTIPLE = round(PATCH / SCALE)


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    size: int = 352
    load_size: int = 352
    channels: int = 3
    width: int = 64
    dim: int = 1024  # of a token
    blocks: int = 6
    heads: int = 4
    style_dim: int = 8
    mapping_width: int = 256
    instances: int = 20  # boxes of an image, in training and in what ships
    critic_width: int = 64
    critic_field: int = 70
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_image: float = 10.0
    lambda_style: float = 10.0
    lambda_nce: float = 2.0
    lambda_instance_nce: float = 2.0
    nce_layers: tuple[int, ...] = (0, 4, 8)  # of the content encoder: pixels, and in front of both blurs
    patches: int = 256  # of each image and layer
    head_dim: int = 256
    instance_patches: int = 64  # of each box
    instance_head_dim: int = 64
    temperature: float = 0.07
    lr: float = 2e-4
    beta1: float = 0.5


class InstaFormer(System):
    """generator: (image, style[, boxes]) → image; style reads styles; two heads project features; critic judges B."""

    config = Config
    data = "boxes"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.dim % 8 or cfg.dim % cfg.heads:
            raise ConfigError(f"dim = {cfg.dim} must be a multiple of 8 and of heads = {cfg.heads}")
        self.generator = TokenGenerator(
            cfg.channels, cfg.width, cfg.dim, (cfg.blocks, cfg.heads), (cfg.style_dim, cfg.mapping_width)
        )
        self.style = nn.Sequential(
            blurred_encoder(cfg.channels, cfg.width, "none"), nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(4 * cfg.width, cfg.style_dim, 1), nn.Flatten(),
        )  # fmt: skip
        self.critic = patch_critic(cfg.channels, cfg.critic_width, cfg.critic_field, "batch", antialias=True)
        self.heads, self.instance_heads = PatchHeads(cfg.head_dim), PatchHeads(cfg.instance_head_dim)
        self.game = adversarial(cfg.gan)
        layers = len(self.generator.encoder)
        if not cfg.nce_layers or max(cfg.nce_layers) >= layers:
            raise ConfigError(f"nce_layers = {cfg.nce_layers}: the encoder has the layers 0 to {layers - 1}")
        for network in (self.generator, self.style, self.critic):
            init_normal(network)

    @torch.no_grad()
    def prepare(self, batch: TwoBoxed) -> None:
        self.heads.build(self.features(batch.a[:1]))
        self.instance_heads.build([self.cut(batch.a[:1], batch.boxes_a[:1])])
        for heads in (self.heads, self.instance_heads):
            init_normal(heads)

    def phases(self) -> list[Phase]:
        networks = (self.generator, self.style, self.heads, self.instance_heads)
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", networks, self.g_losses)]

    def d_losses(self, batch: TwoBoxed, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.generator(batch.a, self.drawn_style(batch.a), batch.boxes_a)
        return {"gan": 0.5 * self.game.d(self.critic(self.augment(batch.b)), self.critic(self.augment(fake)))}

    def g_losses(self, batch: TwoBoxed, _: Clock) -> Losses:
        cfg = self.cfg
        fake = self.generator(batch.a, self.drawn_style(batch.a), batch.boxes_a)
        style = self.style(batch.b)
        again = self.generator(batch.b, style, batch.boxes_b)
        return {
            "gan": cfg.lambda_gan * self.game.g(self.critic(self.augment(fake))),
            "image": cfg.lambda_image * F.l1_loss(again, batch.b),
            "style": cfg.lambda_style * F.l1_loss(self.style(again), style),
            "nce": cfg.lambda_nce * self.nce(batch.a, fake),
            "instance_nce": cfg.lambda_instance_nce * self.instance_nce(batch.a, fake, batch.boxes_a),
        }

    def drawn_style(self, like: Tensor) -> Tensor:
        """(N, style_dim) of the prior N(0, I), one for each image."""
        return torch.randn(len(like), self.cfg.style_dim, device=like.device)

    def features(self, image: Tensor) -> list[Tensor]:
        """Maps of the content encoder's layers."""
        return tapped(self.generator.encoder, image, self.cfg.nce_layers)

    def cut(self, image: Tensor, boxes: Tensor) -> Tensor:
        """(N·S, C, 8, 8): the content of every slot."""
        return roi_align(self.generator.encoder(image), boxes, PATCH, SCALE).flatten(0, 1)

    def nce(self, image: Tensor, fake: Tensor) -> Tensor:
        """Patches of a translation against those of its source, a mean over the layers."""
        with torch.no_grad():
            keys = self.features(image)
        positions = draw_positions(keys, self.cfg.patches)
        pairs = zip(self.heads(self.features(fake), positions), self.heads(keys, positions), strict=True)
        return torch.stack([patch_nce(query, key, self.cfg.temperature) for query, key in pairs]).mean()

    def instance_nce(self, image: Tensor, fake: Tensor, boxes: Tensor) -> Tensor:
        """The same within each box: its parts against each other; empty slots count for nothing."""
        with torch.no_grad():
            keys = self.cut(image, boxes)
        queries, there = self.cut(fake, boxes), is_box(boxes).flatten() > 0
        weight = float(there.any())
        there = there if weight else torch.ones_like(there)  # the same networks take part in every step
        positions = draw_positions([keys], self.cfg.instance_patches)
        query, key = (self.instance_heads([maps[there]], positions)[0] for maps in (queries, keys))
        return weight * patch_nce(query, key, self.cfg.temperature)

    def optimizer(self, network: nn.Module) -> Optimizer:
        heads = network in (self.heads, self.instance_heads)
        return Adam(network.parameters(), self.cfg.lr, (0.9 if heads else self.cfg.beta1, 0.999))

    def deployables(self) -> dict[str, Deployable]:
        cfg = self.cfg
        style = Control("style", "style", (1, cfg.style_dim), distribution="normal", companion="style")
        boxes = Control("boxes", "boxes", (1, cfg.instances, 5), low=0.0)
        return {
            "generator": Deployable(self.generator, cfg.channels, (style,), multiple=MULTIPLE),
            "with_boxes": Deployable(self.generator, cfg.channels, (style, boxes), multiple=MULTIPLE),
            "style": Deployable(self.style, cfg.channels, returns=("style",), multiple=4),
        }

    @torch.no_grad()
    def samples(self, batch: TwoBoxed) -> dict[str, Tensor]:
        drawn = self.drawn_style(batch.a)
        return {
            "a": batch.a, "a → b": self.generator(batch.a, drawn),
            "a → b, with boxes": self.generator(batch.a, drawn, batch.boxes_a),
            "a → b, style of b": self.generator(batch.a, self.style(batch.b), batch.boxes_a),
            "b again": self.generator(batch.b, self.style(batch.b), batch.boxes_b), "b": batch.b,
        }  # fmt: skip
