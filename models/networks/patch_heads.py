"""Features of an encoder's layers at random positions, projected to unit vectors: CUT's network F (and NEGCUT's)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def tapped(layers: Iterable[nn.Module], x: Tensor, taps: Sequence[int]) -> list[Tensor]:
    """What the layers of these indices put out; the layers behind the last one do not run."""
    features = []
    for index, layer in enumerate(layers):
        x = layer(x)
        if index in taps:
            features.append(x)
        if index == max(taps):
            break
    return features


def draw_positions(features: Sequence[Tensor], count: int) -> list[Tensor]:
    """Up to `count` random positions of each feature map, without repetition."""
    return [torch.randperm(f[0, 0].numel(), device=f.device)[:count] for f in features]


class PatchHeads(nn.Module):
    """One two-layer MLP per feature map; has no parameters until `build` has seen the maps."""

    def __init__(self, dim: int = 256) -> None:
        super().__init__()
        self.dim = dim
        self.heads = nn.ModuleList()

    def build(self, features: Sequence[Tensor]) -> None:
        """Make the heads for such feature maps."""
        for channels in (f.shape[1] for f in features):
            self.heads.append(
                nn.Sequential(nn.Linear(channels, self.dim), nn.ReLU(), nn.Linear(self.dim, self.dim))
            )

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """(N, C, H, W) maps and (P) positions → (N, P, dim) unit vectors, per map."""
        vectors = [
            head(f.flatten(2)[:, :, place].mT) for head, f, place in zip(self.heads, features, positions, strict=True)
        ]
        return [F.normalize(v, dim=2) for v in vectors]
