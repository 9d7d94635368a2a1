"""Several feature maps of a frozen classifier at once: what perceptual and style losses compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from models.errors import ConfigError
from models.networks.pretrained import DEVIATION, MEAN, load_weights, squeezenet_features, vgg16_features

# Name → network and the layers behind which its features are taken. VGG-16: relu 1.2, 2.2, 3.3, 4.3 (Johnson et al.).
# SqueezeNet: behind its first ReLU and Fires 3, 5 and 9, at 1/2, 1/4, 1/8 and 1/16 of the image's size.
PERCEPTIONS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "squeeze": (squeezenet_features, (1, 4, 7, 12)),
    "vgg16": (vgg16_features, (3, 8, 15, 22)),
}


class Perception(nn.Module):
    """(N, C, H, W) RGB or gray in [-1, 1] → the feature maps of a name of PERCEPTIONS. Never trained.

    Raises:
        ConfigError: there is no such name, or no weight file, or it is of another network.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, kind: str, weights: str) -> None:
        super().__init__()
        if kind not in PERCEPTIONS:
            raise ConfigError(f"there is no perception {kind!r}; there are {', '.join(PERCEPTIONS)}")
        if not weights:
            raise ConfigError(
                f"perception = {kind!r} compares features: give perception_weights = a file of torchvision's weights, "
                "or set the weights of the terms that need it to 0"
            )
        build, self.taps = PERCEPTIONS[kind]
        network = build()
        load_weights(network, Path(weights))
        self.layers = nn.Sequential(*list(network)[: max(self.taps) + 1])
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = ((image + 1) / 2 - self.mean) / self.deviation  # gray becomes three channels here
        maps = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.taps:
                maps.append(x)
        return maps
