"""DIAT: one attribute of an image is changed, by a transform inside a mask, and the rest stays who it was.

Paper: Li et al., "Deep Identity-aware Transfer of Facial Attributes", 2016.
Differs from the paper: losses and networks are those of its second version (mask, moving metric, WGAN), the second
stage is that of the first. Its loss is not published in detail; here it learns to give target images back after they
went to the source domain and returned. VGG-Face is replaced by the user's VGG-19 or SqueezeNet, the denoiser by the
user's; without `denoiser_weights` that term is left out. The adversarial gradient always has the same length, where the
authors' code lets it be when the critic's lead grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, RMSprop

from models.blocks.init import init_normal
from models.data.batches import TwoImages
from models.losses.adversarial import wasserstein_d, wasserstein_g
from models.networks.masked_transform import AttributeCritic, ChangeMask, Enhanced, MaskedTransform, Transform, masked
from models.networks.pretrained import FrozenDenoiser, frozen_features
from models.system import Clock, Control, Deployable, Losses, Phase, System

MULTIPLE = 32
SWITCH = Control("enhance", "scalar", (1, 1), 0.0, 1.0, default=(1.0,))


@dataclass(frozen=True)
class Config:
    """The authors' settings."""

    size: int = 128
    load_size: int = 143
    channels: int = 3
    width: int = 64
    mask_width: int = 32
    critic_width: int = 64
    critic_hidden: int = 512
    identity: str = "vgg54"  # features that must stay: "vgg22", "squeeze"; "none"
    identity_weights: str = ""  # file of their weights
    denoiser_weights: str = ""  # file of a network that finds noise; none = no such term
    pretrain: float = 0.05  # share of training in which the transform learns to give images back
    enhance: float = 0.2  # share at the end in which the second stage learns; 0 = none
    n_critic: int = 12  # steps of a round …
    n_generator: int = 3
    n_cycle: int = 1
    gan_push: float = 0.163  # mean |gradient| that the critic has on a value of the image: 8000 on 3·128²
    lambda_perceptual: float = 1e-3  # 0.1, of which the authors' layer passes a hundredth
    lambda_identity: float = 0.1
    lambda_cycle: float = 1.0
    lambda_ratio: float = 0.1
    ratio: float = 0.72  # of the mask's cells that shall be on
    clip: float = 0.031
    lr: float = 5e-5
    decay: float = 0.98  # of RMSProp
    weight_decay: float = 5e-4


