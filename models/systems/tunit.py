"""TUNIT: translation to the look of a reference, between clusters that the guiding network finds by itself; no labels.

Paper: Baek et al., "Rethinking the Truly Unsupervised Image-to-Image Translation", ICCV 2021.
Differs from the paper: unsupervised only, since the labelled forms are other systems' business. The queue of styles is
filled once and kept, where the released trainer starts it anew at each of its epochs by accident. The averages of the
generator start with the run instead of an epoch after the GAN. The published run is 6.4 million images of 128 px.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer, RMSprop

from models.augment.views import random_view
from models.blocks.frn import FilterResponseNorm
from models.blocks.init import init_kaiming
from models.blocks.preactivation import SLOPE, PreActBlock
from models.data.batches import OneImage
from models.errors import ConfigError
from models.losses.adversarial import hinge_d, wasserstein_g
from models.losses.clustering import instance_contrast, mutual_information
from models.losses.gradient_penalty import r1
from models.networks.content_style import Restyle, StyleDecoder, content_encoder
from models.system import Clock, Control, Deployable, Losses, Phase, System

VGG11 = (64, 128, 256, 256, 512, 512, 512, 512)  # times width / 64
POOLED = (0, 1, 3, 5, 7)  # convolutions that a max-pool follows
SHARE = 0.1  # of the residual in the generator's blocks


@dataclass(frozen=True)
class Config:
    """Paper settings at 128×128."""

    size: int = 128
    load_size: int = 128
    channels: int = 3
    clusters: int = 10
    width: int = 64  # of generator and critic at full resolution; from 256 px on: 32
    max_width: int = 1024  # of the critic
    guide_width: int = 64
    blocks: int = 2
    style_dim: int = 128
    mapping_width: int = 256
    queue: int = 1024
    temperature: float = 0.07
    warm_up: float = 0.325  # share of training for the guiding network alone: 65 of 200 epochs
    lambda_clusters: float = 5.0
    lambda_moco: float = 1.0
    guide_after: float = 0.1  # factor on the guiding network's own losses after the warm-up
    lambda_gp: float = 10.0
    lambda_image: float = 0.1
    lambda_style: float = 0.01
    average: float = 0.999  # of the guiding network that makes the contrastive losses' keys
    lr: float = 1e-4
    weight_decay: float = 1e-4
    weight_decay_guide: float = 1e-3


def downs(cfg: Config) -> int:
    """Of the content encoder, to 16 px."""
    return cfg.size.bit_length() - 5


class GuidingNetwork(nn.Module):
    """image (N, C, H, W) → cluster logits (N, K), style (N, style_dim), not of unit length; VGG11 with batch norm."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = cfg.channels
        for depth, outer in enumerate(max(1, w * cfg.guide_width // 64) for w in VGG11):
            layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if depth in POOLED else []
            inner = outer
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.clusters, self.style = nn.Linear(inner, cfg.clusters), nn.Linear(inner, cfg.style_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(image)
        return self.clusters(features), self.style(features)


class ClusterCritic(nn.Module):
    """image (N, C, size, size), cluster (N,) → (N) logits of that cluster's output; two blocks per level."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        sides = [min(cfg.width << k, cfg.max_width) for k in range(cfg.size.bit_length() - 2)]
        layers: list[nn.Module] = [nn.Conv2d(cfg.channels, sides[0], 3, padding=1)]
        for inner, outer in pairwise(sides):
            layers += [PreActBlock(inner, inner, normalise=True, norm=FilterResponseNorm)]
            layers += [PreActBlock(inner, outer, normalise=True, norm=FilterResponseNorm, down=True)]
        self.trunk = nn.Sequential(
            *layers, nn.LeakyReLU(SLOPE), nn.Conv2d(sides[-1], sides[-1], 4), nn.LeakyReLU(SLOPE)
        )  # fmt: skip
        self.head = nn.Conv2d(sides[-1], cfg.clusters, 1)

    def forward(self, image: Tensor, cluster: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(image)).flatten(1)
        return (logits * F.one_hot(cluster, logits.shape[1])).sum(dim=1)


class GuideHead(nn.Module):
    """What ships of the guiding network: image → style, or its cluster."""

    def __init__(self, guide: GuidingNetwork, head: nn.Module) -> None:
        super().__init__()
        self.features, self.head = guide.features, head

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.head(self.features(image))
        return output


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy whose weights are buffers: no optimiser may have them."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        for name, weight in [*module.named_parameters(recurse=False)]:
            delattr(module, name)
            module.register_buffer(name, weight.detach().clone())
    return copied


class Tunit(System):
    """guide finds clusters and styles; generator gives a content a style; critic has one output per cluster."""

    config = Config
    data = "images"
    queue: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.size < 32 or cfg.size & (cfg.size - 1):
            raise ConfigError(f"TUNIT takes images of 32, 64, 128 … px, not size = {cfg.size}")
        self.guide, self.critic = GuidingNetwork(cfg), ClusterCritic(cfg)
        self.generator = Restyle(
            content_encoder(cfg.channels, cfg.width, downs(cfg), cfg.blocks, SHARE),
            StyleDecoder(cfg.channels, cfg.width, downs(cfg), cfg.blocks, (cfg.style_dim, cfg.mapping_width),
                         share=SHARE, styled_ups=True),
        )  # fmt: skip
        init_kaiming(self.generator)
        init_kaiming(self.critic)
        self.key_guide = frozen_copy(self.guide)  # its moving average, which makes keys
        self.register_buffer("queue", F.normalize(torch.randn(cfg.queue, cfg.style_dim), dim=1))

    def phases(self) -> list[Phase]:
        return [
            Phase("C", (self.guide,), self.c_losses, after=self.follow),
            Phase("D", (self.critic,), self.d_losses, self.is_joint),
            Phase("G", (self.generator, self.guide), self.g_losses, self.is_joint),
        ]

    def is_joint(self, clock: Clock) -> bool:
        """Whether the warm-up of the guiding network is over."""
        return clock.fraction >= float(self.cfg.warm_up)

    def c_losses(self, batch: OneImage, clock: Clock) -> Losses:
        """Clusters that other views do not change, styles that single out pictures."""
        cfg = self.cfg
        share = cfg.guide_after if self.is_joint(clock) else 1.0
        view = random_view(batch.image)
        clusters, style = self.guide(batch.image)
        clusters_of_view, _ = self.guide(view)
        keys = self.keys(view)
        contrast = instance_contrast(style, keys, self.queue.clone(), cfg.temperature)
        self.remember(keys)
        return {
            "clusters": share * cfg.lambda_clusters * mutual_information(clusters, clusters_of_view),
            "moco": share * cfg.lambda_moco * contrast,
        }

    @torch.no_grad()
    def keys(self, image: Tensor) -> Tensor:
        """Unit styles (N, style_dim) of the guide's average."""
        return F.normalize(self.key_guide(image)[1].float(), dim=1)

    @torch.no_grad()
    def remember(self, keys: Tensor) -> None:
        """Put the newest keys in front of the queue; the oldest leave."""
        self.queue.copy_(torch.cat([keys, self.queue])[: len(self.queue)])

    @torch.no_grad()
    def follow(self) -> None:
        """Move the guide's average; statistics of batch norm are copied."""
        weights, statistics = dict(self.guide.named_parameters()), dict(self.guide.named_buffers())
        for name, average in self.key_guide.named_buffers():
            if name in weights:
                average.lerp_(weights[name], 1 - self.cfg.average)
            else:
                average.copy_(statistics[name])

    @torch.no_grad()
    def guided(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Pseudo-labels (N,) and styles of images."""
        clusters, style = self.guide(image)
        return clusters.argmax(dim=1), style

    def d_losses(self, batch: OneImage, _: Clock) -> Losses:
        cluster, style = self.guided(batch.image)
        order = torch.randperm(len(cluster), device=cluster.device)  # references are the batch's own images
        with torch.no_grad():
            fake = self.generator(batch.image, style[order])
        real = self.augment(batch.image).detach().requires_grad_()
        real_logits = self.critic(real, cluster)
        # The published penalty is 10 · ‖∇‖², twice r1's half.
        return {
            "gan": hinge_d(real_logits, self.critic(self.augment(fake), cluster[order])),
            "gp": 2 * self.cfg.lambda_gp * r1(real_logits, real),
        }

    def g_losses(self, batch: OneImage, _: Clock) -> Losses:
        cfg, image = self.cfg, batch.image
        clusters, style = self.guide(image)
        cluster = clusters.argmax(dim=1)
        order = torch.randperm(len(cluster), device=cluster.device)
        fake, same = self.generator(image, style[order]), self.generator(image, style)
        contrast = instance_contrast(self.guide(fake)[1], self.keys(image[order]), self.queue, cfg.temperature)
        return {
            "gan": wasserstein_g(self.critic(self.augment(fake), cluster[order])),
            "gan_same": wasserstein_g(self.critic(self.augment(same), cluster)),
            "image": cfg.lambda_image * F.l1_loss(same, image),
            "style": cfg.lambda_style * contrast,
        }

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        if network is self.guide:
            return Adam(network.parameters(), cfg.lr, weight_decay=cfg.weight_decay_guide)
        return RMSprop(network.parameters(), cfg.lr, alpha=0.99, weight_decay=cfg.weight_decay)

    def deployables(self) -> dict[str, Deployable]:
        cfg, names = self.cfg, tuple(f"cluster {k}" for k in range(self.cfg.clusters))
        style = Control("style", "style", (1, cfg.style_dim), companion="style")
        return {
            "generator": Deployable(self.generator, cfg.channels, (style,), multiple=1 << downs(cfg)),
            "style": Deployable(
                GuideHead(self.guide, self.guide.style), cfg.channels, returns=("style",), multiple=32
            ),
            "cluster": Deployable(
                GuideHead(self.guide, self.guide.clusters), cfg.channels, returns=("classes",), names=names, multiple=32
            ),
        }  # fmt: skip

    @torch.no_grad()
    def samples(self, batch: OneImage) -> dict[str, Tensor]:
        style = self.guided(batch.image)[1]
        rows = {"image": batch.image, "same style": self.generator(batch.image, style)}
        return rows | {
            "reference": batch.image.roll(1, 0),
            "in its style": self.generator(batch.image, style.roll(1, 0)),
        }
