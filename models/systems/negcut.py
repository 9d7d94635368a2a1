"""NEGCUT: CUT whose negatives are made by an adversary, harder and harder instead of drawn from the image.

Paper: Wang et al., "Instance-wise Hard Negative Example Generation for Contrastive Learning in Unpaired
Image-to-Image Translation", ICCV 2021.
Differs from the paper: nothing with the defaults; the alternatives of the authors' code (a learned table of negatives,
a convolutional generator of them) are not here. FastCUT's settings make FastNEGCUT.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.init import init_xavier
from models.data.batches import TwoImages
from models.losses.contrastive import nce_against
from models.networks.patch_heads import PatchHeads
from models.system import Clock, Losses, Phase
from models.systems import cut


@dataclass(frozen=True)
class Config(cut.Config):
    """Paper settings: CUT's, and the adversary's."""

    negatives: int = 256  # of each image and layer
    noise_dim: int = 64
    lambda_diversity: float = 1.0
    heads_decay: float = 0.9  # of the averaged heads


class NegativeMaker(nn.Module):
    """Mean feature (N, dim) of each layer → (N, count, dim) unit vectors, from as many draws of noise."""

    def __init__(self, layers: int, dim: int, noise_dim: int, count: int) -> None:
        super().__init__()
        self.noise_dim, self.count = noise_dim, count
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(dim + noise_dim, dim), nn.ReLU(), nn.Linear(dim, dim)) for _ in range(layers)
        )

    def forward(self, means: list[Tensor]) -> list[Tensor]:
        return [
            F.normalize(layer(self.with_noise(mean)), dim=2) for layer, mean in zip(self.layers, means, strict=True)
        ]

    def with_noise(self, mean: Tensor) -> Tensor:
        """(N, dim) → (N, count, dim + noise_dim)."""
        noise = torch.randn(len(mean), self.count, self.noise_dim, device=mean.device)
        return torch.cat([mean[:, None].expand(-1, self.count, -1), noise], dim=2)


class NegCut(cut.Cut):
    """CUT's networks; maker (the paper's N) makes negatives from averaged_heads' view of the input."""

    config = Config

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.averaged_heads = PatchHeads(cfg.head_dim)
        self.maker = NegativeMaker(len(cfg.nce_layers), cfg.head_dim, cfg.noise_dim, cfg.negatives)
        init_xavier(self.maker)

    @torch.no_grad()
    def prepare(self, batch: TwoImages) -> None:
        super().prepare(batch)
        self.averaged_heads.build(self.encode(batch.a[:1]))
        self.averaged_heads.load_state_dict(self.heads.state_dict())
        as_buffers(self.averaged_heads)

    def phases(self) -> list[Phase]:
        return [
            Phase("D", (self.critic,), self.d_losses),
            Phase("N", (self.maker,), self.n_losses),
            Phase("G", (self.generator, self.heads), self.g_losses, after=self.average_heads),
        ]

    @torch.no_grad()
    def average_heads(self) -> None:
        """averaged ← 0.9 · averaged + 0.1 · heads."""
        for average, present in zip(self.averaged_heads.buffers(), self.heads.parameters(), strict=True):
            average.lerp_(present, 1 - self.cfg.heads_decay)

    def n_losses(self, batch: TwoImages, _: Clock) -> Losses:
        cfg = self.cfg
        images = [batch.a, batch.b] if cfg.nce_identity else [batch.a]
        contrasts, spreads = [], []
        for image in images:
            with torch.no_grad():
                queries, keys = self.projected(image, self.translate(image, flip=False))
            negatives = self.maker(self.means(image))
            contrasts.append(self.contrast(queries, keys, negatives))
            spreads.append(diversity(negatives))
        return {
            "nce": -torch.stack(contrasts).mean(),  # ascent: negatives that the query is mistaken for
            "diversity": -cfg.lambda_diversity * torch.stack(spreads).mean(),
        }

    def nce(self, image: Tensor, fake: Tensor, flip: bool = False) -> Tensor:
        """CUT's patch loss with made negatives only."""
        with torch.no_grad():
            negatives = self.maker(self.means(image))
        return self.contrast(*self.projected(image, fake, flip), negatives)

    def contrast(self, queries: list[Tensor], keys: list[Tensor], negatives: list[Tensor]) -> Tensor:
        """Mean over the layers."""
        sets = zip(queries, keys, negatives, strict=True)
        return torch.stack([nce_against(*vectors, self.cfg.temperature) for vectors in sets]).mean()

    def means(self, image: Tensor) -> list[Tensor]:
        """(N, head_dim) per layer: the averaged heads' vectors of the image, averaged over all its positions."""
        features = self.encode(image)
        everywhere = [torch.arange(f[0, 0].numel(), device=f.device) for f in features]
        return [vectors.mean(dim=1).detach() for vectors in self.averaged_heads(features, everywhere)]


def as_buffers(network: nn.Module) -> None:
    """Turn parameters into buffers: an average follows the network that it is of, and no phase trains it."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())


def diversity(negatives: list[Tensor]) -> Tensor:
    """Mean distance between the two halves of the draws, over all layers: 0 when noise changes nothing."""
    halves = [layer.chunk(2, dim=1) for layer in negatives]
    return torch.stack([(one - other).abs().mean() for one, other in halves]).mean()
