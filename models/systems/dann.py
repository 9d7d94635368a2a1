"""DANN: a classifier for images without labels; its features are such that no one can tell the two domains apart.

Paper: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016.
Differs from the paper: per-channel means over the first samples are subtracted, of both domains together, and go with
the classifier. The sizes of the SVHN network are those of the paper's figure, without its dropout; neither could be
checked against the authors' code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

from models.blocks.gradient_reversal import reverse_gradient
from models.data.batches import Adaptation
from models.errors import ConfigError
from models.system import Clock, Deployable, Losses, Phase, System


@dataclass(frozen=True)
class Layout:
    """One of the paper's networks."""

    convolutions: tuple[int, ...]  # channels of the 5×5 convolutions, the first two with a max-pool
    label_hidden: tuple[int, ...]
    domain_hidden: tuple[int, ...]


LAYOUTS = {
    "mnist": Layout((32, 48), (100, 100), (100,)),
    "svhn": Layout((64, 64, 128), (3072, 2048), (1024, 1024)),
}


@dataclass(frozen=True)
class Config:
    """Paper settings for MNIST → MNIST-M."""

    size: int = 28
    load_size: int = 28
    flip: bool = False
    channels: int = 3
    domains: tuple[str, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")  # the classes
    layout: str = "mnist"  # or "svhn"
    shrink: int = 1  # all widths divided by this
    lambda_domain: float = 1.0  # what the reversal rises to; 0 = trained on the source only
    gamma: float = 10.0  # how fast it rises
    lr: float = 0.01
    momentum: float = 0.9


class Dann(System):
    """features: image → vector; classifier: vector → class; domain_head: vector → source or target."""

    config = Config
    data = "adaptation"
    task = "image to class"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if cfg.layout not in LAYOUTS:
            raise ConfigError(f"there is no layout {cfg.layout!r}; there are {', '.join(LAYOUTS)}")
        if cfg.size % 4 or len(cfg.domains) < 2:
            raise ConfigError(
                f"DANN takes sizes of a multiple of 4 px and two classes or more in domains, not size = {cfg.size} and "
                f"{len(cfg.domains)} classes"
            )
        layout, shrink = LAYOUTS[cfg.layout], cfg.shrink
        convolutions = [max(1, width // shrink) for width in layout.convolutions]
        flat = convolutions[-1] * (cfg.size // 4) ** 2
        self.features = Features(cfg.channels, convolutions)
        self.classifier = dense(flat, layout.label_hidden, len(cfg.domains), shrink)
        self.domain_head = dense(flat, layout.domain_hidden, 2, shrink)

    def prepare(self, batch: Adaptation) -> None:
        both = torch.cat([batch.source, batch.target])
        self.features.mean.copy_(both.mean(dim=(0, 2, 3))[:, None, None])

    def phases(self) -> list[Phase]:
        return [Phase("C", (self.features, self.classifier, self.domain_head), self.losses)]

    def losses(self, batch: Adaptation, clock: Clock) -> Losses:
        source, target = self.features(batch.source), self.features(batch.target)
        vectors = torch.cat([source, target])
        belongs = torch.arange(2, device=vectors.device).repeat_interleave(len(source))
        judged = self.domain_head(reverse_gradient(vectors, self.strength(clock)))
        return {
            "class": F.cross_entropy(self.classifier(source), batch.label),
            "domain": F.cross_entropy(judged, belongs),
        }

    def strength(self, clock: Clock) -> float:
        """λ_p: 0 at the start, so that a head which knows nothing yet does not disturb the features."""
        return float(self.cfg.lambda_domain * (2 / (1 + math.exp(-self.cfg.gamma * clock.fraction)) - 1))

    def optimizer(self, network: nn.Module) -> Optimizer:
        return SGD(network.parameters(), self.cfg.lr, self.cfg.momentum)

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return float((1 + 10 * clock.fraction) ** -0.75)

    def deployables(self) -> dict[str, Deployable]:
        cfg = self.cfg
        return {
            "classifier": Deployable(
                nn.Sequential(self.features, self.classifier), cfg.channels, returns=("classes",), names=cfg.domains,
                fixed_size=(cfg.size, cfg.size),
            )
        }  # fmt: skip

    @torch.no_grad()
    def samples(self, batch: Adaptation) -> dict[str, Tensor]:
        """Images of both domains, each bright where, blotted out, it would cost the most of its class's certainty."""
        return {
            "source": batch.source, "what counts": self.what_counts(batch.source),
            "target": batch.target, "what counts there": self.what_counts(batch.target),
        }  # fmt: skip

    def what_counts(self, image: Tensor) -> Tensor:
        """(N, C, H, W) → same in [-1, 1]: loss of the winning logit when a quarter of the side is made gray, scaled."""
        logits, winner = self.classifier(self.features(image)).max(dim=1)
        side = self.cfg.size // 4
        heat = torch.zeros_like(image)
        for top in range(0, self.cfg.size, side):
            for left in range(0, self.cfg.size, side):
                place = (..., slice(top, top + side), slice(left, left + side))
                blotted = image.clone()
                blotted[place] = 0
                lost = logits - self.classifier(self.features(blotted)).gather(1, winner[:, None])[:, 0]
                heat[place] = lost[:, None, None, None]
        highest = heat.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
        return (heat / highest).clamp(0, 1) * 2 - 1


class Features(nn.Module):
    """(N, channels, H, W) in [-1, 1] → (N, widths[-1] · H/4 · W/4)."""

    mean: Tensor

    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        layers: list[nn.Module] = []
        for depth, width in enumerate(widths):
            layers += [nn.Conv2d(channels, width, 5, padding=2), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if depth < 2 else []
            channels = width
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, image: Tensor) -> Tensor:
        vector: Tensor = self.layers(image - self.mean)
        return vector


def dense(inner: int, hidden: tuple[int, ...], outer: int, shrink: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for width in hidden:
        width = max(2, width // shrink)
        layers += [nn.Linear(inner, width), nn.ReLU()]
        inner = width
    return nn.Sequential(*layers, nn.Linear(inner, outer))
