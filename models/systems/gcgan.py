"""GcGAN: one-sided unpaired translation; turning the image and translating it must commute.

Paper: Fu et al., "Geometry-Consistent Generative Adversarial Networks for One-Sided Unsupervised Domain Mapping",
CVPR 2019.
Differs from the paper: nothing with the defaults; `cross` gives the turned images a generator of their own, as the
authors do for horse → zebra. `geometry = "mixture"` draws the rotation or the flip anew at each step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.image_pool import ImagePool
from models.blocks.init import init_xavier
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.adversarial import adversarial
from models.networks.generators import GeneratorConfig, build_generator
from models.networks.patch_critic import patch_critic
from models.one_sided import OneSided
from models.system import Clock, Losses, Phase


@dataclass(frozen=True)
class Config(GeneratorConfig):
    """Paper settings."""

    critic_width: int = 64
    critic_field: int = 70
    geometry: str = "rotation"  # a quarter turn; "flip", upside down; "mixture", either by chance
    cross: bool = False  # a second generator for the turned images
    gan: str = "lsgan"
    lambda_gan: float = 1.0
    lambda_geometry: float = 20.0  # the authors' lambda_AB · lambda_gc = 10 · 2
    lambda_identity: float = 5.0  # 10 · 0.5
    pool_size: int = 50
    lr: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5  # share of training before the learning rate decays


def turned(image: Tensor) -> Tensor:
    """(N, C, S, S) → a quarter turn counterclockwise."""
    return image.rot90(1, (2, 3))


def turned_back(image: Tensor) -> Tensor:
    """The inverse of `turned`."""
    return image.rot90(-1, (2, 3))


def upside_down(image: Tensor) -> Tensor:
    """(N, C, H, W) → mirrored top to bottom; its own inverse."""
    return image.flip(2)


Turn = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]  # f and its inverse
ROTATION: Turn = (turned, turned_back)
FLIP: Turn = (upside_down, upside_down)
GEOMETRIES: dict[str, tuple[Turn, ...]] = {"rotation": (ROTATION,), "flip": (FLIP,), "mixture": (ROTATION, FLIP)}


class GcGan(OneSided):
    """generator: A → B; critic judges B, critic_turned judges turned images of B."""

    config = Config

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.geometry not in GEOMETRIES:
            raise ConfigError(f"there is no geometry {cfg.geometry!r}; there are {', '.join(GEOMETRIES)}")
        self.geometries = GEOMETRIES[cfg.geometry]
        self.generator = build_generator(cfg, init_xavier)
        self.second = build_generator(cfg, init_xavier) if cfg.cross else None
        self.critic, self.critic_turned = (
            patch_critic(cfg.channels, cfg.critic_width, cfg.critic_field) for _ in range(2)
        )
        self.pool, self.pool_turned = ImagePool(cfg.pool_size), ImagePool(cfg.pool_size)
        self.game = adversarial(cfg.gan)
        init_xavier(self.critic)
        init_xavier(self.critic_turned)

    def prepare(self, batch: TwoImages) -> None:
        height, width = batch.a.shape[2:]
        if ROTATION in self.geometries and height != width:
            raise ConfigError(f'geometry = "{self.cfg.geometry}" needs square crops, not {height}×{width}; take "flip"')

    @property
    def generator_turned(self) -> nn.Module:
        """What translates turned images: the same generator, or with `cross` a second one."""
        return self.generator if self.second is None else self.second

    def phases(self) -> list[Phase]:
        return [
            Phase("G", tuple(dict.fromkeys((self.generator, self.generator_turned))), self.g_losses),
            Phase("D", (self.critic,), lambda batch, _: self.d_losses(self.critic, batch.b, self.pool)),
            Phase("D_turned", (self.critic_turned,),
                  lambda batch, _: self.d_losses(self.critic_turned, self.draw()[0](batch.b), self.pool_turned)),
        ]  # fmt: skip

    def draw(self) -> Turn:
        """The geometry, or one of the mixture's."""
        return self.geometries[int(torch.randint(len(self.geometries), ()))]

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg, (turn, turn_back) = self.cfg, self.draw()
        fake, fake_turned = self.generator(batch.a), self.generator_turned(turn(batch.a))
        self.pool.push(fake)
        self.pool_turned.push(fake_turned)
        losses = {
            "gan": cfg.lambda_gan * self.game.g(self.critic(self.augment(fake))),
            "gan_turned": cfg.lambda_gan * self.game.g(self.critic_turned(self.augment(fake_turned))),
            # Each output is the other's target, and targets are detached.
            "geometry": cfg.lambda_geometry * F.l1_loss(fake, turn_back(fake_turned).detach()),
            "geometry_turned": cfg.lambda_geometry * F.l1_loss(fake_turned, turn(fake).detach()),
        }
        if cfg.lambda_identity:
            same, target = self.generator(batch.b), turn(batch.b)
            losses["identity"] = cfg.lambda_identity * F.l1_loss(same, batch.b)
            losses["identity_turned"] = cfg.lambda_identity * F.l1_loss(self.generator_turned(target), target)
        return losses

    def d_losses(self, critic: nn.Module, real: Tensor, pool: ImagePool) -> Losses:
        return {"gan": 0.5 * self.game.d(critic(self.augment(real)), critic(self.augment(pool.draw())))}
