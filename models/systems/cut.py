"""CUT and FastCUT: one-sided unpaired translation; a patch of the output must resemble the input's patch at its place.

Paper: Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020.
Differs from the paper: nothing with the defaults (CUT) or with the recipe fastcut.toml. `nce_layers` counts the layers
of the generator; the defaults are right for the antialiased ResNets only, and other generators need their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.blocks.init import init_xavier
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.losses.contrastive import patch_nce
from models.networks.generators import GeneratorConfig, build_generator, feature_layers
from models.networks.patch_critic import patch_critic
from models.networks.patch_heads import PatchHeads, draw_positions, tapped
from models.one_sided import OneSided
from models.system import Clock, Losses, Phase


@dataclass(frozen=True)
class Config(GeneratorConfig):
    """Paper settings of CUT."""

    generator: str = "resnet9_antialiased"
    critic_width: int = 64
    critic_field: int = 70
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_nce: float = 1.0  # FastCUT: 10
    nce_identity: bool = True  # the loss on target images too, halving both; FastCUT: false
    nce_layers: tuple[int, ...] = (0, 4, 8, 12, 16)  # pixels, both down stages, residual blocks 1 and 5
    patches: int = 256  # of each image and layer
    head_dim: int = 256
    temperature: float = 0.07
    flip_equivariance: bool = False  # FastCUT: true
    lr: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5  # share of training before the learning rate decays; FastCUT: 0.75


class Cut(OneSided):
    """generator: A → B; critic judges B; heads (the paper's F) project the features of the generator's encoder."""

    config = Config

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.generator = build_generator(cfg, init_xavier)
        self.critic: nn.Sequential = patch_critic(cfg.channels, cfg.critic_width, cfg.critic_field, antialias=True)
        self.heads = PatchHeads(cfg.head_dim)
        self.game = adversarial(cfg.gan)
        init_xavier(self.critic)
        layers = len(feature_layers(self.generator))
        if not cfg.nce_layers or max(cfg.nce_layers) >= layers:
            raise ConfigError(f"nce_layers = {cfg.nce_layers}: {cfg.generator} has the layers 0 to {layers - 1}")

    @torch.no_grad()
    def prepare(self, batch: TwoImages) -> None:
        self.heads.build(self.encode(batch.a[:1]))
        init_xavier(self.heads)

    def phases(self) -> list[Phase]:
        return [Phase("D", (self.critic,), self.d_losses), Phase("G", (self.generator, self.heads), self.g_losses)]

    def d_losses(self, batch: TwoImages, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.generator(batch.a)
        return {"gan": 0.5 * self.game.d(self.critic(self.augment(batch.b)), self.critic(self.augment(fake)))}

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg = self.cfg
        flip = cfg.flip_equivariance and bool(torch.rand(()) < 0.5)
        fake = self.translate(batch.a, flip)
        losses = {"gan": cfg.lambda_gan * self.game.g(self.critic(self.augment(fake)))}
        weight = 0.5 * cfg.lambda_nce if cfg.nce_identity else cfg.lambda_nce
        losses["nce"] = weight * self.nce(batch.a, fake, flip)
        if cfg.nce_identity:
            losses["nce_identity"] = weight * self.nce(batch.b, self.translate(batch.b, flip), flip)
        return losses

    def translate(self, image: Tensor, flip: bool) -> Tensor:
        """The generator's output for the image, or for its mirror image."""
        fake: Tensor = self.generator(image.flip(3) if flip else image)
        return fake

    def nce(self, image: Tensor, fake: Tensor, flip: bool = False) -> Tensor:
        """Mean patch loss over the layers; the features of a mirrored `fake` are mirrored back."""
        pairs = zip(*self.projected(image, fake, flip), strict=True)
        return torch.stack([patch_nce(query, key, self.cfg.temperature) for query, key in pairs]).mean()

    def projected(self, image: Tensor, fake: Tensor, flip: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Queries, from `fake`, and keys, from `image`, at the same random positions: (N, P, head_dim) per layer."""
        with torch.no_grad():
            keys = self.encode(image)
        queries = [feature.flip(3) if flip else feature for feature in self.encode(fake)]
        positions = draw_positions(keys, self.cfg.patches)
        return self.heads(queries, positions), self.heads(keys, positions)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Features of the generator's encoder half."""
        return tapped(feature_layers(self.generator), image, self.cfg.nce_layers)
