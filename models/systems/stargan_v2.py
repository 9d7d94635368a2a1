"""StarGAN v2: one generator between many domains; a style, of noise or of a reference image, says how the result looks.

Paper: Choi et al., "StarGAN v2: Diverse Image Synthesis for Multiple Domains", CVPR 2020.
Differs from the paper: the form without landmark masks (its AFHQ model, w_hpf = 0); faces with masks would need a
landmark network on the device. Every phase draws its own z, where the released code shares one between D's and G's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.init import init_kaiming
from models.blocks.preactivation import SLOPE, PreActBlock, StyledBlock
from models.data.batches import DomainImages
from models.errors import ConfigError
from models.losses.adversarial import nonsaturating_d, nonsaturating_g
from models.losses.gradient_penalty import r1
from models.system import Clock, Control, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Config:
    """Paper settings on AFHQ at 256×256."""

    domains: tuple[str, ...] = ("cat", "dog", "wild")
    size: int = 256
    load_size: int = 0
    zoom: float = 0.5
    channels: int = 3
    width: int = 64  # at full resolution; twice as many at each halving
    max_width: int = 512
    style_dim: int = 64
    latent: int = 16
    mapping_width: int = 512
    lambda_r1: float = 1.0
    lambda_style: float = 1.0
    lambda_cycle: float = 1.0
    lambda_diversity: float = 2.0  # CelebA-HQ: 1
    diversity_kimg: float = 800.0  # the diversity weight has fallen to 0 here
    lr: float = 1e-4
    lr_mapping: float = 1e-6
    beta2: float = 0.99
    weight_decay: float = 1e-4


# Batch and 0 or 1 → the first or second style of the target domain, (N, style_dim).
StyleSource = Callable[[DomainImages, int], Tensor]


def widths(cfg: Config, halvings: int) -> list[int]:
    """Channels at full resolution and behind each halving."""
    return [min(cfg.width << k, cfg.max_width) for k in range(halvings + 1)]


def selected(per_domain: list[Tensor], domain: Tensor) -> Tensor:
    """Of K tensors (N, D) the one that `domain` (N, K) one-hot names: a sum, since an index would bake N in a graph."""
    return (torch.stack(per_domain, dim=2) * domain[:, None]).sum(dim=2)


def halvings(cfg: Config) -> int:
    """Of the generator, down to 16 px."""
    return cfg.size.bit_length() - 5


class StyledGenerator(nn.Module):
    """image (N, C, H, W), style (N, style_dim) → image of unbounded range; H and W multiples of 2^halvings."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        sides = widths(cfg, halvings(cfg))
        steps, deepest = list(pairwise(sides)), sides[-1]
        self.stem = nn.Conv2d(cfg.channels, sides[0], 3, padding=1)
        self.encoder = nn.Sequential(
            *(PreActBlock(i, o, normalise=True, down=True) for i, o in steps),
            *(PreActBlock(deepest, deepest, normalise=True) for _ in range(2)),
        )
        self.decoder = nn.ModuleList([
            *(StyledBlock(deepest, deepest, cfg.style_dim) for _ in range(2)),
            *(StyledBlock(o, i, cfg.style_dim, up=True) for i, o in reversed(steps)),
        ])  # fmt: skip
        self.head = nn.Sequential(
            nn.InstanceNorm2d(sides[0], affine=True), nn.LeakyReLU(SLOPE), nn.Conv2d(sides[0], cfg.channels, 1)
        )

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        x = self.encoder(self.stem(image))
        for block in self.decoder:
            x = block(x, style)
        translated: Tensor = self.head(x)
        return translated


class MappingNetwork(nn.Module):
    """z (N, latent), domain (N, K) one-hot → style (N, style_dim)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        wide = cfg.mapping_width
        self.shared = nn.Sequential(*_mlp(cfg.latent, wide, 4))
        self.heads = nn.ModuleList(
            nn.Sequential(*_mlp(wide, wide, 3), nn.Linear(wide, cfg.style_dim)) for _ in cfg.domains
        )

    def forward(self, z: Tensor, domain: Tensor) -> Tensor:
        x = self.shared(z)
        return selected([head(x) for head in self.heads], domain)


def _mlp(inner: int, outer: int, layers: int) -> list[nn.Module]:
    sizes = [inner] + [outer] * layers
    return [m for i, o in pairwise(sizes) for m in (nn.Linear(i, o), nn.ReLU())]


def _trunk(cfg: Config) -> nn.Sequential:
    """image (N, C, size, size) → (N, D, 1, 1), without norms: of the style encoder and of the critic."""
    sides = widths(cfg, cfg.size.bit_length() - 3)
    blocks = (PreActBlock(i, o, normalise=False, down=True) for i, o in pairwise(sides))
    return nn.Sequential(
        nn.Conv2d(cfg.channels, sides[0], 3, padding=1), *blocks,
        nn.LeakyReLU(SLOPE), nn.Conv2d(sides[-1], sides[-1], 4), nn.LeakyReLU(SLOPE),
    )  # fmt: skip


class StyleEncoder(nn.Module):
    """reference image (N, C, size, size), domain (N, K) one-hot → style (N, style_dim)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.trunk = _trunk(cfg)
        deepest = widths(cfg, cfg.size.bit_length() - 3)[-1]
        self.heads = nn.ModuleList(nn.Linear(deepest, cfg.style_dim) for _ in cfg.domains)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        x = self.trunk(image).flatten(1)
        return selected([head(x) for head in self.heads], domain)


