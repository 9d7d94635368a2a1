"""StarGAN: one generator for many domains and for several data sets; a label vector says what an image shall become.

Paper: Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation", CVPR
2018.
Differs from the paper: in joint training a batch holds samples of both data sets in turn and the losses are means over
it, where the released code makes one whole step per data set. Instance norms take the statistics of the image always;
the code tracks running ones that its own test never uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from models.blocks.tile import with_vector
from models.data.batches import LabelledBy
from models.errors import ConfigError
from models.losses.adversarial import wasserstein_d, wasserstein_g
from models.losses.gradient_penalty import gradient_penalty
from models.networks.classifying_critic import ClassifyingCritic
from models.schedules import linear_decay
from models.system import Clock, Control, Deployable, Losses, Phase, System, every


@dataclass(frozen=True)
class Config:
    """Paper settings on CelebA at 128×128; with `domains` too, its joint training with a set of class folders."""

    attributes: tuple[str, ...] = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
    domains: tuple[str, ...] = ()
    size: int = 128
    load_size: int = 0
    channels: int = 3
    width: int = 64
    blocks: int = 6
    critic_width: int = 64
    critic_layers: int = 6
    lambda_class: float = 1.0
    lambda_cycle: float = 10.0
    lambda_gp: float = 10.0
    n_critic: int = 5
    lr: float = 1e-4
    beta1: float = 0.5
    constant: float = 0.5  # share of training before the learning rate decays


def label_sets(cfg: Config) -> list[tuple[str, ...]]:
    """The names of each data set's labels, in the order of the label vector."""
    return [names for names in (cfg.attributes, cfg.domains) if names]


def label_width(cfg: Config) -> int:
    """Of the unified label: the labels of all sets and, where there are two, the mask that says which is known."""
    sets = label_sets(cfg)
    return sum(map(len, sets)) + (len(sets) if len(sets) > 1 else 0)


