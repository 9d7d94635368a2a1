"""Adversarial losses on logits. `d` sees real and fake logits and is not halved; `g` sees fake logits.

Logits may be a map (PatchGAN); losses are means over all elements. A game's name may say what the critic takes for real
where its labels are smoothed: "vanilla:0.9" (Salimans et al., NIPS 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import ConfigError
from models.losses.verdicts import judged


@dataclass(frozen=True)
class Adversarial:
    """The two sides of one game."""

    d: Callable[[Tensor, Tensor], Tensor]  # (real logits, fake logits) -> scalar
    g: Callable[[Tensor], Tensor]  # fake logits -> scalar


@judged(boundary=0.5)
def lsgan_d(real: Tensor, fake: Tensor) -> Tensor:
    """(D(x) - 1)² + D(G)² (Mao et al., ICCV 2017)."""
    return (real - 1).square().mean() + fake.square().mean()


def lsgan_g(fake: Tensor) -> Tensor:
    """(D(G) - 1)²."""
    return (fake - 1).square().mean()


@judged(boundary=0.0)
def pearson_d(real: Tensor, fake: Tensor) -> Tensor:
    """(D(x) - 1)² + (D(G) + 1)²: labels one unit to either side of the generator's aim (Mao et al., ICCV 2017)."""
    return (real - 1).square().mean() + (fake + 1).square().mean()


def pearson_g(fake: Tensor) -> Tensor:
    """D(G)²: with the best critic of `pearson_d` it is Pearson's χ² divergence."""
    return fake.square().mean()


@judged(boundary=0.0)
def nonsaturating_d(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of the critic: -log σ(real) - log(1 - σ(fake)) (Goodfellow et al., NIPS 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def nonsaturating_g(fake: Tensor) -> Tensor:
    """-log σ(fake): the generator's loss used in practice."""
    return F.softplus(-fake).mean()


def saturating_g(fake: Tensor) -> Tensor:
    """log(1 - σ(fake)): the generator's side of the minimax game."""
    return -F.softplus(fake).mean()


@judged(boundary=0.0)
def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """Push real logits above +1 and fake ones below -1 (Lim & Ye 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


@judged(boundary=None)
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


def smoothed(name: str, label: float) -> Adversarial:
    """A game of labels whose critic aims at `label` for real images instead of at 1; the other labels stay."""

    def vanilla(real: Tensor, fake: Tensor) -> Tensor:
        return nonsaturating_d(real, fake) + (1 - label) * real.mean()  # softplus(x) = softplus(-x) + x

    @judged(boundary=label / 2)
    def lsgan(real: Tensor, fake: Tensor) -> Tensor:
        return (real - label).square().mean() + fake.square().mean()

    sides = {"vanilla": vanilla, "saturating": vanilla, "lsgan": lsgan}
    if name not in sides or not 0.5 < label <= 1:
        raise ConfigError(f"gan = \"{name}:{label:g}\": labels in (0.5, 1] can be given to {', '.join(sides)}")
    return Adversarial(sides[name], ADVERSARIAL[name].g)


def adversarial(name: str) -> Adversarial:
    """The game of a name; raises ConfigError with the list of names."""
    stem, colon, label = name.partition(":")
    if stem not in ADVERSARIAL:
        raise ConfigError(f"there is no gan = {name!r}; there are {', '.join(ADVERSARIAL)}")
    if not colon:
        return ADVERSARIAL[stem]
    try:
        return smoothed(stem, float(label))
    except ValueError:
        raise ConfigError(f"gan = {name!r}: behind the colon stands real images' label, as in lsgan:0.9") from None


def d_over_scales(game: Adversarial, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """The critic's side, summed over the maps of a multi-scale critic."""
    return torch.stack([game.d(*logits) for logits in zip(real, fake, strict=True)]).sum()


def g_over_scales(game: Adversarial, fake: Sequence[Tensor]) -> Tensor:
    """The generator's side, summed over the maps of a multi-scale critic."""
    return torch.stack([game.g(logits) for logits in fake]).sum()
