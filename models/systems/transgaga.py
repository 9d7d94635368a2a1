"""TransGaGa: geometry, as landmarks, and appearance, as a code, are translated apart and put together again.

Paper: Wu et al., "TransGaGa: Geometry-Aware Unsupervised Image-to-Image Translation", CVPR 2019.
Differs from the paper: there is no public code; sizes, weights and shares of the stages are ours, for they could not be
verified. Encoders and decoders are DRIT's. Landmarks learn from a warped and recoloured view of each image: its
appearance and the view's landmarks must give the view, and landmarks must move with the warp. Principal components come
from running moments of the second stage, codes are whitened. Styles are compared by Gram matrices of colours and their
differences instead of VGG's features, whose weights cannot be shipped. Heat-maps are estimated at half the size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, Optimizer

from models.augment.views import recoloured
from models.augment.warps import random_warp
from models.blocks.init import init_kaiming, init_normal
from models.blocks.landmarks import rendered, soft_argmax
from models.data.batches import TwoImages
from models.errors import ConfigError
from models.losses.adversarial import adversarial, d_over_scales, g_over_scales
from models.losses.divergence import kl_to_normal, sampled
from models.losses.landmarks import concentration, gram, separation
from models.networks.content_style import style_mlp
from models.networks.disentangled import ConcatDecoder, MeanAttribute, VariationalAttribute, content_path
from models.networks.shape_space import CodeTransformer, GeometryPath, Positions, ShapeSpace, landmark_network
from models.networks.strided_critics import StridedCritics
from models.system import Clock, Control, Deployable, Losses, Phase, System

WAYS = ("ab", "ba")


@dataclass(frozen=True)
class Config:
    """Settings for faces at 256×256."""

    channels: int = 3
    width: int = 64
    blocks: int = 3  # of landmark network, geometry encoder and decoder each
    landmarks: int = 30
    sharpness: float = 8.0  # of heat-maps at the start; flat ones (1) leave all landmarks in the middle for long
    sigma: float = 0.08  # of a landmark's Gaussian, and of what counts as near; half an image's side is 1
    components: int = 16  # of the landmarks of a domain
    latent: int = 8  # of an appearance
    hidden: int = 128  # of both transformers and the critics of codes
    critic_width: int = 64
    critic_scales: int = 3
    gan: str = "lsgan"
    lambda_image: float = 10.0
    lambda_kl: float = 0.01
    lambda_separation: float = 10.0
    lambda_concentration: float = 3.0
    lambda_equivariance: float = 500.0
    lambda_gan: float = 1.0
    lambda_geometry: float = 1.0  # the critics of codes
    lambda_appearance: float = 1.0
    lambda_cycle: float = 10.0
    lambda_appearance_cycle: float = 1.0
    lambda_style: float = 1.0
    stages: tuple[float, ...] = (0.5, 0.55, 0.8)  # share of training at which each stage ends; the last is joint
    moment_rate: float = 0.05  # of the running moments
    lr: float = 2e-4
    beta1: float = 0.5


class Coder(nn.Module):
    """One domain: image → landmarks and appearance → image."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.sigma = cfg.sigma
        self.landmarks = landmark_network(cfg.channels, cfg.width, cfg.blocks, cfg.landmarks)
        self.geometry = content_path(cfg.landmarks, cfg.width, cfg.blocks)
        self.appearance = VariationalAttribute(cfg.channels, cfg.width, cfg.latent)
        self.decoder = ConcatDecoder(cfg.channels, cfg.width, cfg.latent, cfg.blocks)

    @torch.no_grad()
    def sharpen(self, factor: float) -> None:
        """Widen the range of the heat-maps' logits."""
        last = self.landmarks[-1]
        assert isinstance(last, nn.Conv2d)
        last.weight.mul_(factor)

    def positions(self, image: Tensor) -> Tensor:
        """(N, K, 2), as in models/blocks/landmarks.py."""
        return soft_argmax(self.landmarks(image))[0]

    def draw(self, positions: Tensor, appearance: Tensor, like: Tensor) -> Tensor:
        """An image of the size of `like`."""
        maps = rendered(positions, (like.shape[2], like.shape[3]), self.sigma)
        image: Tensor = self.decoder(self.geometry(maps), appearance)
        return image