class LabelGenerator(nn.Module):
    """image (N, C, H, W), unified label (N, label_width) → image in [-1, 1]; H and W multiples of 4.

    Zero padding throughout: under reflection a label is a constant map, which instance norm removes without a trace.
    """

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        width, deep = cfg.width, 4 * cfg.width
        self.layers = nn.Sequential(
            *_normed(nn.Conv2d(cfg.channels + label_width(cfg), width, 7, 1, 3, bias=False)), nn.ReLU(),
            *_normed(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)), nn.ReLU(),
            *_normed(nn.Conv2d(2 * width, deep, 4, 2, 1, bias=False)), nn.ReLU(),
            *(AffineResidual(deep) for _ in range(cfg.blocks)),
            *_normed(nn.ConvTranspose2d(deep, 2 * width, 4, 2, 1, bias=False)), nn.ReLU(),
            *_normed(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False)), nn.ReLU(),
            nn.Conv2d(width, cfg.channels, 7, 1, 3, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        translated: Tensor = self.layers(with_vector(image, label))
        return translated


def _normed(conv: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [conv, nn.InstanceNorm2d(conv.out_channels, affine=True)]


class AffineResidual(nn.Module):
    """x + norm(conv(ReLU(norm(conv(x))))), zero padding, learned scales. (N, C, H, W) → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_normed(nn.Conv2d(channels, channels, 3, padding=1, bias=False)), nn.ReLU(),
            *_normed(nn.Conv2d(channels, channels, 3, padding=1, bias=False)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


class OneSetsLabel(nn.Module):
    """What ships: image, label of one data set (N, K) → image; the labels of the other set are unknown, 0."""

    def __init__(self, generator: nn.Module, before: int, after: tuple[float, ...]) -> None:
        super().__init__()
        self.generator = generator
        self.before, self.after = before, after

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        label = F.pad(label, (self.before, 0))
        after = label.new_tensor(self.after).expand(len(label), -1)
        translated: Tensor = self.generator(image, torch.cat([label, after], dim=1))
        return translated


class StarGan(System):
    """generator: (image, label) → image; critic: image → (scores, class logits)."""

    config = Config
    data = "labelled_sets"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if not label_sets(cfg):
            raise ConfigError("StarGAN needs labels: attributes of an attribute list, or domains = class folders")
        self.generator = LabelGenerator(cfg)
        self.critic = ClassifyingCritic(
            cfg.channels, cfg.size, cfg.critic_width, cfg.critic_layers, sum(map(len, label_sets(cfg)))
        )

    def phases(self) -> list[Phase]:
        return [
            Phase("D", (self.critic,), self.d_losses),
            Phase("G", (self.generator,), self.g_losses, when=every(self.cfg.n_critic)),
        ]

    def d_losses(self, batch: LabelledBy, _: Clock) -> Losses:
        with torch.no_grad():
            fake = self.augment(self.generator(batch.image, self.unified(batch.target, batch.source)))
        real = self.augment(batch.image)
        score, classes = self.critic(real)
        return {
            "gan": wasserstein_d(score, self.critic(fake)[0]),
            "gp": self.cfg.lambda_gp * gradient_penalty(lambda image: self.critic(image)[0], real, fake),
            "class": self.cfg.lambda_class * self.class_loss(classes, batch.label, batch.source),
        }

    def g_losses(self, batch: LabelledBy, _: Clock) -> Losses:
        fake = self.generator(batch.image, self.unified(batch.target, batch.source))
        score, classes = self.critic(self.augment(fake))
        back = self.generator(fake, self.unified(batch.label, batch.source))
        return {
            "gan": wasserstein_g(score),
            "class": self.cfg.lambda_class * self.class_loss(classes, batch.target, batch.source),
            "cycle": self.cfg.lambda_cycle * F.l1_loss(back, batch.image),
        }

    def unified(self, label: Tensor, source: Tensor) -> Tensor:
        """(N, labels), (N,) → (N, label_width): with two data sets the one-hot mask of the known one is appended."""
        sets = len(label_sets(self.cfg))
        return torch.cat([label, F.one_hot(source, sets).to(label.dtype)], dim=1) if sets > 1 else label

    def class_loss(self, logits: Tensor, label: Tensor, source: Tensor) -> Tensor:
        """Mean over the batch of each sample's loss on the logits of its own data set.

        Attributes: binary cross-entropies, summed. Classes: cross-entropy.
        """
        first = len(self.cfg.attributes)
        losses = []
        if self.cfg.attributes:
            each = F.binary_cross_entropy_with_logits(logits[:, :first], label[:, :first], reduction="none")
            losses.append(each.sum(dim=1))
        if self.cfg.domains:
            losses.append(F.cross_entropy(logits[:, first:], label[:, first:], reduction="none"))
        own = F.one_hot(source, len(losses)).bool()
        return torch.stack(losses, dim=1)[own].mean()

    def optimizer(self, network: nn.Module) -> Optimizer:
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def learning_rate(self, network: nn.Module, clock: Clock) -> float:
        return linear_decay(clock, self.cfg.constant)

    def deployables(self) -> dict[str, Deployable]:
        cfg, parts, before = self.cfg, {}, 0
        sets = label_sets(cfg)
        for k, names in enumerate(sets):
            mask = tuple(float(k == other) for other in range(len(sets))) if len(sets) > 1 else ()
            after = (0.0,) * (sum(map(len, sets)) - before - len(names)) + mask
            default = (1.0,) + (0.0,) * (len(names) - 1)
            label = Control("label", "label", (1, len(names)), 0.0, 1.0, default, names)
            name = "attributes" if names is cfg.attributes else "domains"
            module = OneSetsLabel(self.generator, before, after) if len(sets) > 1 else self.generator
            decisions = (("instance norm", "statistics of the image"),)
            parts[name] = Deployable(module, cfg.channels, (label,), multiple=4, decisions=decisions)
            before += len(names)
        return parts

    @torch.no_grad()
    def samples(self, batch: LabelledBy) -> dict[str, Tensor]:
        rows = {"image": batch.image}
        for name, part in self.deployables().items():
            for k, label in enumerate(part.controls[0].names):
                wanted = F.one_hot(torch.tensor(k), len(part.controls[0].names)).to(batch.image)
                rows[f"{label} ({name})"] = part.module(batch.image, wanted.expand(len(batch), -1))
        return rows
