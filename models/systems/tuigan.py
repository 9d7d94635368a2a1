"""TuiGAN: translation learned from one image of each domain, from coarse to fine, one scale after the other.

Paper: Lin et al., "TuiGAN: Learning Versatile Image-to-Image Translation with Two Unpaired Images", ECCV 2020.
Differs from the paper: scales and their factor follow from `size` as for a square image. All scales serve at inference,
where the authors' code leaves out the finest; images are resized as they are, without rounding to 8 bits; every G step
makes its fakes anew. `mask_blocks = 0` is the authors' code, whose mask networks lost their inner blocks; 3 is what it
meant. The coarsest scale has no mask, for it has no coarser output to choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.cubic_resize import resized
from models.blocks.init import init_normal
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.adversarial import wasserstein_d, wasserstein_g
from models.losses.gradient_penalty import pixel_gradient_penalty
from models.losses.total_variation import total_variation
from models.networks.coarse_to_fine import Pyramid, Stage, pixel_critic
from models.system import Clock, Deployable, Losses, Phase, System

LEAST_SIDE = 11  # px of the coarsest images: what one logit of the critic sees


@dataclass(frozen=True)
class Config:
    """Paper settings."""

    size: int = 250  # of the images' longer side
    min_size: int = 100  # of a square image at the coarsest scale
    factor: float = 0.75  # between scales, before it is fitted to both sizes
    channels: int = 3
    width: int = 32  # doubled every four scales
    blocks: int = 3
    mask_blocks: int = 0
    noise: float = 0.1  # deviation of what is added to images that are translated in training
    turns: int = 3  # critic steps, and then as many generator steps
    lambda_gp: float = 0.1
    lambda_cycle: float = 1.0
    lambda_identity: float = 1.0
    lambda_tv: float = 0.1
    lr: float = 5e-4
    beta1: float = 0.5
    constant: float = 0.4  # share of a scale's training before its learning rate is a tenth


class TuiGan(System):
    """ab: A → B, ba: B → A, a stage per scale, the coarsest first; critics_a and critics_b judge, one per scale."""

    config = Config
    data = "two_images"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if not LEAST_SIDE <= cfg.min_size <= cfg.size or not 0 < cfg.factor < 1:
            raise ConfigError(
                f"min_size = {cfg.min_size} must be from {LEAST_SIDE} to size = {cfg.size} and factor = {cfg.factor} "
                "between 0 and 1"
            )
        factors = scale_factors(cfg.size, cfg.min_size, cfg.factor)
        widths = [cfg.width << k // 4 for k in range(len(factors))]
        self.ab, self.ba = (
            Pyramid([Stage(cfg.channels, w, cfg.blocks, cfg.mask_blocks, first=k == 0) for k, w in enumerate(widths)],
                    factors)
            for _ in range(2)
        )  # fmt: skip
        self.critics_a, self.critics_b = (
            nn.ModuleList(pixel_critic(cfg.channels, w, cfg.blocks) for w in widths) for _ in range(2)
        )
        init_normal(self)

    def prepare(self, batch: TwoImages) -> None:
        for images in (batch.a, batch.b):
            coarsest = self.ab.sizes(images)[0]
            if min(coarsest) < LEAST_SIDE:
                raise ConfigError(
                    f"an image of {images.shape[3]}×{images.shape[2]} px is only {coarsest[1]}×{coarsest[0]} at the "
                    f"coarsest scale: raise min_size, so that its shorter side keeps {LEAST_SIDE} px"
                )

    def phases(self) -> list[Phase]:
        return [phase for k in range(len(self.ab.stages)) for phase in self.phases_of(k)]

    def phases_of(self, k: int) -> tuple[Phase, Phase]:
        """The critics' and the generators' phase at scale k."""
        return (
            Phase(f"D{k}", (self.critics_a[k], self.critics_b[k]), partial(self.d_losses, k), self.turn(k, 0)),
            Phase(f"G{k}", (self.ab.stages[k], self.ba.stages[k]), partial(self.g_losses, k), self.turn(k, 1)),
        )

    def turn(self, k: int, player: int) -> Callable[[Clock], bool]:
        """Whether it is the turn of scale k, and in it the critics' (0) or the generators' (1)."""
        return lambda clock: self.scale(clock) == k and clock.step // self.cfg.turns % 2 == player

    def scale(self, clock: Clock) -> int:
        """The scale that is trained; each has an equal share of the run."""
        count = len(self.ab.stages)
        return min(count - 1, int(clock.fraction * count + 1e-9))

    def begin(self, k: int, clock: Clock) -> None:
        """Coarser scales are frozen; a scale's first step takes over the next coarser one's weights, if they fit."""
        first_step = self.scale(before(clock)) < self.scale(clock) == k
        for networks in (self.ab.stages, self.ba.stages, self.critics_a, self.critics_b):
            for index, network in enumerate(networks):
                network.train(index == k)
            if first_step:
                take_over(networks[k], networks[k - 1])

    def d_losses(self, k: int, batch: TwoImages, clock: Clock) -> Losses:
        self.begin(k, clock)
        with torch.no_grad():
            fake_b = self.ab.outputs(self.noisy(batch.a, k))[k]
            fake_a = self.ba.outputs(self.noisy(batch.b, k))[k]
        sides = (("a", self.critics_a[k], batch.a, fake_a), ("b", self.critics_b[k], batch.b, fake_b))
        losses = {}
        for domain, critic, image, fake in sides:
            real, fake = self.augment(self.ab.at(image, k)), self.augment(fake)
            losses[f"gan_{domain}"] = wasserstein_d(critic(real), critic(fake))
            losses[f"gp_{domain}"] = self.cfg.lambda_gp * pixel_gradient_penalty(critic, real, fake)
        return losses

    def g_losses(self, k: int, batch: TwoImages, clock: Clock) -> Losses:
        self.begin(k, clock)
        there = self.one_way(k, batch.a, (self.ab, self.ba, self.critics_b[k]))
        back = self.one_way(k, batch.b, (self.ba, self.ab, self.critics_a[k]))
        ways = (("ab", there), ("ba", back))
        return {f"{name}_{way}": loss for way, losses in ways for name, loss in losses.items()}

    def one_way(self, k: int, image: Tensor, networks: tuple[Pyramid, Pyramid, nn.Module]) -> Losses:
        """All losses of what begins with an image of one domain; the way back works on the whole pyramid of fakes."""
        cfg, (pyramid, other, critic) = self.cfg, networks
        clean = [self.ab.at(image, scale) for scale in range(k + 1)]
        fakes = trained_last(pyramid, self.noisy(image, k))
        return {
            "gan": wasserstein_g(critic(self.augment(fakes[k]))),
            "cycle": cfg.lambda_cycle * F.l1_loss(trained_last(other, fakes)[k], clean[k]),
            "identity": cfg.lambda_identity * F.l1_loss(trained_last(other, clean)[k], clean[k]),
            "tv": cfg.lambda_tv * total_variation(fakes[k]),
        }

    def noisy(self, image: Tensor, k: int) -> list[Tensor]:
        """The image at the scales up to k, noise added."""
        scales = [self.ab.at(image, scale) for scale in range(k + 1)]
        return [each + self.cfg.noise * torch.randn_like(each) for each in scales]

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        done = clock.fraction * len(self.ab.stages) - self.scale(clock)  # share of the scale's training
        return 1.0 if done < self.cfg.constant else 0.1

    def deployables(self) -> dict[str, Deployable]:
        decisions = (("noise", "off"), ("batch norm", "running statistics"))
        return {
            way: Deployable(pyramid, self.cfg.channels, decisions=decisions)
            for way, pyramid in (("ab", self.ab), ("ba", self.ba))
        }

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        a, size = batch.a[:1], (batch.a.shape[2], batch.a.shape[3])
        b = resized(batch.b[:1], size).clamp(-1, 1)  # the rows of a picture have one width
        return {"a": a, "a → b": self.ab(a), "b": b, "b → a": self.ba(b)}


def scale_factors(size: int, min_size: int, factor: float) -> list[float]:
    """The sides of all scales as shares of the finest, from min_size / size to 1, by one factor near the wished one."""
    steps = math.ceil(math.log(min_size / size) / math.log(factor))
    return [(min_size / size) ** (k / steps) for k in range(steps, 0, -1)] + [1.0]


def trained_last(pyramid: Pyramid, images: Sequence[Tensor]) -> list[Tensor]:
    """What the pyramid makes of images at its coarsest scales; gradients stay within the last of them."""
    with torch.no_grad():
        made = pyramid.outputs(images[:-1])
    return [*made, pyramid.next(images[-1], made)]


def before(clock: Clock) -> Clock:
    """The clock at the step before."""
    return replace(clock, step=clock.step - 1, kimg=clock.kimg * (clock.step - 1) / clock.step) if clock.step else clock


def take_over(network: nn.Module, coarser: nn.Module) -> None:
    """The coarser network's weights, unless it is narrower; the first stage has none for a mask."""
    own, other = network.state_dict(), coarser.state_dict()
    if all(own[name].shape == tensor.shape for name, tensor in other.items()):
        network.load_state_dict(own | other)
