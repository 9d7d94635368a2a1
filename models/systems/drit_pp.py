"""DRIT++ between many domains: DRIT with mode seeking, one network of each kind, and the domain as a label.

Paper: Lee et al., "DRIT++: Diverse Image-to-Image Translation via Disentangled Representations", IJCV 2020.
Differs from the paper: the details of its multi-domain form could not be verified. Here images and references swap
attributes as DRIT's two domains do, the class terms weigh 5 for the generator and 1 for the critics, as in a public
descendant, and the content critic names the domain, which the encoder answers with a uniform distribution. The
two-domain form is DRIT with mode seeking: the recipe msgan_drit.toml.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.gaussian_noise import GaussianNoise
from models.blocks.tile import with_vector
from models.data.batches import DomainImages
from models.networks.classifying_critic import ClassifyingCritic
from models.networks.disentangled import MeanAttribute, content_path
from models.networks.resnet import ResidualBlock
from models.system import Clock, Control, Deployable, Losses
from models.systems import drit
from models.systems.drit import Attribute, Drit, Side, attribute_encoder, decoder, encoded


@dataclass(frozen=True)
class Config(drit.Config):
    """Settings for three domains at 256×256."""

    domains: tuple[str, ...] = ("cat", "dog", "wild")
    size: int = 256
    load_size: int = 286
    critic_layers: int = 6
    lambda_class: float = 5.0  # of translations, for the generator
    lambda_class_critic: float = 1.0  # of real images, for the critics
    lambda_mode_seeking: float = 1.0


class LabelledEncoder(nn.Module):
    """image, domain one-hot (N, K) → content, which must not tell the domain: the label is not looked at."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        path = content_path(cfg.channels, cfg.width, cfg.blocks)
        self.layers = nn.Sequential(path, ResidualBlock(4 * cfg.width), GaussianNoise())

    def forward(self, image: Tensor, _: Tensor) -> Tensor:
        content: Tensor = self.layers(image)
        return content


class LabelledAttribute(nn.Module):
    """image, domain one-hot (N, K) → what DRIT's attribute encoder says."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.encoder = attribute_encoder(replace(cfg, channels=cfg.channels + len(cfg.domains)))

    def forward(self, image: Tensor, domain: Tensor) -> Any:
        return self.encoder(with_vector(image, domain))


class LabelledDecoder(nn.Module):
    """content, z, domain one-hot (N, K) → image; the label stands beside z."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.shared = ResidualBlock(4 * cfg.width) if cfg.concat else nn.Identity()
        self.decoder = decoder(cfg, cfg.latent + len(cfg.domains))

    def forward(self, content: Tensor, z: Tensor, domain: Tensor) -> Tensor:
        image: Tensor = self.decoder(self.shared(content), torch.cat([z, domain], dim=1))
        return image


class LabelledRoute(nn.Module):
    """What ships: image, z, domain → image."""

    def __init__(self, encoder: LabelledEncoder, generator: LabelledDecoder) -> None:
        super().__init__()
        self.encoder, self.generator = encoder.layers, generator

    def forward(self, image: Tensor, z: Tensor, domain: Tensor) -> Tensor:
        translated: Tensor = self.generator(self.encoder(image), z, domain)
        return translated


class DritPlusPlus(Drit):
    """content, attribute and generator of all domains; critics of encoded and of random z that also name the domain."""

    config = Config
    data = "domains"

    def build_networks(self, cfg: Config) -> None:  # type: ignore[override]
        self.content, self.attribute = LabelledEncoder(cfg), LabelledAttribute(cfg)  # type: ignore[assignment]
        self.generator = LabelledDecoder(cfg)  # type: ignore[assignment]
        self.critics = nn.ModuleDict({
            name: ClassifyingCritic(cfg.channels, cfg.size, cfg.critic_width, cfg.critic_layers, len(cfg.domains))
            for name in ("encoded", "random")
        })  # fmt: skip

    def content_classes(self) -> int:
        return len(self.cfg.domains)

    def sides(self, batch: DomainImages) -> tuple[Side, Side]:
        count = len(self.cfg.domains)
        source, target = (F.one_hot(domain, count).to(batch.image.dtype) for domain in (batch.domain, batch.target))
        return (batch.image, source), (batch.reference, target)

    def encode(self, image: Tensor, domain: Tensor) -> Attribute:
        return encoded(self.attribute(image, domain), self.cfg.concat)

    def judge(self, image: Tensor, domain: Tensor, random: bool) -> list[Tensor]:
        return [self.critics["random" if random else "encoded"](self.augment(image))[0]]

    def tell_domains(self, logits: list[Tensor], sides: tuple[Side, Side]) -> Tensor:
        pairs = zip(logits, sides, strict=True)
        return torch.stack([F.cross_entropy(told.mean(dim=(2, 3)), side[1]) for told, side in pairs]).sum()

    def undecided(self, logits: Tensor) -> Tensor:
        return -logits.mean(dim=(2, 3)).log_softmax(dim=1).mean()

    def class_loss(self, image: Tensor, domain: Tensor, random: bool) -> Tensor:
        """Cross-entropy of the class that a critic gives to an image."""
        critic = self.critics["random" if random else "encoded"]
        return F.cross_entropy(critic(self.augment(image))[1], domain)

    def d_losses(self, batch: Any, clock: Clock) -> Losses:
        named = [self.class_loss(*side, random) for side in self.sides(batch) for random in (False, True)]
        total = self.cfg.lambda_class_critic * torch.stack(named).sum()
        return super().d_losses(batch, clock) | {"class": total}

    def translated_losses(self, losses: Losses, fakes: tuple[tuple[Tensor, Tensor], bool], batch: Any) -> Losses:
        """The losses and the class of both sides' translations."""
        images, random = fakes
        sides = self.sides(batch)
        named = [self.class_loss(image, side[1], random) for image, side in zip(images, sides, strict=True)]
        return losses | {"class": self.cfg.lambda_class * torch.stack(named).sum()}

    def eg_losses(self, batch: Any, clock: Clock) -> Losses:
        fakes = self.swapped(*self.sides(batch))
        return self.translated_losses(super().eg_losses(batch, clock), (fakes, False), batch)

    def g_losses(self, batch: Any, clock: Clock) -> Losses:
        (fakes, _), *_others = self.randomly(*self.sides(batch))
        return self.translated_losses(super().g_losses(batch, clock), (fakes, True), batch)

    def deployables(self) -> dict[str, Deployable]:
        cfg, one = self.cfg, (1.0,) + (0.0,) * (len(self.cfg.domains) - 1)
        z = Control("z", "noise", (1, cfg.latent), distribution="normal", companion="attribute")
        domain = Control("domain", "label", (1, len(cfg.domains)), 0.0, 1.0, one, cfg.domains)
        route = LabelledRoute(self.content, self.generator)  # type: ignore[arg-type]
        mean = MeanAttribute(self.attribute, cfg.concat)
        return {
            "generator": Deployable(route, cfg.channels, (z, domain), multiple=4),
            "attribute": Deployable(mean, cfg.channels, (domain,), ("style",), multiple=4),
        }

    @torch.no_grad()
    def samples(self, batch: Any) -> dict[str, Tensor]:
        first, second = self.sides(batch)
        rows = {"image": first[0], "reference": second[0], "by reference": self.swapped(first, second)[1]}
        return rows | {"by noise": self.randomly(first, second)[0][0][1]}