class Translate(nn.Module):
    """What ships: image[, appearance] → image; without a given appearance its own is translated."""

    def __init__(self, coders: tuple[Coder, Coder], path: GeometryPath, transformer: nn.Module | None) -> None:
        super().__init__()
        own, other = coders
        self.landmarks, self.fp32, self.geometry, self.decoder = own.landmarks, path, other.geometry, other.decoder
        self.appearance = MeanAttribute(own.appearance, True) if transformer else None
        self.transformer = transformer

    def forward(self, image: Tensor, appearance: Tensor | None = None) -> Tensor:
        if self.appearance is not None and self.transformer is not None:
            appearance = self.transformer(self.appearance(image))
        translated: Tensor = self.decoder(self.geometry(self.fp32(self.landmarks(image))), appearance)
        return translated


class Landmarks(nn.Module):
    """What ships beside: image → positions (N, K, 2) of its landmarks."""

    def __init__(self, coder: Coder) -> None:
        super().__init__()
        self.landmarks, self.fp32 = coder.landmarks, Positions()

    def forward(self, image: Tensor) -> Tensor:
        positions: Tensor = self.fp32(self.landmarks(image))
        return positions


class TransGaGa(System):
    """A coder and a shape space for each domain, two transformers for each direction, critics of images and codes."""

    config = Config
    data = "unpaired"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        if len(cfg.stages) != 3 or list(cfg.stages) != sorted(cfg.stages) or cfg.components > 2 * cfg.landmarks:
            raise ConfigError(
                f"stages = {cfg.stages} must be three rising shares of training, and components = {cfg.components} at "
                f"most twice landmarks = {cfg.landmarks}"
            )
        self.coders = nn.ModuleDict({name: Coder(cfg) for name in "ab"})
        self.spaces = nn.ModuleDict({name: ShapeSpace(cfg.landmarks, cfg.components) for name in "ab"})
        self.shapes = nn.ModuleDict({way: CodeTransformer(cfg.components, cfg.hidden) for way in WAYS})
        self.looks = nn.ModuleDict({way: CodeTransformer(cfg.latent, cfg.hidden) for way in WAYS})
        self.critics = nn.ModuleDict({
            name: StridedCritics(cfg.channels, cfg.critic_width, cfg.critic_scales) for name in "ab"
        })  # fmt: skip
        self.shape_critics = nn.ModuleDict({name: style_mlp(cfg.components, cfg.hidden, 1) for name in "ab"})
        self.look_critics = nn.ModuleDict({name: style_mlp(cfg.latent, cfg.hidden, 1) for name in "ab"})
        self.game = adversarial(cfg.gan)
        init_kaiming(self.coders)
        for coder in self.coders.values():
            assert isinstance(coder, Coder)
            coder.sharpen(cfg.sharpness)
            for drawing in (coder.appearance, coder.decoder):
                init_normal(drawing)  # small: where tanh is flat L1 has no gradient, and black stays black
        for network in (self.shapes, self.looks, self.critics, self.shape_critics, self.look_critics):
            init_normal(network)

    def phases(self) -> list[Phase]:
        transformers, critics = (self.shapes, self.looks), (self.critics, self.shape_critics, self.look_critics)
        return [
            Phase("A", (self.coders,), self.a_losses, self.within(0)),
            Phase("P", (self.spaces,), self.p_losses, self.within(1), self.fit),
            Phase("D", critics, self.d_losses, lambda clock: clock.fraction >= self.cfg.stages[1]),
            Phase("T", transformers, self.t_losses, self.within(2)),
            Phase("J", (self.coders, *transformers), self.j_losses, self.within(3)),
        ]

    def within(self, stage: int) -> Callable[[Clock], bool]:
        """Whether training is in a stage, from 0."""
        edges = (0.0, *self.cfg.stages, float("inf"))
        return lambda clock: edges[stage] <= clock.fraction < edges[stage + 1]

    def fit(self) -> None:
        """The principal components of both domains."""
        for space in self.spaces.values():
            space.fit()  # type: ignore[operator]

    def a_losses(self, batch: TwoImages, _: Clock) -> Losses:
        """Both domains' auto-encoders."""
        found = {name: self.auto_encoder_losses(self.coders[name], image) for name, image in self.named(batch)}
        return {f"{loss}_{name}": value for name, losses in found.items() for loss, value in losses.items()}

    def named(self, batch: TwoImages) -> tuple[tuple[str, Tensor], tuple[str, Tensor]]:
        """The images of each domain."""
        return ("a", batch.a), ("b", batch.b)

    def auto_encoder_losses(self, coder: nn.Module, image: Tensor) -> Losses:
        """The appearance of an image and the landmarks of a warped view must give that view."""
        assert isinstance(coder, Coder)
        cfg, warp = self.cfg, random_warp(image)
        view = warp.image(image)
        shown = torch.cat([recoloured(image).clamp(-1, 1), recoloured(view).clamp(-1, 1)])
        positions, variances = soft_argmax(coder.landmarks(shown))
        here, moved = positions.chunk(2)
        mean, log_variance = coder.appearance(image)
        again = coder.draw(moved, sampled(mean, log_variance), view)
        return {
            "image": cfg.lambda_image * F.l1_loss(again, view),
            "kl": cfg.lambda_kl * kl_to_normal(mean, log_variance) / len(image),
            "separation": cfg.lambda_separation * separation(positions, cfg.sigma),
            "concentration": cfg.lambda_concentration * concentration(variances),
            "equivariance": cfg.lambda_equivariance * F.mse_loss(warp.origin(moved), here),
        }

    def p_losses(self, batch: TwoImages, _: Clock) -> Losses:
        """The running moments of both domains' landmarks."""
        with torch.no_grad():
            positions = {name: self.coders[name].positions(image) for name, image in self.named(batch)}  # type: ignore[operator]
        return {name: self.spaces[name].loss(found) for name, found in positions.items()}  # type: ignore[operator]

    def codes(self, name: str, image: Tensor) -> tuple[Tensor, Tensor]:
        """Geometry and appearance of images of a domain, the appearance without noise."""
        coder, space = self.coders[name], self.spaces[name]
        assert isinstance(coder, Coder)
        assert isinstance(space, ShapeSpace)
        return space.encode(coder.positions(image)), coder.appearance(image)[0]

    def moved(self, way: str, codes: tuple[Tensor, Tensor], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of the other domain, and the image that they make."""
        shape, look = self.shapes[way](codes[0]), self.looks[way](codes[1])
        coder, space = self.coders[way[1]], self.spaces[way[1]]
        assert isinstance(coder, Coder)
        assert isinstance(space, ShapeSpace)
        return shape, look, coder.draw(space.decode(shape), look, like)

    def d_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg, images, losses = self.cfg, dict(self.named(batch)), Losses()
        for way in WAYS:
            source, target = images[way[0]], images[way[1]]
            with torch.no_grad():
                shape, look, fake = self.moved(way, self.codes(way[0], source), source)
                real_shape, real_look = self.codes(way[1], target)
            critic, shapes, looks = self.judges(way)
            logits = critic(self.augment(target)), critic(self.augment(fake))
            losses[f"gan_{way}"] = cfg.lambda_gan * d_over_scales(self.game, *logits)
            losses[f"geometry_{way}"] = cfg.lambda_geometry * self.game.d(shapes(real_shape), shapes(shape))
            losses[f"appearance_{way}"] = cfg.lambda_appearance * self.game.d(looks(real_look), looks(look))
        return losses

    def judges(self, way: str) -> tuple[nn.Module, nn.Module, nn.Module]:
        """The critics of what a way leads to: of images, of geometry and of appearance."""
        return self.critics[way[1]], self.shape_critics[way[1]], self.look_critics[way[1]]

    def t_losses(self, batch: TwoImages, _: Clock) -> Losses:
        """What translations of both directions must achieve."""
        cfg, losses = self.cfg, Losses()
        for way, (name, image) in zip(WAYS, self.named(batch), strict=True):
            codes = self.codes(name, image)
            shape, look, fake = self.moved(way, codes, image)
            back = self.moved(way[::-1], self.codes(way[1], fake), image)[2]
            critic, shapes, looks = self.judges(way)
            losses |= {
                f"gan_{way}": cfg.lambda_gan * g_over_scales(self.game, critic(self.augment(fake))),
                f"geometry_{way}": cfg.lambda_geometry * self.game.g(shapes(shape)),
                f"appearance_{way}": cfg.lambda_appearance * self.game.g(looks(look)),
                f"cycle_{way}": cfg.lambda_cycle * F.l1_loss(back, image),
                f"look_cycle_{way}": cfg.lambda_appearance_cycle * F.l1_loss(self.looks[way[::-1]](look), codes[1]),
                f"style_{way}": cfg.lambda_style * F.l1_loss(gram(fake), gram(image)),
            }
        return losses

    def j_losses(self, batch: TwoImages, clock: Clock) -> Losses:
        """Everything, in the joint stage."""
        return self.a_losses(batch, clock) | self.t_losses(batch, clock)

    def optimizer(self, network: nn.Module) -> Optimizer:
        if network is self.spaces:
            return SGD(network.parameters(), self.cfg.moment_rate)
        return Adam(network.parameters(), self.cfg.lr, (self.cfg.beta1, 0.999))

    def deployables(self) -> dict[str, Deployable]:
        cfg, parts, further = self.cfg, {}, {}
        for way in WAYS:
            own, other = self.coders[way[0]], self.coders[way[1]]
            assert isinstance(own, Coder)
            assert isinstance(other, Coder)
            path = GeometryPath(self.spaces[way[0]], self.shapes[way], self.spaces[way[1]], cfg.sigma)  # type: ignore[arg-type]
            look = Control(
                "appearance", "style", (1, cfg.latent), distribution="normal", companion=f"appearance_{way[1]}"
            )
            parts[way] = Deployable(Translate((own, other), path, self.looks[way]), cfg.channels, multiple=4)
            styled = Translate((own, other), path, None)
            further[f"{way}_styled"] = Deployable(styled, cfg.channels, (look,), multiple=4)
            mean = MeanAttribute(own.appearance, True)
            further[f"appearance_{way[0]}"] = Deployable(mean, cfg.channels, returns=("style",), multiple=4)
            further[f"landmarks_{way[0]}"] = Deployable(Landmarks(own), cfg.channels, returns=("tensor",), multiple=4)
        return parts | further

    @torch.no_grad()
    def samples(self, batch: TwoImages) -> dict[str, Tensor]:
        rows: dict[str, Tensor] = {}
        for way, (name, image) in zip(WAYS, self.named(batch), strict=True):
            coder = self.coders[name]
            assert isinstance(coder, Coder)
            positions, codes = coder.positions(image), self.codes(name, image)
            spots = rendered(positions, (image.shape[2], image.shape[3]), 0.03).amax(dim=1, keepdim=True)
            rows |= {name: image, f"{name}, landmarks": torch.lerp(image, torch.ones_like(image), spots)}
            rows |= {f"{name} again": coder.draw(positions, codes[1], image)}
            rows |= {f"{name} → {way[1]}": self.moved(way, codes, image)[2]}
        return rows
