"""INIT: MUNIT on the whole image and, beside it, on its objects, whose styles are of their own places.

Paper: Shen et al., "Towards Instance-level Image-to-Image Translation", CVPR 2019.
Differs from the paper: there is no public code, and what its abstract does not say could not be verified. Networks,
weights and schedule are MUNIT's at both levels; objects are cut out by RoIAlign. Styles go from coarse to fine only: an
object takes the style of the other domain's image, and that of its background, the image with its boxes emptied; both
are read by the encoder of whole images, and no style of an object ever reaches one. Of `instances` boxes that an image
has, all are trained on in each step. What ships is the branch of whole images, as in MUNIT.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.blocks.init import init_kaiming, init_normal
from models.blocks.roi import is_box, paste, roi_align
from models.data.batches import TwoBoxed
from models.errors import ConfigError
from models.networks.strided_critics import StridedCritics
from models.system import Clock, Losses, Phase
from models.systems import munit
from models.systems.munit import DOWNS, AutoEncoder, Munit


@dataclass(frozen=True)
class Config(munit.Config):
    """Paper settings."""

    size: int = 360
    load_size: int = 360
    instances: int = 4  # boxes of an image, the greatest first
    object_size: int = 120  # px, of what is cut out
    object_scales: int = 3  # of the objects' critics
    lambda_object: float = 1.0  # on all of MUNIT's losses, of objects
    lambda_coarse: float = 1.0  # on content and style of objects under coarse styles


@dataclass(frozen=True)
class Objects:
    """What the boxes of a batch of images hold; at least one crop, of weight 0 where there is no box."""

    crops: Tensor  # (M, C, side, side)
    image: Tensor  # (M,) int64: the image that each was cut from
    weight: float  # 1, or 0 when the batch has no box


class Init(Munit):
    """MUNIT's networks for whole images; objects_a, objects_b and their critics do the same on objects."""

    config = Config
    data = "boxes"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.object_size % (1 << DOWNS):
            raise ConfigError(f"object_size = {cfg.object_size} must be a multiple of {1 << DOWNS}")
        self.objects_a, self.objects_b = AutoEncoder(cfg), AutoEncoder(cfg)
        self.object_critic_a, self.object_critic_b = (
            StridedCritics(cfg.channels, cfg.critic_width, cfg.object_scales) for _ in range(2)
        )
        for coder in (self.objects_a, self.objects_b):
            init_kaiming(coder)
        for critic in (self.object_critic_a, self.object_critic_b):
            init_normal(critic)

    def phases(self) -> list[Phase]:
        critics = (self.critic_a, self.critic_b, self.object_critic_a, self.object_critic_b)
        coders = (self.coder_a, self.coder_b, self.objects_a, self.objects_b)
        return [Phase("D", critics, self.d_losses), Phase("G", coders, self.g_losses)]

    def d_losses(self, batch: TwoBoxed, clock: Clock) -> Losses:  # type: ignore[override]
        losses = super().d_losses(batch, clock)
        a, b = self.cut(batch.a, batch.boxes_a), self.cut(batch.b, batch.boxes_b)
        with torch.no_grad():
            fake_a = self.objects_a.decoder(self.objects_b.content(b.crops), self.drawn_style(b.crops))
            fake_b = self.objects_b.decoder(self.objects_a.content(a.crops), self.drawn_style(a.crops))
        weight = self.cfg.lambda_object * a.weight * b.weight
        losses["object_gan_a"] = weight * self.d_loss(self.object_critic_a, a.crops, fake_a)
        losses["object_gan_b"] = weight * self.d_loss(self.object_critic_b, b.crops, fake_b)
        return losses

    def g_losses(self, batch: TwoBoxed, clock: Clock) -> Losses:  # type: ignore[override]
        losses = super().g_losses(batch, clock)
        a, b = self.cut(batch.a, batch.boxes_a), self.cut(batch.b, batch.boxes_b)
        coders = self.objects_a, self.objects_b
        styles_b = self.coarse_styles(self.coder_b, batch.b, batch.boxes_b)
        styles_a = self.coarse_styles(self.coder_a, batch.a, batch.boxes_a)
        ways = {
            "ab": (coders, a, self.object_critic_b, styles_b), "ba": (coders[::-1], b, self.object_critic_a, styles_a)
        }  # fmt: skip
        for way, (pair, objects, critic, styles) in ways.items():
            found = self.one_way(pair, objects.crops, critic)
            found["gan"] = a.weight * b.weight * found["gan"]  # a critic without real objects knows nothing
            weight = self.cfg.lambda_object * objects.weight
            losses |= {f"object_{name}_{way}": weight * loss for name, loss in found.items()}
            weight = self.cfg.lambda_coarse * objects.weight
            losses |= {f"{k}_{way}": weight * self.coarse_loss(pair, objects, style) for k, style in styles.items()}
        return losses

    def cut(self, image: Tensor, boxes: Tensor) -> Objects:
        """The objects of a batch of images (N, C, H, W) with boxes (N, S, 5)."""
        crops, there = roi_align(image, boxes, self.cfg.object_size), is_box(boxes) > 0
        if not there.any():
            first = torch.zeros(1, dtype=torch.int64, device=image.device)
            return Objects(crops[:1, 0], first, 0.0)
        return Objects(crops[there], there.nonzero()[:, 0], 1.0)

    def coarse_styles(self, coder: AutoEncoder, image: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """Styles (N, style_dim) of whole images and of their backgrounds, given: they do not learn from objects."""
        with torch.no_grad():
            background = coder.style(image * (1 - covered(boxes, image)))
            return {"coarse_image": coder.style(image), "coarse_background": background}

    def coarse_loss(self, coders: tuple[AutoEncoder, AutoEncoder], objects: Objects, styles: Tensor) -> Tensor:
        """Content and style of objects that were given a coarse style of the other domain, read again."""
        (own, other), cfg = coders, self.cfg
        content, style = own.content(objects.crops), styles[objects.image]
        fake = other.decoder(content, style)
        again: Tensor = cfg.lambda_content * F.l1_loss(other.content(fake), content)
        styled: Tensor = cfg.lambda_style * F.l1_loss(other.style(fake), style)
        return again + styled

    @torch.no_grad()
    def samples(self, batch: TwoBoxed) -> dict[str, Tensor]:  # type: ignore[override]
        rows = super().samples(batch)
        marked = batch.a * (1 - 0.5 * covered(batch.boxes_a, batch.a))
        return {"a": batch.a, "a, boxes darkened": marked} | rows


def covered(boxes: Tensor, like: Tensor) -> Tensor:
    """(N, 1, H, W): 1 at pixels within some box, the covered share at its edges."""
    ones = like.new_ones(*boxes.shape[:2], 1, 1, 1)
    return paste(ones, boxes, (like.shape[2], like.shape[3]))