class Diat(System):
    """transform and mask: A → B; back: B → A, for training; enhancer: second stage; critic: score and metric."""

    config = Config
    data = "unpaired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.transform, self.back, self.enhancer = (Transform(cfg.channels, cfg.width) for _ in range(3))
        self.mask = ChangeMask(cfg.channels, cfg.mask_width)
        self.critic = AttributeCritic(cfg.channels, cfg.critic_width, cfg.critic_hidden, cfg.size)
        self.identity: nn.Module | None = None
        self.denoiser: nn.Module | None = None
        init_normal(self)

    def prepare(self, batch: TwoImages) -> None:
        cfg = self.cfg
        if cfg.identity != "none":
            self.identity = frozen_features(cfg.identity, cfg.identity_weights, "identity")
        if cfg.denoiser_weights:
            self.denoiser = FrozenDenoiser(Path(cfg.denoiser_weights))

    def phases(self) -> list[Phase]:
        both = (self.transform, self.mask)
        phases = [
            Phase("init", (self.transform, self.back), self.init_losses, self.stage(0)),
            Phase("D", (self.critic,), self.d_losses, self.turn(0), after=self.clip),
            Phase("G", both, self.g_losses, self.turn(1)),
            Phase("cycle", (*both, self.back), self.cycle_losses, self.turn(2)),
        ]
        return [*phases, Phase("enhance", (self.enhancer,), self.enhance_losses, self.stage(2))]

    def stage(self, number: int) -> Callable[[Clock], bool]:
        """0: giving back; 1: transfer; 2: enhancement."""
        pretrain, enhance = self.cfg.pretrain, self.cfg.enhance
        return lambda clock: (clock.fraction >= pretrain) + (clock.fraction >= 1 - enhance) == number

    def turn(self, player: int) -> Callable[[Clock], bool]:
        """Whose turn of a round it is in the second stage: critic 0, generator 1, cycle 2."""
        counts = (self.cfg.n_critic, self.cfg.n_generator, self.cfg.n_cycle)
        first, transfers = sum(counts[:player]), self.stage(1)
        return lambda clock: transfers(clock) and 0 <= clock.step % sum(counts) - first < counts[player]

    @torch.no_grad()
    def clip(self) -> None:
        """Keep every critic weight in [-clip, clip]."""
        for parameter in self.critic.parameters():
            parameter.clamp_(-self.cfg.clip, self.cfg.clip)

    def init_losses(self, batch: TwoImages, _: Clock) -> Losses:
        return {"a": energy(self.transform(batch.a), batch.a), "b": energy(self.back(batch.b), batch.b)}

    def d_losses(self, batch: TwoImages, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.translate(batch.a)
        return {"gan": wasserstein_d(self.critic(self.augment(batch.b)), self.critic(self.augment(fake)))}

    def g_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg, image = self.cfg, batch.a
        cells = self.mask.cells(image)
        fake = masked(image, self.transform(image), self.mask.spread(cells))
        losses = {
            "gan": steered(wasserstein_g(self.critic(self.augment(fake))), fake, cfg.gan_push),
            # The metric is the present critic's: it moves with every critic step.
            "perceptual": cfg.lambda_perceptual * energy(self.critic.features(fake), self.critic.features(image)),
            "ratio": cfg.lambda_ratio * cells[0].numel() * (cells.mean() - cfg.ratio).abs(),
        }
        if self.identity is not None:
            losses["identity"] = cfg.lambda_identity * energy(self.identity(fake), self.identity(image))
        if self.denoiser is not None:
            noise = energy(self.denoiser(fake))
            losses["noise"] = (0.3 * noise.detach() - 6).clamp_min(0.1) * noise
        return losses

    def cycle_losses(self, batch: TwoImages, _: Clock) -> Losses:
        there = energy(self.back(self.translate(batch.a)), batch.a)
        return {"a": self.cfg.lambda_cycle * there,
                "b": self.cfg.lambda_cycle * energy(self.translate(self.back(batch.b)), batch.b)}  # fmt: skip

    def enhance_losses(self, batch: TwoImages, _: Clock) -> Losses:
        with torch.no_grad():  # the first stage is done: a target image as it would make it
            rough = self.translate(self.back(batch.b))
        better = self.enhancer(rough)
        features = energy(self.critic.features(better), self.critic.features(batch.b))
        return {"image": energy(better, batch.b), "perceptual": self.cfg.lambda_perceptual * features}

    def translate(self, image: Tensor) -> Tensor:
        """The first stage."""
        return masked(image, self.transform(image), self.mask(image))

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        return RMSprop(network.parameters(), cfg.lr, cfg.decay, weight_decay=cfg.weight_decay)

    def deployables(self) -> dict[str, Deployable]:
        first, channels = MaskedTransform(self.transform, self.mask), self.cfg.channels
        # The threshold flips whole cells of the mask under the noise of eight bits.
        decisions = (("batch norm", "running statistics"), ("keep in FP16", "mask"))
        parts = {"generator": Deployable(first, channels, multiple=MULTIPLE, decisions=decisions)}
        if self.cfg.enhance:
            both, controls = Enhanced(first, self.enhancer), (SWITCH,)
            parts["enhanced"] = Deployable(both, channels, controls, multiple=MULTIPLE, decisions=decisions)
            parts["enhancer"] = Deployable(self.enhancer, channels, multiple=MULTIPLE, decisions=decisions[:1])
        return parts

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        image = batch.a
        mask, fake = self.mask(image), self.translate(image)
        shown = {"mask": (2 * mask - 1).expand_as(image), "transform": self.transform(image), "a → b": fake}
        return {"a": image, **shown, "enhanced": self.enhancer(fake), "b": batch.b}


def energy(x: Tensor, y: Tensor | float = 0.0) -> Tensor:
    """½ ‖x - y‖² of each sample, averaged over the batch: the scale that the authors' weights go with."""
    return 0.5 * (x - y).square().sum() / len(x)


def steered(loss: Tensor, image: Tensor, push: float) -> Tensor:
    """The loss, its gradient on the image (N, C, H, W) scaled to a mean magnitude of push / N."""
    (gradient,) = torch.autograd.grad(loss, image, retain_graph=True)
    scale = push * image[0].numel() / gradient.abs().sum().clamp_min(1e-12)
    return loss.detach() + ((image - image.detach()) * (gradient * scale)).sum()