class DomainCritic(nn.Module):
    """image (N, C, size, size), domain (N, K) one-hot → (N) logits of that domain's output."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.trunk = _trunk(cfg)
        self.head = nn.Conv2d(widths(cfg, cfg.size.bit_length() - 3)[-1], len(cfg.domains), 1)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(image)).flatten(1)
        return (logits * domain).sum(dim=1)


class StarGanV2(System):
    """generator (G), mapping (F), style_encoder (E) and a critic with one output per domain (D)."""

    config = Config
    data = "domains"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.size < 32 or cfg.size & (cfg.size - 1):
            raise ConfigError(f"StarGAN v2 takes images of 32, 64, 128 … px, not size = {cfg.size}")
        self.generator, self.mapping = StyledGenerator(cfg), MappingNetwork(cfg)
        self.style_encoder, self.critic = StyleEncoder(cfg), DomainCritic(cfg)
        init_kaiming(self)

    def phases(self) -> list[Phase]:
        everything = (self.generator, self.mapping, self.style_encoder)
        return [
            Phase("D", (self.critic,), lambda batch, _: self.d_losses(batch, self.drawn_style)),
            Phase("D_ref", (self.critic,), lambda batch, _: self.d_losses(batch, self.reference_style)),
            Phase("G", everything, lambda batch, clock: self.g_losses(batch, clock, self.drawn_style)),
            Phase("G_ref", (self.generator,), lambda batch, clock: self.g_losses(batch, clock, self.reference_style)),
        ]

    def d_losses(self, batch: DomainImages, styles: StyleSource) -> Losses:
        with torch.no_grad():
            fake = self.generator(batch.image, styles(batch, 0))
        real = self.augment(batch.image).detach().requires_grad_()
        real_logits = self.critic(real, self.one_hot(batch.domain))
        fake_logits = self.critic(self.augment(fake), self.one_hot(batch.target))
        return {"gan": nonsaturating_d(real_logits, fake_logits), "r1": self.cfg.lambda_r1 * r1(real_logits, real)}

    def g_losses(self, batch: DomainImages, clock: Clock, styles: StyleSource) -> Losses:
        cfg, source, target = self.cfg, self.one_hot(batch.domain), self.one_hot(batch.target)
        style = styles(batch, 0)
        fake = self.generator(batch.image, style)
        with torch.no_grad():
            other = self.generator(batch.image, styles(batch, 1))
        back = self.generator(fake, self.style_encoder(batch.image, source))
        return {
            "gan": nonsaturating_g(self.critic(self.augment(fake), target)),
            "style": cfg.lambda_style * F.l1_loss(self.style_encoder(fake, target), style),
            "diversity": -self.diversity_weight(clock) * F.l1_loss(fake, other),
            "cycle": cfg.lambda_cycle * F.l1_loss(back, batch.image),
        }

    def diversity_weight(self, clock: Clock) -> float:
        """Linear from λ to 0 at `diversity_kimg`."""
        return float(self.cfg.lambda_diversity * max(0.0, 1.0 - clock.kimg / self.cfg.diversity_kimg))

    def one_hot(self, domain: Tensor) -> Tensor:
        """(N,) → (N, K)."""
        return F.one_hot(domain, len(self.cfg.domains)).float()

    def drawn_style(self, batch: DomainImages, _: int) -> Tensor:
        """A random style of the target domain."""
        z = torch.randn(len(batch), self.cfg.latent, device=batch.image.device)
        style: Tensor = self.mapping(z, self.one_hot(batch.target))
        return style

    def reference_style(self, batch: DomainImages, which: int) -> Tensor:
        """The style of the batch's first or second reference."""
        reference = (batch.reference, batch.reference_2)[which]
        style: Tensor = self.style_encoder(reference, self.one_hot(batch.target))
        return style

    def optimizer(self, network: nn.Module) -> Optimizer:
        cfg = self.cfg
        lr = cfg.lr_mapping if network is self.mapping else cfg.lr
        return Adam(network.parameters(), lr, (0.0, cfg.beta2), weight_decay=cfg.weight_decay)

    def deployables(self) -> dict[str, Deployable]:
        cfg, one = self.cfg, (1.0,) + (0.0,) * (len(self.cfg.domains) - 1)
        style = Control("style", "style", (1, cfg.style_dim), companion="style_encoder", sampler="mapping")
        domain = Control("domain", "label", (1, len(cfg.domains)), 0.0, 1.0, one, cfg.domains)
        z = Control("z", "noise", (1, cfg.latent), distribution="normal")
        fixed = (cfg.size, cfg.size)
        return {
            "generator": Deployable(self.generator, cfg.channels, (style,), multiple=1 << halvings(cfg)),
            "style_encoder": Deployable(self.style_encoder, cfg.channels, (domain,), ("style",), fixed_size=fixed),
            "mapping": Deployable(self.mapping, 0, (z, domain), ("style",)),
        }

    @torch.no_grad()
    def samples(self, batch: DomainImages) -> dict[str, Tensor]:
        by_noise = self.generator(batch.image, self.drawn_style(batch, 0))
        by_reference = self.generator(batch.image, self.reference_style(batch, 0))
        return {"image": batch.image, "by noise": by_noise, "reference": batch.reference, "by reference": by_reference}
