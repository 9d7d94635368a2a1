"""Adversarial losses on logits. `d` sees real and fake logits and is not halved; `g` sees fake logits.

Logits may be a map (PatchGAN); losses are means over all elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import ConfigError


@dataclass(frozen=True)
class Adversarial:
    """The two sides of one game."""

    d: Callable[[Tensor, Tensor], Tensor]  # (real logits, fake logits) -> scalar
    g: Callable[[Tensor], Tensor]  # fake logits -> scalar


def lsgan_d(real: Tensor, fake: Tensor) -> Tensor:
    """(D(x) - 1)² + D(G)² (Mao et al., ICCV 2017)."""
    return (real - 1).square().mean() + fake.square().mean()


def lsgan_g(fake: Tensor) -> Tensor:
    """(D(G) - 1)²."""
    return (fake - 1).square().mean()


def pearson_d(real: Tensor, fake: Tensor) -> Tensor:
    """(D(x) - 1)² + (D(G) + 1)²: labels one unit to either side of the generator's aim (Mao et al., ICCV 2017)."""
    return (real - 1).square().mean() + (fake + 1).square().mean()


def pearson_g(fake: Tensor) -> Tensor:
    """D(G)²: with the best critic of `pearson_d` it is Pearson's χ² divergence."""
    return fake.square().mean()


def nonsaturating_d(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of the critic: -log σ(real) - log(1 - σ(fake)) (Goodfellow et al., NIPS 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def nonsaturating_g(fake: Tensor) -> Tensor:
    """-log σ(fake): the generator's loss used in practice."""
    return F.softplus(-fake).mean()


def saturating_g(fake: Tensor) -> Tensor:
    """log(1 - σ(fake)): the generator's side of the minimax game."""
    return -F.softplus(fake).mean()


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """Push real logits above +1 and fake ones below -1 (Lim & Ye 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """E D(G) - E D(x) (Arjovsky et al., ICML 2017)."""
    return fake.mean() - real.mean()


def wasserstein_g(fake: Tensor) -> Tensor:
    """-E D(G); also the generator's side of the hinge game."""
    return -fake.mean()


ADVERSARIAL = {
    "lsgan": Adversarial(lsgan_d, lsgan_g),
    "lsgan_pearson": Adversarial(pearson_d, pearson_g),
    "vanilla": Adversarial(nonsaturating_d, nonsaturating_g),
    "saturating": Adversarial(nonsaturating_d, saturating_g),
    "hinge": Adversarial(hinge_d, wasserstein_g),
    "wasserstein": Adversarial(wasserstein_d, wasserstein_g),
}


def adversarial(name: str) -> Adversarial:
    """The game of a name; raises ConfigError with the list of names."""
    if name not in ADVERSARIAL:
        raise ConfigError(f"there is no gan = {name!r}; there are {', '.join(ADVERSARIAL)}")
    return ADVERSARIAL[name]


def d_over_scales(game: Adversarial, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """The critic's side, summed over the maps of a multi-scale critic."""
    return torch.stack([game.d(*logits) for logits in zip(real, fake, strict=True)]).sum()


def g_over_scales(game: Adversarial, fake: Sequence[Tensor]) -> Tensor:
    """The generator's side, summed over the maps of a multi-scale critic."""
    return torch.stack([game.g(logits) for logits in fake]).sum()
