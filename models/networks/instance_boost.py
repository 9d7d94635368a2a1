"""DUNIT's instance-boosted features: what boxes hold is encoded on its own and put back where it was.

Bhattacharjee et al., "DUNIT: Detection-based Unsupervised Image-to-Image Translation", CVPR 2020.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from models.blocks.roi import paste, roi_align
from models.networks.disentangled import SharedDecoders, SharedEncoders
from models.networks.resnet import ResidualBlock

SCALE = 1 / 4  # of the content map over the image


class Place(NamedTuple):
    """A domain, and where the instances of its images are."""

    domain: str  # "a" or "b"
    boxes: Tensor  # (N, S, 5), as in models/blocks/roi.py


class InstanceBoost(nn.Module):
    """features (N, C, h, w), boxes (N, S, 5) → features + convolution of the instances, put back into an empty map.

    The convolution has no bias: without boxes nothing is added, and the features stay what they are, bit for bit.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.instance = ResidualBlock(channels)
        self.fuse = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        boosted: Tensor = features + self.fuse(self.instances(features, boxes))
        return boosted

    def instances(self, features: Tensor, boxes: Tensor) -> Tensor:
        """The encoded instances in their places, 0 elsewhere: (N, C, h, w)."""
        cut = roi_align(features, boxes, self.side, SCALE)
        encoded = self.instance(cut.flatten(0, 1)).view(cut.shape)
        return paste(encoded, boxes, (features.shape[2], features.shape[3]), SCALE)


class BoostedEncoders(SharedEncoders):
    """image, place → content; instances are boosted in front of the block that both domains share."""

    def __init__(self, channels: int, width: int, blocks: int, side: int) -> None:
        super().__init__(channels, width, blocks)
        self.boost = InstanceBoost(4 * width, side)

    def forward(self, image: Tensor, place: Place) -> Tensor:  # type: ignore[override]
        content: Tensor = self.shared(self.boost(self.own[place.domain](image), place.boxes))
        return content


class PlacedDecoders(SharedDecoders):
    """content, z, place → image of its domain."""

    def forward(self, content: Tensor, z: Tensor, place: Place) -> Tensor:  # type: ignore[override]
        return super().forward(content, z, place.domain)


class BoxRoute(nn.Module):
    """What ships: image, z, boxes → image of the other domain."""

    def __init__(self, encoders: BoostedEncoders, decoders: SharedDecoders, source: str, target: str) -> None:
        super().__init__()
        self.encoder, self.boost, self.content = encoders.own[source], encoders.boost, encoders.shared
        self.shared, self.decoder = decoders.shared, decoders.own[target]

    def forward(self, image: Tensor, z: Tensor, boxes: Tensor) -> Tensor:
        content = self.content(self.boost(self.encoder(image), boxes))
        translated: Tensor = self.decoder(self.shared(content), z)
        return translated
