"""SqueezeNet's averaged features: what FD-SqueezeNet, KID-SqueezeNet and the nearest neighbours are measured in."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.quality.lpips import FEATURES_FILE
from models.networks.pretrained import FrozenFeatures, load_weights, squeezenet_features

SIDE = 128  # px, to which pictures are brought in front of SqueezeNet
TAPS = (4, 7, 9, 12)  # its layers whose averages are read
# RMS of each layer's averages on photographs (cats and dogs): divided by it, all layers have a say in a distance, and
# the kernel of KID sees numbers of about 1, as it does with Inception's features.
SCALES = (2.4, 10.0, 18.0, 7.0)
WIDTHS = (128, 256, 384, 512)
DIMENSIONS = sum(WIDTHS)
BATCH = 32


class Squeeze(nn.Module):
    """SqueezeNet's averaged features with ImageNet's weights; nothing of it is trained.

    Raises:
        ConfigError: the folder `weights` has no SqueezeNet, or another network under its name.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        layers = squeezenet_features()
        load_weights(layers, weights / FEATURES_FILE)
        self.frozen = FrozenFeatures(layers).eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1], RGB or gray → (N, 1280)."""
        found = []
        for batch in torch.split(images, BATCH):
            x = F.interpolate(batch, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(-1, 1)
            x, means = ((x + 1) / 2 - self.frozen.mean) / self.frozen.deviation, []
            for index, layer in enumerate(self.frozen.layers):
                x = layer(x)
                if index in TAPS:
                    means.append(x.mean(dim=(2, 3)))
            found.append(torch.cat(means, dim=1))
        return torch.cat(found)


def evened(features: Tensor) -> Tensor:
    """(N, 1280) of Squeeze → (N, 1280), every layer of about one size: what the distances are taken in."""
    layers = zip(torch.split(features, list(WIDTHS), dim=1), SCALES, strict=True)
    return torch.cat([layer / scale for layer, scale in layers], dim=1)
